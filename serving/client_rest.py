"""Send a layout to a served model by REST, and write the pictures. Needs nothing but Python.

python serving/client_rest.py layout.png picture.png
"""

import argparse
import base64
import http.client
import json
import os
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
    if os.path.isdir(arguments.picture) or not os.path.isdir(
        arguments.picture.parent
    ):  # known before a server computes
        sys.exit(f"error: cannot write {arguments.picture}: expected a file's name in a folder that is there")
    try:
        png = base64.b64encode(arguments.layout.read_bytes()).decode()
    except OSError as error:
        sys.exit(f"error: cannot read the layout {arguments.layout}: {error.strerror}")
    body = {"signature_name": "layout_png", "instances": [{"layout_bytes": {"b64": png}}]}
    pictures = predict(arguments.url, json.dumps(body).encode(), arguments.timeout)
    for number, picture in enumerate(pictures):
        suffix = f"_{number}" if len(pictures) > 1 else ""
        path = arguments.picture.with_stem(arguments.picture.stem + suffix)
        try:
            path.write_bytes(picture)
        except OSError as error:
            sys.exit(f"error: cannot write {path}: {error.strerror}")
        print(path)


def predict(url: str, body: bytes, timeout: float) -> list[bytes]:
    """The pictures of the one layout. Ends the program with a line if there are none."""
    try:
        request = urllib.request.Request(f"{url}:predict", body)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = response.read()
    except urllib.error.HTTPError as error:
        sys.exit(f"error: {refusal(url, error)}")
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: the address is none
        sys.exit(f"error: cannot reach {url}: {error or type(error).__name__}")
    try:
        (images,) = json.loads(answer)["predictions"]
        return [base64.b64decode(image["b64"], validate=True) for image in images]
    except (ValueError, LookupError, TypeError):
        sys.exit(
            f"error: {url} answered {shortened(answer)}; expected JSON with pictures. Is it a model of crn_tf.export?"
        )


def refusal(url: str, error: urllib.error.HTTPError) -> str:
    """Why a server did not answer with pictures."""
    answer = error.read()
    try:
        return reason(json.loads(answer)["error"])
    except (ValueError, LookupError, TypeError, AttributeError):
        told = f"{url} answered {shortened(answer)} with status {error.code}"
        return f"{told}; expected JSON. Is it TensorFlow Serving's REST address?"


def shortened(answer: bytes) -> str:
    """The beginning of an answer, on one line."""
    text = " ".join(answer[:200].decode(errors="replace").split())
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def reason(message: str) -> str:
    """What the model said of a request, without where in its graph it was, on one line."""
    return " ".join(message.rpartition("assertion failed: [")[2].partition("\n")[0].removesuffix("]").split())


if __name__ == "__main__":
    main()
