"""Send a layout to a served model by REST, and write the pictures. Needs nothing but Python.

python serving/client_rest.py layout.png picture.png
"""

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layout", type=Path, help="PNG of class ids or palette colours, of any size")
    parser.add_argument("picture", type=Path, help="where to; several are numbered: picture_0.png, picture_1.png, ...")
    parser.add_argument("--url", default="http://localhost:8501/v1/models/crn", help="of the model")
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait")
    arguments = parser.parse_args()

    png = base64.b64encode(arguments.layout.read_bytes()).decode()
    body = {"signature_name": "layout_png", "instances": [{"layout_bytes": {"b64": png}}]}
    request = urllib.request.Request(f"{arguments.url}:predict", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=arguments.timeout) as response:
            (images,) = json.load(response)["predictions"]  # of the one layout
    except urllib.error.HTTPError as error:
        sys.exit(f"error: {reason(json.load(error)['error'])}")
    except OSError as error:
        sys.exit(f"error: cannot reach {arguments.url}: {error}")
    for number, image in enumerate(images):
        suffix = f"_{number}" if len(images) > 1 else ""
        path = arguments.picture.with_stem(arguments.picture.stem + suffix)
        path.write_bytes(base64.b64decode(image["b64"]))
        print(path)


def reason(message: str) -> str:
    """What the model said of a request, without where in its graph it was."""
    return message.rpartition("assertion failed: [")[2].partition("\n")[0].removesuffix("]")


if __name__ == "__main__":
    main()
