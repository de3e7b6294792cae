"""What computes, in words; and a GPU that is there but not used: why, and what mends it."""

import sys

import pytest
import tensorflow as tf

from crn_tf import devices
from crn_tf.devices import check_gpus, describe_devices, explaining_exhaustion, why_unused
from crn_tf.errors import UserError

CARD = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def fake_card(tmp_path, monkeypatch):
    """Puts an nvidia-smi into PATH that tells of one GPU, with a driver of a version."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])

    def install(driver: str = "560.35.03") -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!{sys.executable}\nimport sys\nassert 'driver_version,name' in sys.argv[1]\n"
                           f"print('{driver}, {CARD}')\n")  # fmt: skip
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return install


@pytest.fixture
def no_card(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(devices, "_DEVICE_FILE", tmp_path / "nvidia0")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    return tmp_path


def test_gpus_are_named_with_their_number_cuda_and_precision(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [CARD, CARD, "NVIDIA T4"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": gpu})
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"cuda_version": "12.9.1"})
    assert describe_devices("bfloat16", 1) == f"1 x {CARD} (CUDA 12.9), bfloat16"
    assert describe_devices("float32", 2, workers=4) == f"4 workers with 2 x {CARD} (CUDA 12.9) each, float32"
    assert describe_devices(None) == f"2 x {CARD}, 1 x NVIDIA T4 (CUDA 12.9)"


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"avx2", "avx512f", "avx512_bf16"}, "2 CPU cores (AVX-512, bfloat16), float32"),
        ({"avx2"}, "2 CPU cores (AVX2), float32"),
        ({"asimd", "bf16", "fphp"}, "2 CPU cores (NEON, bfloat16, float16), float32"),
        (set(), "2 CPU cores, float32"),
    ],
)
def test_a_cpu_is_its_cores_and_what_it_computes_with(no_card, monkeypatch, features, told):
    monkeypatch.setattr(devices, "processor_features", lambda: features)
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert describe_devices("float32") == told


@pytest.mark.parametrize(
    ("visible", "with_cuda", "libraries", "driver", "driver_library", "why"),
    [
        ("", True, True, "560.1", True, "CUDA_VISIBLE_DEVICES='' hides it: unset CUDA_VISIBLE_DEVICES"),
        ("-1", True, True, "560.1", True, "CUDA_VISIBLE_DEVICES='-1' hides it"),
        ("0", False, False, "560.1", True, "this TensorFlow was built without CUDA: pip install "),
        (None, True, False, "560.1", True, "CUDA's libraries are not installed: pip install "),
        (None, True, True, "470.82.01", True, "its driver, 470, is too old for CUDA 12: install NVIDIA's driver 525"),
        (None, True, True, "560.1", False, r"libcuda.so.1 is not here: .* docker run --gpus all"),
        (None, True, True, "560.1", True, "TensorFlow does not say why: TF_CPP_MIN_LOG_LEVEL=0 python -c"),
    ],
)
def test_why_a_gpu_is_not_used_is_one_warning(
    fake_card, monkeypatch, capsys, visible, with_cuda, libraries, driver, driver_library, why
):
    fake_card(driver)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: with_cuda)
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"cuda_version": "12.5.1", "cudnn_version": "9"})
    monkeypatch.setattr(devices, "_has_cuda_libraries", lambda build: libraries)
    monkeypatch.setattr(devices, "_loads", lambda library: driver_library)
    check_gpus(required=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {CARD} is here, but TensorFlow computes on the CPU: ")
    with pytest.raises(UserError, match=why) as error:
        check_gpus(required=True)
    assert str(error.value) == f"--require-gpu: {line.removeprefix('warning: ')}"


def test_requirements_are_named_where_they_lie(fake_card, monkeypatch, tmp_path):
    fake_card()
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: False)
    for path in (tmp_path / "requirements-gpu.txt", tmp_path / "elsewhere/requirements-gpu.txt"):
        monkeypatch.setattr(devices, "_GPU_REQUIREMENTS", path)
        (tmp_path / "requirements-gpu.txt").touch()
        expected = "-r requirements-gpu.txt" if path.exists() else f"'tensorflow[and-cuda]=={tf.__version__}'"
        assert why_unused().endswith(f"built without CUDA: pip install {expected}")


def test_a_device_file_alone_tells_of_a_gpu(no_card, monkeypatch):
    assert why_unused() is None
    (no_card / "nvidia0").touch()
    assert why_unused().startswith(f"an NVIDIA GPU ({no_card}/nvidia0) is here, but TensorFlow computes on the CPU: ")


def test_without_a_gpu_nothing_is_said_unless_one_is_required(no_card, capsys):
    check_gpus(required=False)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(UserError, match=r"^--require-gpu: there is no NVIDIA GPU here"):
        check_gpus(required=True)


def test_a_gpu_that_is_used_is_not_asked_for(fake_card, monkeypatch, capsys):
    fake_card()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [CARD])
    check_gpus(required=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith shape[8]"),
        tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_is_one_line_with_what_helps(error):
    with (
        pytest.raises(UserError, match=r"^memory ran out \(.*\): try a smaller --batch$") as told,
        explaining_exhaustion("try a smaller --batch"),
    ):
        raise error
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), ValueError("out of memory")]
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)), explaining_exhaustion("nothing"):
        raise error


def test_memory_grows_as_it_is_needed(monkeypatch):
    from crn_tf.starting import start_tensorflow

    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU:0", "GPU:1"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: grown.append((gpu, on)))
    start_tensorflow()
    assert grown == [("GPU:0", True), ("GPU:1", True)]


def test_a_card_that_answers_something_else_than_was_asked_for_is_there_all_the_same(fake_card, tmp_path):
    fake_card()
    (tmp_path / "nvidia-smi").write_text(f"#!{sys.executable}\nprint('GPU 0: {CARD} (UUID: GPU-1)')\n")
    assert why_unused().startswith("an NVIDIA GPU (nvidia-smi lists one) is here, but TensorFlow computes on the CPU: ")
