"""Some of many things in order, evenly spaced: neighbouring video frames look alike."""


def evenly_spaced(wanted: int, count: int) -> list[int]:
    """The indices of `wanted` of `count` things, the first among them; of all, if there are fewer."""
    wanted = min(wanted, count)
    return [index * count // wanted for index in range(wanted)]


def middles(wanted: int, count: int) -> list[int]:
    """The indices in the middles of `wanted` equal parts of `count` things; of all, if there are fewer."""
    wanted = min(wanted, count)
    return [(2 * index + 1) * count // (2 * wanted) for index in range(wanted)]
