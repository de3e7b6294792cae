"""The `crn` command: `crn train`, `crn test`, ... Each is a module of the same name, with a `main`."""

import difflib
import functools
import importlib
import sys

from crn_tf.errors import UsageError, run_command

COMMANDS = {
    "check": "look at a data set before training on it",
    "train": "train a network on photographs and their layouts",
    "test": "synthesize photographs from layouts with a trained network",
    "export": "export a trained network for TensorFlow Serving",
    "evaluate": "judge synthesized photographs by segmentation scores, KID, FID and more",
    "paint": "paint layouts on a page, and see the photographs",
    "study": "ask people which picture looks more realistic",
    "download": "fetch the authors' published models, or VGG19",
}


def main() -> None:
    """Run the command that the command line names, and leave the process with its exit code."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        command = importlib.import_module(f"crn_tf.{name}").main  # only now: each imports what it needs
        run_command(command, arguments)
    run_command(functools.partial(_about, name))


def _about(name: str) -> None:
    """Print what there is.

    Raises:
        UsageError: Something else was asked for.
    """
    if name in ("-h", "--help"):
        print("usage: crn COMMAND [OPTIONS]\n\nPhotographs from semantic layouts.\n")
        print("\n".join(f"  crn {command:10} {what}" for command, what in COMMANDS.items()))
        print("\ncrn COMMAND --help tells the options of each.")
    elif name == "--version":
        from crn_tf import __version__

        print(f"crn_tf {__version__}")
    else:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
        raise UsageError(f"there is no command {name!r}: {meant}")


if __name__ == "__main__":
    main()
