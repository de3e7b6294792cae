"""Pictures of another shape than the model's: how much they are stretched, or what is cut, in numbers and words."""

from collections.abc import Iterable

from crn_tf.data.images import Fit, Size

NOTICEABLE = 1.03  # more distortion than this is told; less is what rounding to whole pixels does


def distortion(found: Size, size: Size) -> float:
    """How many times as much one axis is stretched as the other, where a picture is resized: 1 for the same shape.

    Args:
        found: Height and width of the picture.
        size: Height and width that it is brought to.
    """
    ratio = (found[1] * size[0]) / (found[0] * size[1])
    return max(ratio, 1 / ratio)


def part_used(found: Size, size: Size, fit: Fit) -> Size:
    """Height and width of the part of a picture that is used: all of it, or the centre that is cut out.

    Args:
        found: Height and width of the picture.
        size: Height and width that it is brought to.
        fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.
    """
    if fit == "resize":
        return found
    scale = min(found[0] / size[0], found[1] / size[1])
    height, width = (max(1, min(round(to * scale), of)) for to, of in zip(size, found, strict=True))
    return height, width


def about_shapes(pictures: Iterable[tuple[str, Size]], size: Size, fit: Fit, what: str) -> str | None:
    """One line about pictures that are stretched or cut noticeably, or None if none is.

    Args:
        pictures: Names, with heights and widths.
        size: Height and width that they are brought to.
        fit: "resize" stretches; "crop" cuts the centre to the aspect ratio first.
        what: The pictures are: "layouts" or "photographs".
    """
    named = list(pictures)
    others = [(distortion(found, size), name, found) for name, found in named if found != size]
    others = [other for other in others if other[0] > NOTICEABLE]
    if not others:
        return None
    most, name, (height, width) = max(others)
    if fit == "resize":
        done = f"stretched, up to {most:.2f} times as much one way as the other; --fit crop cuts their centre instead"
    else:
        done = f"cut to their centre, without up to {1 - 1 / most:.0%} of them; --fit resize stretches them instead"
    return (
        f"{len(others)} of {len(named)} {what} do not have the shape of {size[0]}x{size[1]} ({name} is "
        f"{height}x{width}, height x width): {done}"
    )
