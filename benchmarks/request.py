"""What does a request cost? Answers of exported models, each in a process of its own, as a server without a GPU gives
them: reading a PNG layout, synthesis, encoding the images.

python benchmarks/request.py exported/crn/1
python benchmarks/request.py exported/crn/1 exported/crn/2 --requests 20 --json requests.json
"""

import io
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measuring import WORKER
from crn_tf.devices import check_gpus, describe_devices
from crn_tf.errors import UsageError, UserError, run_command
from crn_tf.files import read_json, write_text
from crn_tf.starting import start_tensorflow


@dataclass(frozen=True)
class RequestBenchmark:
    """Measure requests of one PNG layout each (signature layout_png), one after the other."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Version folders that crn_tf.export wrote."""
    requests: int = 5
    """Requests to time, after a first one that does not count: it is slow."""
    json: Path | None = None
    """File for the results."""


def main() -> None:
    """Measure each folder, print a table and JSON."""
    if sys.argv[1:2] == [WORKER]:
        work(Path(sys.argv[2]), int(sys.argv[3]))
        return
    options = tyro.cli(RequestBenchmark)
    if not options.folders or options.requests < 1:
        raise UsageError("give at least one folder, and --requests greater than 0")
    results = []
    for folder in options.folders:
        if not (folder / "saved_model.pb").is_file():
            raise UserError(
                f"{folder} has no saved_model.pb; expected a version folder of crn_tf.export: exported/crn/1"
            )
        command = [sys.executable, __file__, WORKER, str(folder), str(options.requests)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise UserError(f"{folder}: {(result.stderr.strip().splitlines() or ['its process died'])[-1]}")
        results.append(json.loads(result.stdout.splitlines()[-1]))
    for device in dict.fromkeys(result["device"] for result in results):
        print(f"on {device}")
    print(f"{'':24} {'size':>10} {'images':>6} {'s/request':>10} {'(min..max)':>16} {'first':>7} {'peak GB':>8}")
    for r in results:
        spread = "({:.2f}..{:.2f})".format(*r["seconds_spread"])
        print(f"{r['folder']:24} {r['size']:>10} {r['images']:6} {r['seconds_per_request']:10.3f} {spread:>16} "
              f"{r['first_request_seconds']:7.2f} {r['peak_memory_gb']:8.2f}")  # fmt: skip
    print(json.dumps(results))
    if options.json:
        write_text(options.json, json.dumps(results) + "\n")


def work(folder: Path, requests: int) -> None:
    """Measure one exported model in this process; print the result as JSON."""
    about = read_json(folder / "assets/classes.json")
    height, width = about["height"], about["width"]
    ids = [entry["png_id"] for entry in about["classes"]]
    cells = np.random.default_rng(0).choice(np.array(ids, np.uint8), (8, 16))
    png = io.BytesIO()
    Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST).save(png, "PNG")

    start_tensorflow(one_at_a_time=True)
    check_gpus(required=False)
    import tensorflow as tf

    from crn_tf.training.memory import peak_memory_gb

    model = tf.saved_model.load(str(folder))  # kept: its signatures do not keep it
    request = tf.constant([png.getvalue()])
    seconds = []
    for _ in range(1 + requests):
        start = time.perf_counter()
        model.signatures["layout_png"](layout_bytes=request)["image_bytes"].numpy()
        seconds.append(time.perf_counter() - start)
    timed = seconds[1:]
    result = {"folder": str(folder), "size": f"{height}x{width}", "images": about["images_per_layout"]}
    result |= {"seconds_per_request": statistics.median(timed), "seconds_spread": [min(timed), max(timed)]}
    result |= {"device": describe_devices(None, 1)}
    result |= {"first_request_seconds": seconds[0], "peak_memory_gb": peak_memory_gb(), "requests": requests}
    print(json.dumps(result))


if __name__ == "__main__":
    run_command(main)
