"""Pictures of another shape than the model's: what is said of them, and which part of them is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crn_tf.data.fitting import about_shapes, distortion, part_used

sides = st.integers(1, 5000)
sizes = st.tuples(sides, sides)


def test_stretched_pictures_are_counted_and_the_worst_is_named():
    pictures = [("a", (256, 512)), ("b", (512, 1024)), ("c", (300, 300)), ("d", (600, 500))]
    assert about_shapes(pictures, (256, 512), "resize", "photographs") == (
        "2 of 4 photographs do not have the shape of 256x512 (d is 600x500, height x width): stretched, up to 2.40 "
        "times as much one way as the other; --fit crop cuts their centre instead"
    )
    told = about_shapes(pictures, (256, 512), "crop", "layouts")
    assert "2 of 4 layouts" in told and "cut to their centre, without up to 58% of them" in told


@pytest.mark.parametrize("found", [(256, 512), (375, 750), (1024, 2048), (33, 65), (257, 512)])
def test_rounding_to_whole_pixels_is_nothing_to_talk_about(found):
    for fit in ("resize", "crop"):
        assert about_shapes([("a", found)], (256, 512), fit, "layouts") is None


@given(sizes, sizes)
def test_the_part_used_is_the_largest_of_the_shape(found, size):
    assert part_used(found, size, "resize") == found
    part = part_used(found, size, "crop")
    assert all(1 <= of <= whole for of, whole in zip(part, found, strict=True))
    assert any(of == whole for of, whole in zip(part, found, strict=True))
    if min(part) >= 50:
        assert distortion(part, size) < 1.02
    assert distortion(found, size) == pytest.approx(distortion(size, found)) and distortion(found, size) >= 1
