"""Trained generators, from wherever they are: run folders, weights files and the 2017 release's checkpoints."""

from pathlib import Path

import h5py
import keras

from crn_tf.errors import UserError, one_line
from crn_tf.model.cascade import module_height
from crn_tf.model.description import ModelDescription
from crn_tf.precision import Precision, computing_in
from crn_tf.saved.checkpoints import DESCRIPTION_ATTRIBUTE, named
from crn_tf.saved.release import describe_release, load_release_checkpoint, release_data, release_prefix
from crn_tf.saved.run_checkpoints import restore_checkpoint
from crn_tf.saved.run_folder import WEIGHTS_NAME, RunFolder, no_weights
from crn_tf.weights_guard import check_weights_file


def load_generator(path: str | Path, precision: Precision | None = None) -> tuple[keras.Model, ModelDescription]:
    """Build the generator of a run folder (its newest checkpoint), a weights file, or a checkpoint of the 2017 release.

    Args:
        path: `runs/NAME`, `generator.weights.h5` or `result_256p/model.ckpt`.
        precision: That the generator computes in; Keras' current policy if not given.

    Returns:
        The generator, and the description of its model.

    Raises:
        UserError: There is no trained model, or its files are damaged.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from crn_tf import CITYSCAPES, ModelDescription, load_generator, save_weights
        >>> small = ModelDescription(height=16, base_grid=(4, 8), num_images=2, width=0.01, classes=CITYSCAPES)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(Path(folder) / "small.weights.h5", small.build(), small)
        ...     generator, description = load_generator(Path(folder) / "small.weights.h5")
        >>> description.image_size, description.num_images, len(description.classes.names)
        ((16, 32), 2, 19)
        >>> generator.output_shape
        (None, 2, 16, 32, 3)
    """
    if precision:
        with computing_in(precision):
            return load_generator(path)
    path = Path(path) if Path(path).name else Path(path).resolve()  # "." has no name
    prefix = release_prefix(path)
    if prefix:
        description = describe_release(prefix)
        description.check_size(prefix, release_data(prefix).stat().st_size)
        generator = description.build()
        load_release_checkpoint(generator, prefix)
        return generator, description
    if path.is_dir():
        run = RunFolder(path)
        description = run.description()
        description.check_size(run.model, run.stored_bytes())
        generator = description.build()
        restore_checkpoint(run, named(generator))
        return generator, description
    if not path.is_file():
        raise no_weights(path)
    return _load_weights_file(path)


def _load_weights_file(path: Path) -> tuple[keras.Model, ModelDescription]:
    """Build the generator that a weights file describes.

    Raises:
        UserError: The file is damaged, or not written by this project.
    """
    if not path.name.endswith(".weights.h5"):  # Keras tells formats apart by the suffix
        raise UserError(f"{path} does not end in .weights.h5; expected a weights file written by train.py")
    check_weights_file(path)
    try:
        with h5py.File(path) as file:
            text = file.attrs.get(DESCRIPTION_ATTRIBUTE)
        if text is None:
            raise UserError(f"{path} has no description of its model; expected a {WEIGHTS_NAME} written by train.py")
        description = ModelDescription.from_json(text)
        description.check_size(path, path.stat().st_size)
        generator = description.build()
        generator.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"cannot read the weights {path}: {one_line(error)}") from error
    return generator, description


def take_over_weights(generator: keras.Model, path: str | Path) -> tuple[list[int], list[int]]:
    """Start a generator from a trained one: modules that both have are taken over, the others stay fresh.

    The projection to images is taken over only between models of the same height and number of images.

    Args:
        generator: From `build_generator`.
        path: As `load_generator` takes it.

    Returns:
        Heights of the modules that were taken over, and of those that stayed fresh.

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
    if not fitting:
        raise UserError(f"{path} has no module in common with this model: it is of another base grid")
    for variable, found in fitting:
        variable.assign(found)
    heights = {module_height(v.path) for v in generator.variables if v.path.startswith("module_")}
    taken = {module_height(v.path) for v, _ in fitting if v.path.startswith("module_")}
    return sorted(taken), sorted(heights - taken)
