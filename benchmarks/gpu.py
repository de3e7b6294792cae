"""How fast is the arithmetic on a GPU? Through Keras' JAX backend, without TensorFlow.

python benchmarks/gpu.py --json gpu.json
python benchmarks/gpu.py --res 1024 --precision bfloat16 --parts training-step

Needs JAX with CUDA (`pip install "jax[cuda12]"`) and what requirements.txt lists besides TensorFlow and TensorBoard.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from tyro.conf import Suppress

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import measuring
from crn_tf.command_line import Switch
from crn_tf.data.class_tables import CITYSCAPES
from crn_tf.errors import UserError, run_command
from crn_tf.files import write_text
from crn_tf.model.cascade import module_channels
from crn_tf.precision import PRECISION_POLICIES, Precision
from crn_tf.training.settings import TrainSettings

Part = Literal["synthesis", "training-step", "plain-convolution", "upsampled-convolution"]
Function = Callable[..., Any]

# Largest relative differences (L2) to float32 on the CPU: of the loss, of all gradients together, and of the two
# convolutions to each other. Products of float32 do without TF32 where they are checked, not where they are timed.
TOLERANCES = {"float32": (1e-5, 1e-3, 1e-5), "bfloat16": (2e-2, 0.1, 2e-2), "float16": (2e-3, 0.02, 2e-3)}
CHECKED = ("loss", "gradients", "convolution")
CHECKED_SIZE = "32x64"
CHECKED_WIDTH = 1 / 16


@dataclass(frozen=True)
class GpuBenchmark(measuring.Benchmark):
    """Measure synthesis and training steps (loss and gradients, jitted) with Keras on JAX, and check their results.

    Flags that take several values make variants: every combination is measured, in a process of its own.
    """

    res: tuple[Literal[256, 512, 1024], ...] = ()
    """Image heights, all three if neither they nor --size are given; widths are twice that."""
    precision: tuple[Precision, ...] = ("float32", "bfloat16")
    """Arithmetic of the convolutions."""
    parts: tuple[Part, ...] = ("synthesis", "training-step", "plain-convolution", "upsampled-convolution")
    """What to measure. The two convolutions are the last module's first one, forward and gradients: of features
    that were upsampled before, and as this project computes it."""
    remat: tuple[Literal["on", "off"], ...] = ("off",)
    """Compute features again in the backward pass instead of keeping them."""
    check: Switch = True
    """Compare loss and gradients of a small model with float32 on the CPU first."""
    compare: Suppress[bool] = False
    rounds: Suppress[int] = 1

    def setting_names(self) -> list[str]:
        """Names of the flags that are settings of the model."""
        return [name for name in super().setting_names() if name not in ("parts", "check")]

    def variants(self) -> list[TrainSettings]:
        """The resolved settings of each variant.

        Raises:
            UsageError: Flags make no sense, alone or together.
        """
        every_size = not self.res and not self.size
        return super(GpuBenchmark, replace(self, res=(256, 512, 1024)) if every_size else self).variants()


def main() -> None:
    """Measure the variants, or be the worker of one."""
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # so that memory is what was used
    if sys.argv[1:2] == [measuring.WORKER]:
        print(json.dumps(work(json.loads(sys.argv[2]))))
    else:
        measure(tyro.cli(GpuBenchmark))


def measure(benchmark: GpuBenchmark) -> None:
    """Check, measure, and print tables and JSON.

    Raises:
        UsageError: The flags make no sense.
        UserError: A process died (the other results are shown all the same), a result is wrong, or the results cannot
            be written.
    """
    variants = benchmark.variants()
    results: dict[str, Any] = {}
    failures = []
    if benchmark.check:
        results["check"] = checks = [
            measuring.run_worker(__file__, settings, 1, part="check") for settings in checked(benchmark)
        ]
        for check in checks:
            found = (f"{name} {check[name]:.1e} (allowed {check[name + '_allowed']:g})" for name in CHECKED)
            print(f"{check['precision']} on {check['device']}: relative errors: {', '.join(found)}")
        failures += [f"{check['precision']} differs from float32 on the CPU" for check in checks if not check["equal"]]
    for part in benchmark.parts:
        labels, measured = [], []
        for settings in variants:
            if part != "training-step" and settings.remat != benchmark.remat[0]:
                continue  # nothing else has a backward pass to recompute for
            label = f"{part} {settings.kept()['size']}, k={settings.images}, {settings.precision}"
            label += f", remat {settings.remat}" if part == "training-step" else ""
            try:
                found = measuring.run_worker(__file__, settings, benchmark.steps, part=part)
            except UserError as error:
                failures.append(f"{label}: {error}")
                continue
            names = ("images", "width", "precision", "batch", "remat", "loss")
            result = {"size": settings.kept()["size"]} | {name: getattr(settings, name) for name in names}
            measured.append(result | {"steps": benchmark.steps} | measuring.summarize([found]))
            labels.append(label)
        if measured:
            results[part] = measured
            print(measuring.draw_table(labels, measured))
    text = json.dumps(results)
    print(text)
    if benchmark.json:
        write_text(benchmark.json, text + "\n")
    if failures:
        raise UserError("; ".join(failures))


def checked(benchmark: GpuBenchmark) -> list[TrainSettings]:
    """Settings of the small model that is checked, in each precision."""
    small = measuring.Benchmark(size=CHECKED_SIZE, images=(2,), width=CHECKED_WIDTH, precision=benchmark.precision)
    return small.variants()


def work(task: dict[str, Any]) -> dict[str, Any]:
    """What a worker measures, or checks.

    Raises:
        UserError: Memory ran out.
    """
    try:
        import jax
        import keras
    except ImportError as error:
        raise UserError(f"this needs Keras and JAX: {error}; see the top of {Path(__file__).name}") from error
    settings = TrainSettings.from_json(json.dumps(task["settings"]))
    keras.utils.set_random_seed(settings.seed)
    try:
        if task["part"] == "check":
            return check_results(settings)
        keras.config.set_dtype_policy(PRECISION_POLICIES[settings.precision])
        prepare = {"synthesis": synthesis, "training-step": training_step}.get(task["part"])
        function, arguments, tflop = prepare(settings) if prepare else convolution(settings, task["part"])
        return time_steps(function, arguments, tflop, task["steps"], settings)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError("memory ran out") from error


def time_steps(
    function: Function, arguments: Sequence[Any], tflop: float, steps: int, settings: TrainSettings
) -> dict[str, Any]:
    """Time a jitted function of arrays, as `measuring.work` does with TensorFlow's."""
    import jax

    jitted = jax.jit(function)
    seconds = [measuring.seconds_of(lambda: jax.block_until_ready(jitted(*arguments))) for _ in range(1 + steps)]
    device = jax.devices()[0]
    name = device.device_kind if device.platform != "cpu" else f"{os.cpu_count()} CPU cores"
    return {
        "seconds": seconds[1:],
        "first_step_seconds": seconds[0],
        "peak_memory_gb": peak_memory_gb(jitted, arguments),
        "tflop_per_step": tflop,
        "peak_tflops": measuring.measure_peak_tflops(settings.precision),
        "device": name,
        "chosen": {},
    }


def peak_memory_gb(jitted: Any, arguments: Sequence[Any]) -> float:
    """The most of the device's memory that was used, in 10**9 bytes; on the CPU what the program is planned to need."""
    import jax

    used = jax.devices()[0].memory_stats()
    if used:
        return used["peak_bytes_in_use"] / 1e9
    planned = jitted.lower(*arguments).compile().memory_analysis()
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(getattr(planned, part) for part in parts) / 1e9


def synthesis(settings: TrainSettings) -> tuple[Function, list[Any], float]:
    """From class ids to uint8 images: a function, its arguments, its TFLOP."""
    import keras
    from keras import ops

    from crn_tf.model.synthesizer import Synthesizer

    generator = build_generator(settings)
    model = Synthesizer(generator).model
    variables = list(model.variables)

    def function(values: list[Any], layouts: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return model(layouts)

    layouts = ops.convert_to_tensor(measuring.random_layouts(settings))
    tflop = settings.batch * measuring.synthesis_tflop(generator)
    return function, [[variable.value for variable in variables], layouts], tflop


def training_step(settings: TrainSettings) -> tuple[Function, list[Any], float]:
    """Loss and gradients of one batch: a function, its arguments, its TFLOP."""
    import jax
    import keras
    from keras import ops

    from crn_tf.model.loss_weights import find_loss_weights
    from crn_tf.model.losses import LOSSES, tap_errors
    from crn_tf.model.perceiver import build_perceiver, split_blocks
    from crn_tf.model.recomputing import recomputing_blocks, recomputing_generator

    generator, perceiver = build_generator(settings), build_perceiver("random")
    blocks, synthesize = split_blocks(perceiver), generator
    if settings.remat == "on":
        blocks, synthesize = recomputing_blocks(blocks), recomputing_generator(generator)
    trained, frozen = list(generator.trainable_variables), list(perceiver.variables)
    weights = find_loss_weights(settings.loss_weights)

    def loss_of(values: list[Any], others: list[Any], layouts: Any, photos: Any) -> Any:
        mapping = list(zip([*trained, *frozen], [*values, *others], strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            one_hot = ops.one_hot(layouts, CITYSCAPES.num_classes)
            errors = tap_errors(blocks, ops.cast(photos, "float32"), synthesize(one_hot))
            return LOSSES[settings.loss](errors, weights, one_hot)[0]

    values = [[variable.value for variable in variables] for variables in (trained, frozen)]
    batch = [measuring.random_layouts(settings), measuring.random_photos(settings)]
    tflop = settings.batch * measuring.training_tflop(generator, perceiver)
    return jax.value_and_grad(loss_of), [*values, *map(ops.convert_to_tensor, batch)], tflop


def convolution(settings: TrainSettings, part: str) -> tuple[Function, list[Any], float]:
    """The last module's first convolution, forward and gradients: a function, its arguments, its TFLOP.

    Both kinds take features [B, h, w, D], the layout [B, 2h, 2w, C] and the kernel; the operations counted are the
    plain one's.
    """
    import jax
    import keras
    from keras import ops

    from crn_tf.model.layers import UpsampledConvolution

    height, width = settings.size
    depth, channels = list(module_channels(height, settings.base_grid[0], settings.width).values())[-2:]
    classes = CITYSCAPES.num_classes
    layer = UpsampledConvolution(channels)
    layer.build([(None, height // 2, width // 2, depth), (None, height, width, classes)])
    dtype = layer.compute_dtype

    def compute(features: Any, layout: Any, kernel: Any) -> Any:
        if part == "plain-convolution":
            x = ops.concatenate([upsample(features), layout], axis=-1)
            y = ops.conv(x, ops.cast(kernel, dtype), padding="same")
        else:
            with keras.StatelessScope(state_mapping=[(layer.kernel, kernel)]):
                y = layer([features, layout])
        return ops.sum(ops.square(ops.cast(y, "float32")))  # a gradient that depends on the result

    random = np.random.default_rng(0)
    features = random.standard_normal((settings.batch, height // 2, width // 2, depth), "float32")
    layout = np.eye(classes, dtype="float32")[measuring.random_layouts(settings)]
    arguments = [ops.cast(features, dtype), ops.cast(layout, dtype), layer.kernel.value]
    multiply_adds = settings.batch * height * width * 9 * (depth + classes) * channels
    # Nothing asks for the layout's gradient, which is left out here as in training: it has no weights below it.
    return jax.value_and_grad(compute, (0, 2)), arguments, 3 * 2 * multiply_adds / 1e12


def upsample(x: Any) -> Any:
    """[B, h, w, D] -> [B, 2h, 2w, D], bilinearly with corners aligned: each pixel is a mean of two, axis by axis."""
    from keras import ops

    for axis in (1, 2):
        n = x.shape[axis]
        at = np.arange(2 * n) * (n - 1) / (2 * n - 1)
        before = np.minimum(at.astype("int32"), max(n - 2, 0))
        share = ops.cast((at - before).reshape([-1 if a == axis else 1 for a in range(4)]), x.dtype)
        first, second = (ops.take(x, np.minimum(before + step, n - 1), axis=axis) for step in (0, 1))
        x = first * (1 - share) + second * share
    return x


def check_results(settings: TrainSettings) -> dict[str, Any]:
    """Compare loss and gradients of a precision on this device with float32 on the CPU, from the same weights, and the
    convolution as this project computes it, value and gradients, with the plain one.
    """
    import jax
    import keras

    def compute(prepared: tuple[Function, list[Any], float], device: Any) -> tuple[Any, Any]:
        function, arguments, _ = prepared
        with jax.default_device(device), jax.default_matmul_precision("highest"):
            value, gradients = jax.jit(function)(*jax.device_put(arguments, device))
        return np.float64(value), np.concatenate([np.ravel(np.asarray(g, "float64")) for g in gradients])

    def error(found: Any, expected: Any) -> float:
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    results, device = [], jax.devices()[0]
    for precision, where in (("float32", jax.devices("cpu")[0]), (settings.precision, device)):
        keras.utils.set_random_seed(settings.seed)
        keras.config.set_dtype_policy(PRECISION_POLICIES[precision])
        results.append(compute(training_step(settings), where))
    convolutions = []
    for part in ("plain-convolution", "upsampled-convolution"):
        keras.utils.set_random_seed(settings.seed)
        convolutions.append(np.append(*reversed(compute(convolution(settings, part), device))))
    (expected, expected_gradients), (loss, gradients) = results
    errors = (error(loss, expected), error(gradients, expected_gradients), error(convolutions[1], convolutions[0]))
    allowed = TOLERANCES[settings.precision]
    return {
        "precision": settings.precision,
        "device": device.device_kind,
        **dict(zip(CHECKED, errors, strict=True)),
        **{f"{name}_allowed": most for name, most in zip(CHECKED, allowed, strict=True)},
        "equal": all(found <= most for found, most in zip(errors, allowed, strict=True)),  # NaN is not
    }


def build_generator(settings: TrainSettings) -> Any:
    """The generator that settings ask for, with Cityscapes' classes."""
    from crn_tf.model import generator

    return generator.build_generator(
        settings.size[0], CITYSCAPES.num_classes, settings.images, settings.width, settings.base_grid
    )


if __name__ == "__main__":
    run_command(main)
