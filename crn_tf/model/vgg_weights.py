"""VGG19's weights: where the published files are found, and how each format is read."""

from pathlib import Path

import numpy as np

from crn_tf.errors import UserError, one_line
from crn_tf.fetching import Known, fetch, md5_of
from crn_tf.weights_guard import check_weights_file

WEIGHTS_FOLDER = Path("vgg_weights")
KERAS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{KERAS_FILE}"
KERAS_KNOWN = Known("253f8cb515780f3b799900260a226db6", size=80_134_624, begins=b"\x89HDF\r\n\x1a\n")
MATLAB_FILE = "imagenet-vgg-verydeep-19.mat"
MATLAB_URL = f"https://cqf.io/data/Tensorflow_models/VGG_Model/{MATLAB_FILE}"
# MatConvNet published several, of 534,904,783 bytes and more: 575 MB of floats, which hardly shrink.
MATLAB_KNOWN = Known(least=500_000_000, begins=b"MATLAB 5.0 MAT-file")

Kernels = dict[str, tuple[np.ndarray, np.ndarray]]  # layer name -> kernel [h, w, in, out] for RGB input, bias [out]


def find_weights(folder: Path = WEIGHTS_FOLDER) -> Path:
    """The published VGG19 file in `vgg_weights/`, the Keras one first.

    Args:
        folder: Where to look instead.

    Raises:
        UserError: Neither of the two published files is there; the message says where to get them.
    """
    for name in (KERAS_FILE, MATLAB_FILE):
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"no VGG19 weights in {folder}/. The perceptual loss needs one of\n"
        f"  {KERAS_URL}  (80 MB; python -m crn_tf.download vgg19)\n"
        f"  {MATLAB_URL}  (550 MB, the release's own; python -m crn_tf.download vgg19-mat)\n"
        f"put into {folder}/, or --vgg-weights FILE. --vgg-weights random trains on untrained features."
    )


def read_kernels(weights: str | Path, shapes: dict[str, tuple[int, ...]]) -> Kernels:
    """Kernels, for RGB input, and biases of VGG19's convolutions.

    Args:
        weights: A .h5 or .mat file, "imagenet" or "random"; see `build_perceiver`.
        shapes: Kernel shape [h, w, in, out] of each convolution wanted, by its name in Keras' VGG19, in order.

    Raises:
        UserError: The file is missing, damaged or not VGG19, or cannot be fetched.
    """
    if weights == "random":
        return _random_kernels(shapes)
    path = _fetch_keras_file() if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise UserError(f"no VGG19 weights file {path}; see vgg_weights/README.md for where to get one")
    if path.suffix not in (".h5", ".mat"):
        raise UserError(f"{path} is neither a Keras .h5 file nor a MatConvNet .mat file")
    check_weights_file(path)
    read = _read_matconvnet if path.suffix == ".mat" else _read_keras
    kernels = read(path, list(shapes))
    for name, (kernel, bias) in kernels.items():
        for part, found, expected in (("kernel", kernel, shapes[name]), ("bias", bias, shapes[name][-1:])):
            if found.shape != expected:
                raise UserError(f"{path} is not VGG19: {part} of {name} is {found.shape}, expected {expected}")
    return kernels


def _random_kernels(shapes: dict[str, tuple[int, ...]]) -> Kernels:
    """Untrained kernels of a deviation that keeps features' size from layer to layer (He et al.); always the same."""
    noise = np.random.default_rng(19)
    he_normal = {name: np.sqrt(2 / np.prod(shape[:-1])) for name, shape in shapes.items()}
    return {
        name: ((he_normal[name] * noise.standard_normal(shape)).astype("float32"), np.zeros(shape[-1], "float32"))
        for name, shape in shapes.items()
    }


def _fetch_keras_file() -> Path:
    """Keras' published file in `vgg_weights/`, fetched if it is not there.

    Raises:
        UserError: The file cannot be fetched, or a file that is there has another checksum.
    """
    path = WEIGHTS_FOLDER / KERAS_FILE
    if not path.exists():
        try:
            fetch(KERAS_URL, path, KERAS_KNOWN)
        except UserError as error:
            raise UserError(f"{error}. Or put the file into {WEIGHTS_FOLDER.resolve()} by hand.") from error
    elif md5_of(path) != KERAS_KNOWN.md5:
        raise UserError(
            f"{path} is not the file that Keras publishes: its MD5 is not {KERAS_KNOWN.md5}. Remove it, and it will be "
            f"fetched; or use it as it is, with --vgg-weights {path}"
        )
    return path


def _read_keras(path: Path, names: list[str]) -> Kernels:
    """Read the published Keras file: a group per layer, the attribute `weight_names` lists kernel and bias.

    Its first kernel expects blue, green, red: Keras' VGG19 preprocessing swaps the channels.

    Raises:
        UserError: The file is damaged, or has no such layers.
    """
    import h5py

    kernels = {}
    try:
        with h5py.File(path) as file:
            root = file.get("model_weights", file)  # a whole saved model, or weights only
            for name in names:
                if name not in root:
                    raise UserError(f"{path} is not VGG19: it has no layer {name}")
                kernel, bias = (np.asarray(root[name][key], "float32") for key in root[name].attrs["weight_names"])
                kernels[name] = kernel, bias
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"cannot read {path} as a Keras weights file: {one_line(error)}") from error
    first, bias = kernels[names[0]]
    kernels[names[0]] = first[:, :, ::-1], bias
    return kernels


def _read_matconvnet(path: Path, names: list[str]) -> Kernels:
    """Read MatConvNet's file: `layers` is a cell of structs with the kernel [h, w, in, out] and bias, RGB first.

    A convolution has a field `weights` (a cell of both), or in older files `filters` and `biases`.

    Raises:
        UserError: The file is damaged, or has fewer convolutions.
    """
    import scipy.io  # only here: most runs read the Keras file

    kernels = {}
    try:
        structs = [cell[0, 0] for cell in scipy.io.loadmat(path, variable_names=["layers"])["layers"][0]]
        convolutions = [s for s in structs if {"weights", "filters"} & set(s.dtype.names or ())]
        for name, struct in zip(names, convolutions, strict=False):
            modern = "weights" in struct.dtype.names
            kernel, bias = struct["weights"][0] if modern else (struct["filters"], struct["biases"])
            kernels[name] = np.asarray(kernel, "float32"), np.asarray(bias, "float32").reshape(-1)
    except Exception as error:  # scipy raises many kinds for a damaged file: zlib.error, TypeError, struct.error...
        raise UserError(f"cannot read {path} as MatConvNet's VGG19: {one_line(error)}") from error
    if len(kernels) < len(names):
        raise UserError(f"{path} is not VGG19: it has {len(kernels)} convolutions, expected at least {len(names)}")
    return kernels
