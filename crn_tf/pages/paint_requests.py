"""What requests may say: parameters that are known, once each, and a layout file as the body."""

from collections.abc import Mapping
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from crn_tf.errors import one_line

_PNG = b"\x89PNG\r\n\x1a\n"  # what such a file begins with
Choice = TypeVar("Choice")


def parameters(request: Request, *known: str) -> dict[str, str]:
    """The parameters of a request's address.

    Raises:
        HTTPException: There are others than are known, or one of them twice: a typing mistake must not be read over.
    """
    given = request.query_params.multi_items()
    expected = f"expected {', '.join(known)}" if known else "expected none"
    for name, _ in given:
        if name not in known:
            raise HTTPException(400, f"there is no parameter {one_line(name, 80)!r}; {expected}")
    if len(given) > len(dict(given)):
        raise HTTPException(400, "a parameter is given twice")
    return dict(given)


def whole_number(asked: dict[str, str], name: str, default: int, most: int | None = None) -> int:
    """A parameter that counts from 0.

    Raises:
        HTTPException: It is no such number.
    """
    text = asked.get(name, str(default))
    if not is_number(text) or (most is not None and int(text) > most):
        expected = "a whole number from 0" if most is None else f"0 to {most}" if most else "0"
        raise HTTPException(400, f"{name} is {one_line(text, 80)!r}; expected {expected}")
    return int(text)


def is_number(text: str) -> bool:
    """Whether a text is a whole number from 0, of a length that can be read."""
    return text.isascii() and text.isdecimal() and len(text) < 10


def choice(asked: dict[str, str], name: str, default: str, choices: Mapping[str, Choice]) -> Choice:
    """What is meant by a parameter that is one of a few words.

    Raises:
        HTTPException: It is another.
    """
    text = asked.get(name, default)
    if text not in choices:
        raise HTTPException(400, f"{name} is {one_line(text, 80)!r}; expected {', '.join(choices)}")
    return choices[text]


async def layout_file(request: Request) -> bytes:
    """A request's body.

    Raises:
        HTTPException: It is empty, or a form.
    """
    content = await request.body()
    if not content:
        raise HTTPException(400, "the request has no body; expected a layout file, such as a PNG of class ids")
    cut = content.startswith(_PNG[:4]) and not content.startswith(_PNG)  # curl -d takes line ends out
    if content.startswith(b"--") or cut:  # between a form's parts, as curl -F sends them
        raise HTTPException(400, "the body is a form's, no layout file; send the file itself: curl --data-binary @FILE")
    return content
