"""Paint a layout and see the photograph: `crn paint`, or `python -m crn_tf.paint`.

crn paint                                                  # a small model of toy streets that comes with the project
crn paint --weights runs/NAME                              # one's own; its validation layouts to start from
crn paint --weights runs/large --draft runs/small          # the small one draws while the brush moves
crn paint --weights runs/NAME --data cityscapes            # another data set's layouts to start from
"""

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import arg

from crn_tf.command_line import INSTEAD, Switch, how_to_call
from crn_tf.data.conventions import Labels, asked_form
from crn_tf.data.datasets import KINDS, Kind, open_data_set
from crn_tf.data.images import Size
from crn_tf.devices import check_gpus, describe_devices, explaining_exhaustion
from crn_tf.errors import UsageError, UserError, run_command
from crn_tf.model.cascade import parse_pair
from crn_tf.precision import Precision
from crn_tf.saved.bundled import bundled_model
from crn_tf.saved.run_folder import RunFolder, no_weights
from crn_tf.starting import silence_pillow, start_tensorflow, warn_of_slowness

if TYPE_CHECKING:
    from crn_tf.pages.paint_models import PaintModel
    from crn_tf.pages.paint_starts import Starts

PORT = 8081


@dataclass(frozen=True)
class PaintSettings:
    """Serve a page on which layouts are painted, with the photograph beside, until Ctrl-C."""

    weights: Annotated[
        tuple[Path, ...], arg(metavar="MODEL ...", help_behavior_hint=INSTEAD("the small one that comes along"))
    ] = ()
    """Run folder (its best weights), weights file, or a model.ckpt of the 2017 release. Several, of the same classes,
    are shown side by side."""
    draft: Annotated[Path | None, arg(metavar="MODEL", help_behavior_hint=INSTEAD("none"))] = None
    """A faster model that draws while the brush moves."""
    size: Annotated[str | None, arg(metavar="HEIGHTxWIDTH", help_behavior_hint=INSTEAD("as the model was trained"))] = (
        None
    )
    """Size of synthesis with --weights, such as 256x768: any that the models' modules can double up to."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint=INSTEAD("none"))] = None
    """A data set whose layouts can be started from."""
    dataset: Annotated[Kind | None, arg(metavar=KINDS, help_behavior_hint=INSTEAD("seen from the folder's shape"))] = (
        None
    )
    """How its files lie."""
    split: str = "val"
    """Which part of it."""
    labels: Labels = "auto"
    """What its layouts hold, as train.py takes it; auto: found from the files."""
    precision: Precision = "float32"
    """Arithmetic of the convolutions."""
    host: str = "127.0.0.1"
    """Address to listen at: this machine only; 0.0.0.0 for all of its network."""
    port: int = PORT
    """Port to listen at; 0 for one that is free."""
    no_browser: Switch = False
    """Open no browser."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        arguments: Of the command line; this process' own if None.

    Raises:
        UsageError: The arguments do not make sense, alone or together.
        UserError: A model or the data set cannot be read, or the port is taken.
    """
    silence_pillow()
    asked = tyro.cli(PaintSettings, args=arguments, prog=how_to_call("paint"))
    size = check(asked)
    weights = asked.weights or (bundled_model(),)

    from crn_tf.pages.local_server import addresses, listen, network_address, page_address
    from crn_tf.pages.local_server import serve as serve_page

    listening = listen(asked.host, asked.port)  # a port that is taken is known before TensorFlow is
    known = addresses(listening, asked.host)
    say_who_may_paint(asked, listening)

    start_tensorflow(one_at_a_time=True)  # only now: it takes seconds
    check_gpus(required=False)
    from crn_tf.pages.paint_models import Painter
    from crn_tf.pages.paint_server import PaintPage, paint_app

    warn_of_slowness(asked.precision)
    print(f"on {describe_devices(asked.precision, 1)}")
    with explaining_exhaustion("try --precision bfloat16, a smaller --size, or fewer models"):
        painter = Painter(load_models(asked, weights, size))
        starts = open_starts(asked, weights[0], painter.default)
        painter.warm_up()
    page = PaintPage(painter, starts)
    address = page_address(listening, asked.host)
    if others := network_address(listening):
        print(f"other machines open {others}")
    print(f"serving {address} until Ctrl-C", flush=True)
    if not asked.no_browser:
        open_browser(address)
    try:
        serve_page(paint_app(page, known), listening)
    finally:
        page.close()


def check(asked: PaintSettings) -> Size | None:
    """Compare the arguments with what makes sense, before anything takes time.

    Returns:
        The size of synthesis that was asked for.

    Raises:
        UsageError: One does not, alone or with others.
        UserError: A model or the data set is not there.
    """
    if asked.data is None and asked.dataset != "toy":
        for name, default in (("dataset", None), ("split", "val"), ("labels", "auto")):
            if getattr(asked, name) != default:
                raise UsageError(f"--{name} has no meaning without --data")
    for path in (*asked.weights, *([asked.draft] if asked.draft else [])):
        if not any(each.exists() for each in (path, Path(f"{path}.index"))):  # of a release checkpoint
            raise no_weights(path)
    if asked.data and not asked.data.is_dir():
        raise UserError(f"no folder {asked.data}")
    return parse_pair(asked.size, "--size") if asked.size else None


def say_who_may_paint(asked: PaintSettings, listening: socket.socket) -> None:
    """Tell what it means to listen at another address than this machine's own."""
    own = listening.getsockname()[0]
    if own not in ("127.0.0.1", "::1"):
        where = "all addresses of this machine" if own in ("0.0.0.0", "::") else own
        print(
            f"--host {asked.host}: listening at {where}. Whoever reaches this machine over its network can paint, see "
            "the layouts to start from, and keep it busy; nothing is encrypted, and nobody is asked who they are"
        )


def load_models(asked: PaintSettings, weights: Sequence[Path], size: Size | None) -> "list[PaintModel]":
    """Load the models, the draft last. TensorFlow has been started.

    Raises:
        UsageError: A network cannot have the size that was asked for.
        UserError: One cannot be read, or there is not enough memory for it.
    """
    from crn_tf.model.synthesizer import Synthesizer
    from crn_tf.pages.paint_models import PaintModel, names_of
    from crn_tf.saved.loading import find_model, load_generator
    from crn_tf.training.memory_needs import check_synthesis_memory

    paths = [*weights, *([asked.draft] if asked.draft else [])]
    models = []
    for number, (path, name) in enumerate(zip(paths, names_of(paths), strict=True)):
        model, told = find_model(path)
        is_draft = number == len(weights)
        generator, description = load_generator(
            model,
            asked.precision,
            None if is_draft else size,
            last=True,
            before_building=lambda model: check_synthesis_memory(model, 1, asked.precision),
        )
        height, width = description.image_size
        print(f"{'draft' if is_draft else 'model'}: {told}, {height}x{width}, {description.parameters:,} parameters")
        models.append(PaintModel(name, description, Synthesizer(generator), is_draft, asked.precision))
    return models


def open_starts(asked: PaintSettings, weights: Path, model: "PaintModel") -> "Starts":
    """Open the layouts that can be started from; none is read yet.

    Args:
        asked: The command line.
        weights: Where the first model is from: a run folder's validation layouts are among them, if they are there.
        model: The first model.

    Raises:
        UserError: The data set cannot be read, or has other classes than the model.
    """
    from crn_tf.pages.paint_starts import AllStarts, DataStarts, DrawnStarts, Starts
    from crn_tf.synthesis.layouts import check_classes, find_source
    from crn_tf.synthesis.request import TestSettings

    description, fit = model.description, model.description.fit
    parts: list[Starts] = [DrawnStarts(description.classes)]
    if RunFolder(weights).settings.is_file():
        try:
            source = find_source(TestSettings(), RunFolder(weights))
            own = open_data_set(*source, description.image_size[0], need_photos=False)
            check_classes(own, description, weights)
            parts.append(DataStarts("validation", own, fit))
        except UserError as error:
            print(f"warning: the run's own layouts cannot be started from: {error}", file=sys.stderr)
    if asked.data or asked.dataset:
        form = asked_form(asked.labels)
        data = open_data_set(
            asked.data, asked.dataset, asked.split, description.image_size[0], need_photos=False, labels=form
        )
        check_classes(data, description, weights)
        parts.append(DataStarts("data", data, fit))
    return AllStarts(parts)


def open_browser(address: str) -> None:
    """Open the page in a browser, if there is a screen to open it on."""
    if sys.platform == "linux" and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        return  # one for terminals would take ours

    def open_it() -> None:
        with suppress(Exception):  # the address has been printed
            webbrowser.open(address)

    threading.Thread(target=open_it, daemon=True).start()  # some wait until the browser is closed


if __name__ == "__main__":
    run_command(main)
