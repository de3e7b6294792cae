"""The built-in toy streets: repeatable, complete, the same at every size, and worth learning from."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from crn_tf.data.scenes import NAMES, PALETTE, VOID, build_world, draw_scene

SEEDS = range(20)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed, 128, 256) for seed in SEEDS]


def class_pixels(scenes, name):
    """All pixels [count, 3] of a class, each scene's mean colour taken off."""
    found = [photograph[layout == NAMES.index(name)].astype(float) for photograph, layout in scenes]
    return np.concatenate([pixels - pixels.mean(axis=0) for pixels in found if len(pixels)])


def test_names_and_palette_belong_together():
    assert NAMES == ("sky", "building", "window", "road", "marking", "pavement", "tree", "car", "lamp")
    assert VOID == len(NAMES) == len(PALETTE) == len(set(PALETTE))
    assert all(len(colour) == 3 and 0 <= min(colour) <= max(colour) <= 255 for colour in PALETTE)
    assert PALETTE[NAMES.index("road")] == (128, 64, 128)


@pytest.mark.parametrize("size", [(32, 32), (64, 128), (97, 131), (160, 64), (40, 400), (256, 512)])
def test_any_size(size):
    photograph, layout = draw_scene(3, *size)
    assert photograph.shape == (*size, 3) and photograph.dtype == np.uint8
    assert layout.shape == size and layout.dtype == np.uint8
    assert layout.max() <= VOID
    assert len(np.unique(layout)) >= 4
    assert photograph.std() > 15


@pytest.mark.filterwarnings("error")
def test_no_seed_fails():
    for seed in range(150):
        layout = draw_scene(seed, 32, 64)[1]
        assert (layout == VOID).mean() < 0.15


def test_same_seed_same_scene(scenes):
    for seed in (0, 7):
        photograph, layout = draw_scene(seed, 128, 256)
        np.testing.assert_array_equal(photograph, scenes[seed][0])
        np.testing.assert_array_equal(layout, scenes[seed][1])


def test_different_seeds_differ(scenes):
    for (photograph, layout), (other_photograph, other_layout) in pairwise(scenes):
        assert (layout != other_layout).mean() > 0.05
        assert np.abs(photograph.astype(int) - other_photograph).mean() > 10


def test_every_class_occurs_in_most_scenes(scenes):
    share = np.array([np.bincount(layout.ravel(), minlength=VOID + 1) / layout.size for _, layout in scenes])
    assert ((share[:, :VOID] > 0.001).mean(axis=0) >= 0.8).all(), share.mean(axis=0)
    void = share[:, VOID]
    assert 0.1 <= (void > 0).mean() <= 0.9
    assert void.max() < 0.15
    # A street, not a wall of one thing.
    assert share.max() < 0.7


def test_things_are_where_they_belong(scenes):
    """Sky above, road below, void (the bonnet) at the bottom edge only."""
    for _, layout in scenes:
        rows = [np.nonzero(layout == NAMES.index(name))[0].mean() for name in ("sky", "building", "road")]
        assert rows == sorted(rows)
        bottom = np.nonzero(layout == VOID)[0]
        assert not bottom.size or bottom.min() > 0.8 * len(layout)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5])
def test_same_scene_at_twice_the_size(scenes, seed):
    photograph, layout = scenes[seed]
    large_photograph, large_layout = draw_scene(seed, 256, 512)
    assert (layout == large_layout[1::2, 1::2]).mean() > 0.95
    halved = np.asarray(Image.fromarray(large_photograph).reduce(2)).astype(float)
    # The grain is drawn anew at each size; everything else stays.
    assert np.abs(halved - photograph).mean() < 8


def test_other_shapes_show_the_middle_of_the_same_scene(scenes):
    square, wide = draw_scene(5, 128, 128)[1], draw_scene(5, 64, 256)[1]
    assert (square == scenes[5][1][:, 64:192]).mean() > 0.95
    assert (wide == scenes[5][1][32:96]).mean() > 0.95


def class_means(photograph, layout):
    """The photograph with every pixel replaced by the mean colour of its class."""
    picture = photograph.astype(float)
    for name in np.unique(layout):
        picture[layout == name] = picture[layout == name].mean(axis=0)
    return picture


def test_layout_explains_the_photograph(scenes):
    """Mean colours per class leave clearly less variance, and less than with a layout moved a little."""
    left, moved = [], []
    for photograph, layout in scenes:
        total = photograph.astype(float).var(axis=(0, 1)).sum()
        left.append(((photograph - class_means(photograph, layout)) ** 2).mean(axis=(0, 1)).sum() / total)
        shifted = np.roll(layout, 6, axis=(0, 1))
        moved.append(((photograph - class_means(photograph, shifted)) ** 2).mean(axis=(0, 1)).sum() / total)
    assert np.mean(left) < 0.7
    assert np.mean(moved) > np.mean(left) + 0.05


def test_layout_is_aligned_to_the_pixel(scenes):
    """Of all small shifts of the layout, none explains the photographs better than no shift at all."""
    error = {}
    for shift in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]:
        pairs = [(photograph, np.roll(layout, shift, axis=(0, 1))) for photograph, layout in scenes]
        inner = slice(2, -2)
        error[shift] = sum(
            ((photograph - class_means(photograph, layout))[inner, inner] ** 2).mean() for photograph, layout in pairs
        )
    assert min(error, key=error.get) == (0, 0), error


@pytest.mark.parametrize("name, least", [("road", 1.5), ("tree", 2.5), ("building", 0.4), ("pavement", 1)])
def test_surfaces_have_texture(scenes, name, least):
    """Detail finer than three pixels, well inside the class; the median, so that no outline counts."""
    details = []
    for photograph, layout in scenes:
        grey = photograph.astype(float).mean(axis=2)
        windows = np.lib.stride_tricks.sliding_window_view(grey, (3, 3))
        same = np.lib.stride_tricks.sliding_window_view(layout == NAMES.index(name), (3, 3)).all(axis=(2, 3))
        details.append(np.abs(grey[1:-1, 1:-1] - windows.mean(axis=(2, 3)))[same])
    assert np.median(np.concatenate(details)) > least


@pytest.mark.parametrize("name, across, within", [("sky", 10, 8), ("building", 8, 15), ("road", 5, 8), ("car", 10, 25)])
def test_classes_vary_between_scenes_and_within(scenes, name, across, within):
    inside = [(photograph, layout == NAMES.index(name)) for photograph, layout in scenes]
    means = [photograph[here].mean(axis=0) for photograph, here in inside if here.any()]
    assert np.std(means, axis=0).max() > across
    assert class_pixels(scenes, name).std() > within


def test_houses_facing_the_sun_are_brighter(scenes):
    """Houses on the left face right, so a sun on the right (x > 0) shines on them, and the reverse."""
    lead, sun = [], []
    for seed, (photograph, layout) in zip(SEEDS, scenes, strict=True):
        grey, house = photograph.astype(float).mean(axis=2), layout == NAMES.index("building")
        lead.append(grey[:, :128][house[:, :128]].mean() - grey[:, 128:][house[:, 128:]].mean())
        world = build_world(seed)
        sun.append(world.sun[0] * world.sunlight.mean())
    assert np.corrcoef(lead, sun)[0, 1] > 0.5


def test_edges_are_smooth_in_the_photograph():
    """Along slanted edges of the road markings, in-between colours occur: the photograph is antialiased."""
    photograph, layout = draw_scene(3, 256, 512)
    bright = photograph.astype(float).mean(axis=2)
    marking = layout == NAMES.index("marking")
    near_edge = marking[:, :-1] != marking[:, 1:]
    step = np.abs(np.diff(bright, axis=1))[near_edge]
    full = bright[marking].mean() - bright[layout == NAMES.index("road")].mean()
    assert full > 30
    assert ((step > 0.15 * full) & (step < 0.6 * full)).mean() > 0.2
