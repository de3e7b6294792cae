"""Trained generators, from wherever they are: run folders, weights files and the 2017 release's checkpoints."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import get_args

import h5py
import keras

from crn_tf.data.images import Fit, Size
from crn_tf.errors import UserError, one_line
from crn_tf.files import parse_json, read_json
from crn_tf.model.cascade import module_height
from crn_tf.model.description import ModelDescription
from crn_tf.model.recomputing import is_cascade
from crn_tf.precision import Precision, computing_in
from crn_tf.saved.bundled import describe_bundled, is_bundled, load_bundled
from crn_tf.saved.checkpoints import DESCRIPTION_ATTRIBUTE, named
from crn_tf.saved.release import build_generator_from_release, describe_release, release_prefix
from crn_tf.saved.run_checkpoints import restore_checkpoint
from crn_tf.saved.run_folder import WEIGHTS_NAME, RunFolder, chosen_weights, no_weights
from crn_tf.weights_guard import check_weights_file


def load_generator(
    path: str | Path,
    precision: Precision | None = None,
    size: Size | None = None,
    last: bool = False,
    before_building: Callable[[ModelDescription], None] | None = None,
) -> tuple[keras.Model, ModelDescription]:
    """Build the generator of a run folder (its best weights), a weights file, or a checkpoint of the 2017 release.

    Args:
        path: `runs/NAME`, `generator.weights.h5` or `result_256p/model.ckpt`.
        precision: That the generator computes in; Keras' current policy if not given.
        size: Height and width of layouts and images, if others than those it was trained at; see
            `ModelDescription.at_size`.
        last: Of a run folder, the newest checkpoint instead of the best weights.
        before_building: Called with the description of what will be built: it may raise, before memory is taken.

    Returns:
        The generator, and the description of its model, at the size that was asked for.

    Raises:
        UserError: There is no trained model, or its files are damaged.
        UsageError: The network cannot have that size.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from crn_tf import CITYSCAPES, ModelDescription, load_generator, save_weights
        >>> small = ModelDescription(height=16, base_grid=(4, 8), num_images=2, width=0.01, classes=CITYSCAPES)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(Path(folder) / "small.weights.h5", small.build(), small)
        ...     generator, description = load_generator(Path(folder) / "small.weights.h5")
        ...     wide, _ = load_generator(Path(folder) / "small.weights.h5", size=(16, 48))
        >>> description.image_size, description.num_images, len(description.classes.names)
        ((16, 32), 2, 19)
        >>> generator.output_shape, wide.output_shape
        ((None, 2, 16, 32, 3), (None, 2, 16, 48, 3))
    """
    if precision:
        with computing_in(precision):
            return load_generator(path, None, size, last, before_building)
    description, load = _find(Path(path) if Path(path).name else Path(path).resolve(), last)  # "." has no name
    wanted = description.at_size(size) if size else description
    if before_building:
        before_building(wanted)
    generator = load()
    return (generator if wanted is description else _at_size(generator, wanted)), wanted


def find_model(path: Path, last: bool = False) -> tuple[Path, str]:
    """What `load_generator` reads of a path: of a run folder, which of its weights.

    Args:
        path: As `load_generator` takes it.
        last: Of a run folder, the newest checkpoint instead of the best weights.

    Returns:
        The run's best weights, or the path itself, which `load_generator(..., last=True)` reads; and what that is, in
        words.
    """
    if release_prefix(path) or not path.is_dir() or is_bundled(path):
        return path, str(path)
    weights, what = chosen_weights(RunFolder(path), last)
    return weights or path, f"{path} ({what})"


def _find(path: Path, last: bool) -> tuple[ModelDescription, Callable[[], keras.Model]]:
    """What a trained model is, and what builds its generator and reads its weights.

    Raises:
        UserError: There is no trained model, or its description is damaged.
    """
    prefix = release_prefix(path)
    if prefix:
        return describe_release(prefix), functools.partial(build_generator_from_release, prefix)
    if is_bundled(path):
        description = describe_bundled(path)
        return description, functools.partial(load_bundled, path, description)
    run = RunFolder(path)
    weights = chosen_weights(run, last)[0] if path.is_dir() else path
    if weights is None:
        description = _as_the_run_was_trained(run, run.description())
        description.check_size(run.model, run.stored_bytes())
        return description, functools.partial(_load_run, run, description)
    if not weights.is_file():
        raise no_weights(path)
    description = _describe_weights_file(weights)
    return description, functools.partial(_load_weights_file, weights, description)


def _load_run(run: RunFolder, description: ModelDescription) -> keras.Model:
    generator = description.build()
    restore_checkpoint(run, named(generator))
    return generator


def _as_the_run_was_trained(run: RunFolder, description: ModelDescription) -> ModelDescription:
    """The description, with what a run's settings say of fitting: the other files of older versions do not."""
    with suppress(OSError, ValueError, KeyError, TypeError):  # no settings, or damaged: not what is asked for here
        fit = read_json(run.settings)["fit"]
        if fit in get_args(Fit):
            return dataclasses.replace(description, fit=fit)
    return description


def _describe_weights_file(path: Path) -> ModelDescription:
    """The model that a weights file describes.

    Raises:
        UserError: The file is damaged, or not written by this project.
    """
    if not path.name.endswith(".weights.h5"):  # Keras tells formats apart by the suffix
        raise UserError(f"{path} does not end in .weights.h5; expected a weights file written by train.py")
    check_weights_file(path)
    with _in_one_line(path):
        with h5py.File(path) as file:
            text = file.attrs.get(DESCRIPTION_ATTRIBUTE)
        if text is None:
            raise UserError(f"{path} has no description of its model; expected a {WEIGHTS_NAME} written by train.py")
        description = ModelDescription.from_json(text)
        description.check_size(path, path.stat().st_size)
        tells_fit = "fit" in parse_json(text)
    return description if tells_fit else _as_the_run_was_trained(RunFolder(path.parent), description)


def _load_weights_file(path: Path, description: ModelDescription) -> keras.Model:
    with _in_one_line(path):
        generator = description.build()
        generator.load_weights(path)
    return generator


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Turn what is raised while a weights file is read into one line that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"cannot read the weights {path}: {one_line(error)}") from error


def _at_size(generator: keras.Model, wanted: ModelDescription) -> keras.Model:
    """The same network from another base grid: kernels, gains and offsets do not depend on it.

    Args:
        generator: The trained one.
        wanted: Its description at another size.
    """
    other, trained_height = wanted.build(), generator.input_shape[1]

    def trained_name(path: str) -> str:  # layers are named after their heights: module_6_conv1 was module_4_conv1
        return re.sub(r"\d+", lambda height: str(int(height[0]) * trained_height // wanted.height), path, count=1)

    trained = {variable.path: variable for variable in generator.variables}
    for variable in other.variables:
        variable.assign(trained[trained_name(variable.path)])
    return other


def take_over_weights(generator: keras.Model, path: str | Path) -> tuple[list[int], list[int]]:
    """Start a generator from a trained one: modules that both have are taken over, the others stay fresh.

    The projection to images is taken over only between models of the same height and number of images. Of networks
    without modules all is taken over or nothing.

    Args:
        generator: From `build_generator`.
        path: As `load_generator` takes it.

    Returns:
        Heights of the modules that were taken over, and of those that stayed fresh; none of a network without modules.

    Raises:
        UserError: The trained model cannot be read, or has other classes or another width.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from crn_tf import CITYSCAPES, ModelDescription, build_generator, save_weights, take_over_weights
        >>> small = ModelDescription(height=8, base_grid=(4, 8), num_images=1, width=0.01, classes=CITYSCAPES)
        >>> taller = build_generator(height=16, width=0.01)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(Path(folder) / "small.weights.h5", small.build(), small)
        ...     take_over_weights(taller, Path(folder) / "small.weights.h5")
        ([4, 8], [16])
    """
    source = {variable.path: variable for variable in load_generator(path)[0].variables}
    fitting = []
    for variable in generator.variables:
        found = source.get(variable.path)
        if found is None:
            continue
        if tuple(found.shape) == tuple(variable.shape):
            fitting.append((variable, found))
        elif variable.path.startswith("module_"):
            raise UserError(
                f"{variable.path} of {path} is {list(found.shape)}, expected {list(variable.shape)}: "
                "it has other classes or another width"
            )
    if not is_cascade(generator) and len(fitting) < len(generator.variables):
        raise UserError(f"{path} is of another network, size, width, or number of classes or images")
    if not fitting:
        raise UserError(f"{path} has no module in common with this model: it is of another network or base grid")
    for variable, found in fitting:
        variable.assign(found)
    heights = {module_height(v.path) for v in generator.variables if v.path.startswith("module_")}
    taken = {module_height(v.path) for v, _ in fitting if v.path.startswith("module_")}
    return sorted(taken), sorted(heights - taken)
