"""Make the small model that comes with the package, of a run that trained it:

python -m crn_tf.serving.bundling RUN                # into the package
python -m crn_tf.serving.bundling RUN FOLDER         # elsewhere; test.py --weights FOLDER takes it
"""

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from tyro.conf import Positional, arg

from crn_tf.data.datasets import ToyDataSet
from crn_tf.errors import run_command
from crn_tf.files import write_text
from crn_tf.saved.bundled import CARD, FOLDER, LARGEST, WEIGHTS, load_bundled, write_bundled
from crn_tf.saved.run_folder import RunFolder
from crn_tf.starting import start_tensorflow
from crn_tf.training.settings import TrainSettings

if TYPE_CHECKING:
    import keras

    from crn_tf.model.description import ModelDescription

# Settings that change neither what is learned nor how well: where files go, how often they are written.
_UNTOLD = ("cache", "remat", "validation_limit", "checkpoint_minutes", "checkpoint_steps")
_LAYOUTS = 8  # on which the effect of float16 is measured


@dataclass(frozen=True)
class Bundle:
    """Write the best weights of a run as a small folder: kernels in float16, the model's description, and a card."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run folder of train.py."""
    folder: Annotated[Positional[Path], arg(metavar="FOLDER")] = FOLDER
    """Where to; the package's own place if not given."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what the command line names.

    Args:
        arguments: Of the command line; this process' own if None.

    Raises:
        UserError: The run cannot be read, its model is too large, or the folder cannot be written.
    """
    asked = tyro.cli(Bundle, args=arguments)
    settings = TrainSettings.read(RunFolder(asked.run).settings)
    start_tensorflow()  # only now: it takes seconds
    from crn_tf.saved.loading import find_model, load_generator
    from crn_tf.serving.model_card import ServedAs, model_card

    weights, told = find_model(asked.run)
    generator, description = load_generator(weights, "float32", last=True)
    parameters = generator.count_params()
    write_bundled(asked.folder, generator, description, "")  # the card tells what is lost by it
    effect = effect_of_storing(generator, asked.folder, description)
    served = ServedAs("float32", "float16", "any", parameters, 2 * parameters, effect)
    card = model_card(description, served, weights, None)
    commands = f"{train_command(settings)} --out RUN\npython -m crn_tf.serving.bundling RUN"
    write_text(asked.folder / CARD, f"{card}\n## Made with\n\n```sh\n{commands}\n```\n")
    size = (asked.folder / WEIGHTS).stat().st_size
    print(f"{asked.folder}: {told}, {parameters:,} parameters, {size:,} bytes of weights (at most {LARGEST:,})")
    print(f"what float16 does to its pictures: {effect}")


def effect_of_storing(generator: "keras.Model", folder: Path, description: "ModelDescription") -> str:
    """What storing weights in float16 does to pictures, in words."""
    from crn_tf.model.synthesizer import Synthesizer

    data = ToyDataSet("val")
    if data.classes.names != description.classes.names:
        return "not measured"
    layouts = [data.load_layout(index, description.image_size, description.fit) for index in range(_LAYOUTS)]
    before, after = Synthesizer(generator), Synthesizer(load_bundled(folder, description))
    differences = [np.abs(before(one[None]).astype(np.int16) - after(one[None])) for one in layouts]
    mean, largest = np.mean(differences), max(difference.max() for difference in differences)
    return f"mean absolute difference {mean:.3g} of 255 from weights in float32, at most {largest}, on 8 toy layouts"


def train_command(settings: TrainSettings) -> str:
    """What to type to train a run of the same settings; files are named without their folders."""
    words = ["python", "train.py"]
    # What is usual of these depends on others.
    always = {"lr"} | ({"lr_warmup"} if settings.lr_schedule != "constant" else set[str]())
    for field in dataclasses.fields(settings):
        value = settings.kept()[field.name]
        usual = field.name not in always and getattr(settings, field.name) == field.default
        if field.name in _UNTOLD or value is None or value is False or usual:
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        if value is not True:
            text = str(value)
            words.append(Path(text).name if Path(text).is_absolute() else text)
    return shlex.join(words)


if __name__ == "__main__":
    run_command(main)
