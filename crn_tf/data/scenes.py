"""The built-in toy data set: procedurally drawn streets with their semantic layouts.

A scene is a list of flat polygons in a small world measured in metres (x right, y up, z away from the viewer,
who stands at x = 0, z = 0), added from far to near. The polygons are painted as plain numbers into one large
picture. The numbers give each pixel its class (the layout), its paint (averaged down, hence the smooth edges)
and the plane it lies on, hence its place in the world, from which texture, shadow and haze follow. Everything
random is decided in metres, before the size of the picture comes into play.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from crn_tf.tensors import Floats, Layout, Pixels

NAMES = ("sky", "building", "window", "road", "marking", "pavement", "tree", "car", "lamp")
PALETTE = (
    (70, 130, 180),
    (70, 70, 70),
    (102, 102, 156),
    (128, 64, 128),
    (255, 255, 255),
    (244, 35, 232),
    (107, 142, 35),
    (0, 0, 142),
    (153, 153, 153),
)
VOID = len(NAMES)
SKY, BUILDING, WINDOW, ROAD, MARKING, PAVEMENT, TREE, CAR, LAMP = range(VOID)

# Materials, and how strongly the brightness of each varies in fine grain and in broad blotches.
SMOOTH, ASPHALT, SLABS, PLASTER, BRICK, GLASS, LEAVES = range(7)
GRAIN = np.array([0.0, 0.065, 0.04, 0.018, 0.035, 0.01, 0.21], np.float32)
BLOTCH = np.array([0.0, 0.05, 0.04, 0.045, 0.04, 0.16, 0.07], np.float32)

FOCAL = 0.95  # focal length, in heights of the uncropped 2:1 frame
FAR = 400.0  # metres; nothing is further away
STREET_END, BEHIND = 130.0, 60.0  # metres of houses ahead, and behind the viewer for their shadows
SOFT_GRID = (128, 256)  # [rows, columns]: soft things (shadows, clouds) are drawn at this size, then resized

WALLS = np.array(
    [
        [156, 74, 54],
        [178, 100, 70],
        [200, 162, 112],
        [218, 202, 166],
        [182, 180, 172],
        [146, 162, 174],
        [212, 170, 146],
        [188, 186, 138],
        [126, 98, 84],
        [226, 218, 204],
    ],
    np.float32,
)
CAR_PAINTS = np.array(
    [
        [196, 24, 28],
        [28, 66, 150],
        [230, 230, 226],
        [160, 166, 172],
        [46, 48, 52],
        [96, 104, 112],
        [30, 100, 74],
        [222, 166, 40],
        [124, 28, 40],
        [90, 144, 188],
    ],
    np.float32,
)
AWNINGS = np.array([[156, 40, 40], [40, 88, 64], [46, 62, 120], [196, 152, 60], [74, 64, 58]], np.float32)


class Surface(NamedTuple):
    """Polygons of one kind."""

    points: Floats  # [count, corners, 3], in metres
    name: int  # class id
    material: int
    glow: float  # light of its own
    colour: Floats  # [count, 3], 0..255
    normals: Floats  # [count, 3]; zeros for the polygons' own


@dataclass
class World:
    """One scene: the viewer, the light, and what has been added so far."""

    random: np.random.Generator
    eye: float  # height of the viewer's eye
    horizon: float  # 0 (top of the frame) .. 1 (bottom)
    vanishing: float  # sideways offset of the vanishing point, in frame heights
    middle: float  # x of the middle of the road
    half_road: float
    half_street: float  # from the middle of the road to the house fronts
    sun: Floats  # [3], unit vector towards the sun
    sunlight: Floats  # [3], linear, about 1
    skylight: Floats  # [3], linear, about 1
    zenith: Floats  # [3], 0..255, the sky overhead
    haze: Floats  # [3], 0..255, the sky at the horizon
    visibility: float  # metres until haze takes over
    overcast: float  # 0..1
    roofline: Floats  # heights of the houses on the sunny side, two per metre from -BEHIND on
    surfaces: list[Surface] = field(default_factory=list)
    cast_shadows: list[Floats] = field(default_factory=list)  # polygons on the ground, [count, corners, 3] each
    contact_shadows: list[Floats] = field(default_factory=list)  # likewise, for places that no light reaches

    def add(
        self,
        points: ArrayLike,
        name: int,
        colour: ArrayLike,
        material: int = SMOOTH,
        normals: ArrayLike = 0.0,
        glow: float = 0.0,
    ) -> None:
        """Add polygons.

        Args:
            points: Corners in metres, [count, corners, 3] or [corners, 3].
            name: Their class id.
            colour: One, or one for each: [3] or [count, 3], 0..255.
            material: What their texture is of.
            normals: Where light falls as on another surface: its normals [count, 3].
            glow: Light of their own, about 0..1.
        """
        points = np.asarray(points, np.float32)
        points = points[None] if points.ndim == 2 else points
        blank = np.zeros((len(points), 3), np.float32)
        self.surfaces.append(Surface(points, name, material, glow, np.add(blank, colour), np.add(blank, normals)))

    def drop(self, points: Floats) -> Floats:
        """Where on the ground the sun drops the shadow of points, [..., 3] -> [..., 3]."""
        return points - points[..., 1:2] * (self.sun / self.sun[1])


def upright(x0: ArrayLike, x1: ArrayLike, y0: ArrayLike, y1: ArrayLike, z0: ArrayLike, z1: ArrayLike) -> Floats:
    """Standing rectangles from (x0, z0) to (x1, z1), numbers or arrays [count] -> [count, 4, 3]."""
    corners = np.empty((4, 3, np.broadcast(x0, x1, y0, y1, z0, z1).size))
    corners[0, 0] = corners[3, 0] = x0
    corners[1, 0] = corners[2, 0] = x1
    corners[0, 1] = corners[1, 1] = y0
    corners[2, 1] = corners[3, 1] = y1
    corners[0, 2] = corners[3, 2] = z0
    corners[1, 2] = corners[2, 2] = z1
    return corners.transpose(2, 0, 1)


def flat(x0: ArrayLike, x1: ArrayLike, z0: ArrayLike, z1: ArrayLike) -> Floats:
    """Rectangles lying on the ground, numbers or arrays [count] -> [count, 4, 3]."""
    return upright(x0, x1, z0, z1, 0, 0)[..., [0, 2, 1]]


@cache
def circle(corners: int, axis: int) -> Floats:
    """A polygon of radius 1 [corners, 3] that faces along an axis (0: x, 1: y, 2: z)."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.insert(np.stack([np.cos(angle), np.sin(angle)], axis=1), axis, 0.0, axis=1)


# What is in the world, in the order in which it is added: far to near.


def begin_world(random: np.random.Generator) -> World:
    """Choose the viewer, the street and the light."""
    evening, overcast = random.random() ** 1.5, random.random() ** 2
    # How far the shadow of something one metre tall reaches across the street and along it.
    across, along = random.uniform(0.25, 0.8 + 0.5 * evening), random.uniform(-0.5, 0.9)
    sun = np.array([across * random.choice((-1, 1)), 1.0, -along])
    half_road = random.uniform(4.6, 6.4)

    def weather(day: ArrayLike, dusk: ArrayLike, grey: ArrayLike) -> Floats:
        clear = np.array(day) * (1 - evening) + np.array(dusk) * evening
        return clear * (1 - overcast) + np.array(grey) * overcast

    return World(
        random,
        eye=random.uniform(1.6, 2.3),
        horizon=random.uniform(0.44, 0.52),
        vanishing=random.uniform(-0.18, 0.18),
        middle=-random.uniform(1.3, 2.2),
        half_road=half_road,
        half_street=half_road + random.uniform(2.8, 4.4),
        sun=sun / np.linalg.norm(sun),
        sunlight=weather((1.4, 1.33, 1.18), (1.65, 1.08, 0.6), (0.25, 0.25, 0.25)),
        skylight=weather((0.42, 0.51, 0.64), (0.47, 0.44, 0.58), (0.82, 0.86, 0.9)),
        zenith=weather((58, 124, 206), (94, 118, 180), (152, 162, 174)),
        haze=weather((200, 222, 240), (252, 212, 166), (214, 218, 222)),
        visibility=random.uniform(130, 450),
        overcast=overcast,
        roofline=np.zeros(int(2 * (BEHIND + STREET_END)), np.float32),
    )


def add_ground(world: World) -> None:
    """Pavement everywhere, with the road, its gutters, kerbs, mended patches and manholes on top."""
    random, middle, half = world.random, world.middle, world.half_road
    stone = np.array([170, 162, 152], np.float32) + random.uniform(-16, 16) + random.uniform(-6, 6, 3)
    tar = np.array([98, 98, 102], np.float32) + random.uniform(-14, 14)
    world.add(flat(-90, 90, 1, FAR), PAVEMENT, stone, SLABS)
    world.add(flat(middle - half, middle + half, 1, FAR), ROAD, tar, ASPHALT)
    kerb, side = middle + half * np.array([-1, 1]), np.array([-1, 1])
    world.add(flat(kerb - side * 0.5, kerb, 1, FAR), ROAD, tar * 0.82, ASPHALT)
    world.add(flat(kerb, kerb + side * 0.28, 1, FAR), PAVEMENT, stone * 1.16)
    left, near = middle + random.uniform(-half, half - 1.8, 5), random.uniform(4, 40, 5)
    world.add(
        flat(left, left + random.uniform(0.7, 1.8, 5), near, near + random.uniform(1, 7, 5)),
        ROAD,
        tar * random.uniform(0.78, 1.12, (5, 1)),
        ASPHALT,
    )
    holes = np.stack([middle + random.uniform(-3, 3, 2), [0, 0], random.uniform(5, 22, 2)], axis=1)
    world.add(holes[:, None] + 0.36 * circle(14, 1), ROAD, tar * 0.6)


def add_markings(world: World) -> None:
    """A broken or double line in the middle, often lines at the sides, sometimes a crossing."""
    random, middle, half = world.random, world.middle, world.half_road
    white = np.array([228, 228, 220], np.float32) - random.uniform(0, 26)
    if random.random() < 0.75:
        dash = np.arange(random.uniform(1, 6), FAR / 2, 6.5)
        world.add(flat(middle - 0.1, middle + 0.1, dash, dash + 3.2), MARKING, white, ASPHALT)
    else:
        left = middle + np.array([-0.3, 0.12])
        world.add(flat(left, left + 0.18, 1, FAR), MARKING, (234, 188, 70), ASPHALT)
    if random.random() < 0.6:
        left = middle + (half - 2.3) * np.array([-1, 1]) - 0.07
        world.add(flat(left, left + 0.14, 1, FAR), MARKING, white, ASPHALT)
    if random.random() < 0.4:
        near, left = random.uniform(8, 20), np.arange(middle - half + 0.5, middle + half - 0.8, 1.1)
        world.add(flat(middle - half, middle + half, near - 0.6, near + 4), ROAD, (98, 98, 102), ASPHALT)
        world.add(flat(left, left + 0.58, near, near + 3.4), MARKING, white, ASPHALT)


def add_skyline(world: World) -> None:
    """Distant blocks and trees at the end of the street."""
    random = world.random
    for distance in (330.0, 240.0, 170.0):
        left, tall = np.arange(-200, 200, 17.0), random.uniform(8, 12 + distance / 11, 24)
        world.add(
            upright(left, left + random.uniform(8, 22, 24), 0, tall, distance, distance),
            BUILDING,
            WALLS[random.integers(len(WALLS), size=24)] * 0.8,
        )
    for x in random.uniform(-26, 26, 5):
        add_tree(world, x, STREET_END + 12, random.uniform(6, 11))


def add_houses(world: World) -> None:
    """Both rows of houses, the far ones first, with a gap here and there."""
    random = world.random
    for side in (-1, 1):
        far = STREET_END
        while far > -BEHIND:
            near, height = far - random.uniform(8, 17), random.uniform(5.8, 14.5)
            if side == np.sign(world.sun[0]):
                world.roofline[max(int(2 * (near + BEHIND)), 0) : int(2 * (far + BEHIND))] = height
            if far > 3:
                add_house(world, side, max(near, 1.5), far, height)
            far = near - (random.uniform(3, 7) if random.random() < 0.2 else 0)


def add_house(world: World, side: int, near: float, far: float, height: float) -> None:
    """One house on the left (side -1) or right (1): roof, gable, front, and what is on the front."""
    random = world.random
    x = world.middle + side * (world.half_street + random.uniform(0, 0.9))
    colour = WALLS[random.integers(len(WALLS))] + random.uniform(-14, 14, 3)
    material = BRICK if colour[0] - colour[2] > 60 else PLASTER
    trim = np.array([228, 222, 210], np.float32) * random.uniform(0.45, 1.05)
    if random.random() < 0.5:
        ridge, top = x + side * 5.5, height + random.uniform(2.2, 4)
        tiles = np.array([[146, 74, 54], [84, 80, 86], [114, 84, 70]], np.float32)[random.integers(3)]
        eaves = (x, height, near)
        world.add([eaves, (x + side * 11, height, near), (ridge, top, near)], BUILDING, colour, material)
        world.add([eaves, (x, height, far), (ridge, top, far), (ridge, top, near)], BUILDING, tiles, BRICK)
    world.add(upright(x, x + side * 11, 0, height, near, near), BUILDING, colour, material)
    world.add(upright(x, x, 0, height, near, far), BUILDING, colour, material)
    world.add(upright(x, x, height - 0.5, height + 0.1, near, far), BUILDING, trim)
    world.add(upright(x, x, 0, 0.6, near, far), BUILDING, colour * 0.62, PLASTER)
    if near < 55:
        shop = random.random() < 0.45
        add_windows(world, x, near, far, height, trim, 4.1 if shop else 1.0)
        (add_shop if shop else add_door)(world, x, near, far, trim)


def add_windows(world: World, x: float, near: float, far: float, height: float, trim: Floats, lowest: float) -> None:
    """Rows of framed windows on the front of a house, from a lowest sill upwards; some have blinds."""
    random = world.random
    columns = max(1, int((far - near) / random.uniform(2.3, 3.3)))
    pitch, half, tall = (far - near) / columns, random.uniform(0.5, 0.75), random.uniform(1.4, 1.9)
    sills = np.arange(lowest, height - 2.4, 3.1)
    z, sill = np.repeat(near + pitch * (np.arange(columns) + 0.5), len(sills)), np.tile(sills, columns)
    rim = 0.16
    world.add(upright(x, x, sill - rim, sill + tall + rim, z - half - rim, z + half + rim), BUILDING, trim)
    glass = (world.zenith * 0.35 + (34, 36, 38)) * random.uniform(0.75, 1.35, (len(z), 1))
    world.add(upright(x, x, sill, sill + tall, z - half, z + half), WINDOW, glass, GLASS)
    if near < 35:
        drawn = random.random(len(z)) < 0.4
        head, drop = (sill + tall)[drawn], tall * random.uniform(0.25, 0.8, drawn.sum())
        left = z[drawn] - half
        world.add(upright(x, x, head - drop, head, left, left + 2 * half), WINDOW, (182, 174, 154))
        world.add(upright(x, x, sill, sill + tall, z - 0.05, z + 0.05), WINDOW, trim)


def add_shop(world: World, x: float, near: float, far: float, trim: Floats) -> None:
    """A ground floor with wide panes below a coloured board."""
    random, colour = world.random, AWNINGS[world.random.integers(len(AWNINGS))]
    wide = (far - near) / max(2, int((far - near) / 4))
    left = np.arange(near, far - 1, wide) + 0.3
    world.add(upright(x, x, 0, 2.9, near + 0.1, far - 0.1), BUILDING, colour * 0.6)
    world.add(
        upright(x, x, 0.55, 2.45, left, left + wide - 0.6), WINDOW, (74, 84, 92), GLASS, glow=0.5 * random.random()
    )
    world.add(upright(x, x, 2.5, 3.3, near + 0.1, far - 0.1), BUILDING, colour)
    world.add(upright(x, x, 2.78, 3.02, near + wide * 0.6, far - wide * 0.6), BUILDING, trim)


def add_door(world: World, x: float, near: float, far: float, trim: Floats) -> None:
    """A framed front door."""
    door = near + (far - near) * world.random.uniform(0.15, 0.85)
    colour = AWNINGS[world.random.integers(len(AWNINGS))]
    world.add(upright(x, x, 0, 2.7, door - 0.8, door + 0.8), BUILDING, trim)
    world.add(upright(x, x, 0, 2.45, door - 0.6, door + 0.6), BUILDING, colour * 0.8)


def add_street_life(world: World) -> None:
    """Trees, lamps and cars, the far ones first."""
    random, half = world.random, world.half_road
    things: list[tuple[float, Callable[[World, float, float, Any], None], float, float]] = []  # z, what, x, detail
    for side in (-1, 1):
        kerb, tree_gap = world.middle + side * half, random.uniform(9, 20)
        for z in np.arange(random.uniform(9, 22), 110, tree_gap):
            if random.random() < 0.75:
                x = kerb + side * random.uniform(0.9, 1.3)
                things.append((z + random.uniform(-2, 2), add_tree, x, random.uniform(4.8, 8.8)))
        for z in np.arange(random.uniform(7, 16), 90, 22):
            things.append((z, add_lamp, kerb + side * 0.5, side))
        for z in np.arange(random.uniform(6, 14), 70, 6.3):
            if random.random() < 0.45:
                things.append((z, add_car, kerb - side * 1.15, side < 0))
    for side in (-1, 1):
        if random.random() < 0.7:
            things.append((random.uniform(9, 38), add_car, world.middle + side * (half - 2.3) / 2, side < 0))
    for z, add, x, detail in sorted(things, key=lambda thing: -thing[0]):
        add(world, x, z, detail)


def add_tree(world: World, x: float, z: float, height: float) -> None:
    """A trunk and a crown of leafy tufts, lit as if the crown were a ball."""
    random, tufts = world.random, 36 if z < 25 else 18 if z < 50 else 8
    girth, radius = height * 0.022, height * random.uniform(0.26, 0.34)
    trunk = np.array(
        [
            (x - girth * 1.5, 0, z),
            (x + girth * 1.5, 0, z),
            (x + girth * 0.8, height * 0.6, z),
            (x - girth * 0.8, height * 0.6, z),
        ]
    )
    world.add(trunk, TREE, (96, 78, 60), BRICK)
    offset = random.normal(size=(tufts, 3))
    offset *= random.random((tufts, 1)) ** 0.3 / np.linalg.norm(offset, axis=1, keepdims=True)
    offset = offset[np.argsort(-offset[:, 2] - 0.3 * offset[:, 1])]  # the near and the high ones last
    centre = np.array([x, height - radius * 1.1, z]) + offset * radius * (0.8, 0.92, 0.5)
    size = radius * random.uniform(0.22, 0.46, (tufts, 1)) * random.uniform(0.72, 1.2, (tufts, 15))
    tuft = centre * (1, 1, 0) + (0, 0, z)
    green = np.array([88, 124, 42], np.float32) + random.uniform(-1, 1) * np.array([28, 4, 10], np.float32)
    heart = 0.6 + 0.4 * np.linalg.norm(offset, axis=1, keepdims=True)  # dark inside
    normals = offset + (0, 0.25, -0.35)
    world.add(
        tuft[:, None] + size[..., None] * circle(15, 2),
        TREE,
        green * heart * random.uniform(0.72, 1.2, (tufts, 1)),
        LEAVES,
        normals / np.linalg.norm(normals, axis=1, keepdims=True),
    )
    if z < 40:
        crown = world.drop(centre[::2, None]) + radius * 0.36 * circle(9, 1)
        world.cast_shadows += [crown, world.drop(trunk)[None]]
        world.contact_shadows.append((x, 0, z) + girth * 6 * circle(9, 1)[None])


def add_lamp(world: World, x: float, z: float, side: int) -> None:
    """A street lamp whose arm reaches over the road."""
    grey, tip, tall = np.array([88, 94, 96], np.float32), x - side * 1.7, 6.2
    pole = upright(x - 0.085, x + 0.085, 0, tall, z, z)
    world.add(pole, LAMP, grey)
    world.add(upright(x - 0.14, x + 0.14, 0, 1.0, z, z), LAMP, grey * 0.8)
    world.add([(x, tall - 0.2, z), (x, tall, z), (tip, tall + 0.35, z), (tip, tall + 0.2, z)], LAMP, grey)
    world.add(upright(tip - 0.4, tip + 0.4, tall + 0.1, tall + 0.4, z, z), LAMP, (206, 204, 190), glow=0.3)
    if z < 40:
        world.cast_shadows.append(world.drop(pole))


def add_car(world: World, x: float, near: float, oncoming: bool) -> None:
    """A car seen from behind, or from the front when oncoming: body, glass, wheels and lights."""
    random = world.random
    paint = CAR_PAINTS[random.integers(len(CAR_PAINTS))] * random.uniform(0.85, 1.1)
    long, tall, rear = random.uniform(3.8, 4.7), random.uniform(1.36, 1.75), random.uniform(0.08, 0.24)
    # From the rear bumper over the roof to the front bumper: share of the length, height, half of the width.
    outline = np.array(
        [
            (0, 0.3, 0.88),
            (0, 0.82, 0.88),
            (0.05, 0.98, 0.86),
            (rear, tall, 0.66),
            (0.58, tall, 0.66),
            (0.74, 0.98, 0.86),
            (0.98, 0.76, 0.88),
            (1, 0.3, 0.88),
        ]
    )
    outline = outline[::-1] * (-1, 1, 1) + (1, 0, 0) if oncoming else outline
    depth, high, half = (outline * (long, 1, 1) + (near, 0, 0)).T
    left, right = np.stack([x - half, high, depth], axis=1), np.stack([x + half, high, depth], axis=1)
    shell = np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1)
    flank = left if x > 0 else right
    cabin = flank[2:6]

    floor = flat(x - 0.9, x + 0.9, near - 0.1, near + long)
    roof = world.drop(floor + (0, tall * 0.9, 0))
    around = np.roll(np.arange(4), 1)
    world.cast_shadows += [np.stack([floor[0], floor[0, around], roof[0, around], roof[0]], axis=1), roof]
    world.contact_shadows.append(floor)

    left_edges = x + np.array([-0.86, 0.58])
    world.add(upright(x - 0.8, x + 0.8, 0.1, 0.42, near + 0.1, near + 0.1), CAR, (22, 22, 24))
    world.add(upright(left_edges, left_edges + 0.28, 0, 0.45, near + 0.2, near + 0.2), CAR, (30, 30, 32))
    world.add(shell[::-1], CAR, paint)
    world.add(flank[[0, 1, 2, 5, 6, 7]], CAR, paint)
    world.add(cabin, CAR, paint * 0.9)
    panes = np.stack([cabin, shell[2]])
    panes += 0.15 * (panes.mean(axis=1, keepdims=True) - panes)  # leave a rim of body colour
    world.add(panes, CAR, world.zenith * 0.2 + (26, 28, 32), GLASS)
    if near > 45:
        return  # the rest would be too small to see
    hubs = np.array([(flank[0, 0], 0.33, near + long * share) for share in (0.19, 0.8)])[:, None]
    world.add(hubs + 0.36 * circle(12, 0), CAR, (26, 26, 28))
    world.add(hubs + 0.2 * circle(8, 0), CAR, (136, 138, 142))
    world.add(upright(x - 0.86, x + 0.86, 0.3, 0.44, near, near), CAR, paint * 0.4)
    world.add(upright(x - 0.27, x + 0.27, 0.5, 0.64, near, near), CAR, (214, 212, 196))
    light, glow = ((250, 244, 220), 0.7) if oncoming else ((210, 24, 22), 0.5)
    world.add(upright(left_edges, left_edges + 0.28, 0.58, 0.77, near, near), CAR, light, glow=glow)


def add_bonnet(world: World) -> None:
    """The viewer's own bonnet at the bottom edge of some scenes; it is void."""
    random = world.random
    if random.random() < 0.4:
        paint = CAR_PAINTS[random.integers(len(CAR_PAINTS))] * 0.5
        rise, across = random.uniform(0.05, 0.1), np.linspace(-1.3, 1.3, 25)
        for lower, colour in ((0.0, paint * 0.55), (0.006, paint * 1.25), (0.02, paint)):
            row = 1 - (rise - lower) * (1 - np.abs(across / 1.25) ** 3.2)
            high = FOCAL * world.eye - row + world.horizon
            edge = np.stack([across - world.vanishing, high, np.full_like(row, FOCAL)], axis=1) / FOCAL
            world.add(np.concatenate([edge, edge[[-1, 0]] - (0, 1, 0)]), VOID, colour, glow=0.2)


def build_world(seed: int) -> World:
    """Everything in the scene, decided by the seed alone."""
    world = begin_world(np.random.default_rng(seed))
    for add in (add_ground, add_markings, add_skyline, add_houses, add_street_life, add_bonnet):
        add(world)
    return world


# From the world to the picture.


@dataclass
class Frame:
    """The part of the 2:1 frame that a picture of this size shows: its middle, undistorted."""

    height: int
    width: int

    def __post_init__(self) -> None:
        self.unit = max(self.height, self.width / 2)  # pixels per frame height

    def project(self, world: World, points: Floats, enlarge: float = 1.0) -> Floats:
        """Points [..., 3] -> (column, row) [..., 2] in a picture enlarged so many times."""
        scale = FOCAL / np.maximum(points[..., 2], 0.5)
        column = (world.vanishing + points[..., 0] * scale) * self.unit + self.width / 2
        row = (world.horizon - 0.5 + (world.eye - points[..., 1]) * scale) * self.unit + self.height / 2
        return np.stack([column, row], axis=-1) * enlarge - 0.5

    def show(self, grid: Floats) -> Floats:
        """Resize the shown part of a grid [rows, columns] over the whole frame -> float32 [height, width]."""
        rows, columns = np.array(grid.shape) / 2
        tall, wide = rows * self.height / self.unit, columns * self.width / (2 * self.unit)
        picture = Image.fromarray(grid.astype(np.float32))
        box = (columns - wide, rows - tall, columns + wide, rows + tall)
        return np.asarray(picture.resize((self.width, self.height), Image.Resampling.BICUBIC, box)).clip(0, 1)


@dataclass
class Tables:
    """What is known of each polygon; entry 0 is the sky."""

    name: Layout  # [count], class ids
    material: NDArray[np.uint8]  # [count]
    plane: Floats  # [3, count]: 1 / z = plane . (u, v, 1) along the ray x = u z, y = eye - v z
    stands: NDArray[np.bool_]  # [count], bool: upright, not lying
    paint: NDArray[np.uint8]  # [count, 4], 0..255, lit by sun and sky
    shade: Floats  # [count, 3], 0..1: what is left of the paint where the sun is blocked


def tabulate(world: World) -> Tables:
    """Find the plane of every polygon and the light on it."""
    points = [surface.points for surface in world.surfaces]
    attributes = [(surface.name, surface.material, surface.glow) for surface in world.surfaces]
    rows = np.repeat(np.array(attributes), [len(group) for group in points], axis=0)
    name, material, glow = np.concatenate([[(SKY, SMOOTH, 0)], rows]).T
    triangle = np.concatenate([group[:, :: group.shape[1] // 3][:, :3] for group in points])
    triangle = triangle - (0, world.eye, 0)
    normal = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    offset = (normal * triangle[:, 0]).sum(axis=1, keepdims=True)
    plane = np.concatenate([[(0, 0, 0)], normal * (1, -1, 1) / np.where(np.abs(offset) < 1e-6, 1e-6, offset)])
    stands = np.concatenate([[True], np.abs(normal[:, 1]) < 0.8])
    normal *= -np.sign(offset)  # now towards the eye
    bent = np.concatenate([surface.normals for surface in world.surfaces])
    normal = np.concatenate([[(0, 0, 0)], np.where(bent.any(axis=1, keepdims=True), bent, normal)])
    sky = world.skylight * (0.8 + 0.2 * normal[:, 1:2]) + glow[:, None]
    sun = world.sunlight * np.maximum(normal @ world.sun, 0)[:, None]
    # Light adds up linearly, while pixels hold about its square root.
    colour = np.concatenate([surface.colour for surface in world.surfaces])
    paint = np.concatenate([world.zenith[None], colour * np.sqrt(sky + sun)[1:]])
    return Tables(
        name.astype(np.uint8),
        material.astype(np.uint8),
        plane.T.astype(np.float32),
        stands,
        np.pad(paint.clip(0, 255).astype(np.uint8), ((0, 0), (0, 1))),
        np.sqrt(sky / (sky + sun)).astype(np.float32),
    )


def paint_polygons(
    world: World, groups: Sequence[Floats], frame: Frame, enlarge: int, mode: str, number: int | None = None
) -> Image.Image:
    """Paint polygons over each other on a ground of 0.

    Args:
        world: Where the viewer stands.
        groups: Polygons, [count, corners, 3] each, in metres.
        frame: What the picture shows.
        enlarge: How many times larger than the frame it is painted.
        mode: Pillow's kind of pixels, "I" or "L".
        number: What all are painted as; None numbers them from 1.
    """
    picture = Image.new(mode, (frame.width * enlarge, frame.height * enlarge))
    pen, end = ImageDraw.Draw(picture), 0
    corners = np.concatenate([group.reshape(-1, 3) for group in groups])
    places = frame.project(world, corners, enlarge).ravel().tolist()
    sides = np.repeat([2 * group.shape[1] for group in groups], [len(group) for group in groups]).tolist()
    for count, side in enumerate(sides, 1):
        end += side
        pen.polygon(places[end - side : end], fill=number or count)
    return picture


def paint_shadows(world: World, groups: Sequence[Floats], frame: Frame, blur: float) -> Floats:
    """Soft shadows on the ground -> float32 [height, width], 0..1."""
    groups = [group for group in groups if group[..., 2].min() > 1]
    if not groups:
        return np.zeros((frame.height, frame.width), np.float32)
    picture = paint_polygons(world, groups, Frame(*SOFT_GRID), 1, "L", 255)
    picture = picture.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur))
    return frame.show(np.asarray(picture) / np.float32(255))


@cache
def noise(coarsest: int, finest: int) -> Floats:
    """Repeatable noise with spots of several sizes in pixels -> float32 [512, 512], mean 0, deviation 1."""
    random, total, spot = np.random.default_rng(coarsest), np.zeros((512, 512), np.float32), coarsest
    while spot >= finest:
        cells = 512 // spot
        grid = Image.fromarray(np.pad(random.normal(size=(cells, cells)).astype(np.float32), 2, mode="wrap"))
        box = (2, 2, cells + 2, cells + 2)
        total += np.asarray(grid.resize((512, 512), Image.Resampling.BICUBIC, box)) * spot**0.6
        spot //= 2
    return (total - total.mean()) / total.std()


def pick(tile: Floats, along: Floats, across: Floats) -> Floats:
    """Look up a tile [512, 512] at any places, repeating it."""
    return tile[along.astype(np.int32) & 511, across.astype(np.int32) & 511]


def paint_clouds(world: World, frame: Frame) -> Floats:
    """Clouds on a flat ceiling -> float32 [height, width], 0 (clear) .. 1 (thick)."""
    rows, columns = SOFT_GRID
    away = 1 / (np.maximum(world.horizon - (np.arange(rows) + 0.5) / rows, 0) + 0.1)[:, None]
    across = ((np.arange(columns) + 0.5) / rows - 1) * away
    shift = world.random.integers(512, size=2)
    thick = 0.55 * pick(noise(128, 2), away * 60 + shift[0], across * 42 + shift[1])
    return frame.show((thick + world.overcast * 0.9 - 0.12).clip(0, 1) * (1.2 - away / 10).clip(0, 1))


def laid_pattern(across: Floats, along: Floats, pixel: Floats, long: float, high: float) -> Floats:
    """Bricks or slabs of a size in metres, every other course shifted -> changes of brightness."""
    course, place = along / high, across / long + 0.5 * (np.floor(along / high) % 2)
    tone = pick(noise(4, 1), np.floor(course) * 7, np.floor(place) * 11)
    joint = (course % 1 < 0.16) | (place % 1 < 0.16 * high / long)
    return (0.06 * tone - 0.2 * joint) / (1 + (3 * pixel / high) ** 2)  # fades where it is too fine to see


def texture(
    material: NDArray[np.uint8], across: Floats, along: Floats, pixel: Floats, pixel_along: Floats, z: Floats
) -> Floats:
    """Brightness (about 1) of materials at places on their surfaces, all in metres, pixel sizes too."""
    # The spots of the grain are one to two pixels at any distance, as if it had detail at every scale.
    along_spots = np.ldexp(along, 1 - np.frexp(pixel_along)[1])
    grain = pick(noise(4, 1), along_spots, np.ldexp(across, 1 - np.frexp(pixel)[1]))
    blotch = pick(noise(128, 8), along * 24, across * 24)
    bright = 1 + (GRAIN[material] * grain + BLOTCH[material] * blotch) / (1 + z / 60)
    for kind, long, high in ((BRICK, 0.56, 0.26), (SLABS, 1.1, 0.8)):
        here = np.nonzero((material == kind) & (z < 60))
        bright[here] += laid_pattern(across[here], along[here], pixel[here], long, high)
    return bright


def house_shadow(world: World, x: Floats, y: Floats, z: Floats) -> Floats:
    """How much of the sun the houses on the sunny side hide from places in the world -> 0..1."""
    wall = world.middle + np.sign(world.sun[0]) * world.half_street
    climb = np.maximum((wall - x) * np.float32(world.sun[1] / world.sun[0]), 0)  # of the ray up to the wall
    beyond = (z + climb * np.float32(world.sun[2] / world.sun[1]) + BEHIND) * 2
    roof = world.roofline[beyond.astype(np.int32).clip(0, len(world.roofline) - 1)]
    return ((roof - y - climb) / (0.3 + 0.08 * climb) + 0.5).clip(0, 1)


def shade(
    world: World,
    tables: Tables,
    unit: float,
    numbers: NDArray[np.integer[Any]],
    paint: Floats,
    clouds: Floats,
    cast: Floats,
    contact: Floats,
    u: Floats,
    v: Floats,
) -> Pixels:
    """Add texture, shadow, haze and clouds to some rows of flat paint.

    Args:
        world: The light, and where the viewer stands.
        tables: What is known of each polygon.
        unit: Pixels per frame height.
        numbers: Which polygon each pixel shows, [rows, width].
        paint: Its colour, [rows, width, 3], 0..255.
        clouds: How thick they are, [rows, width], 0..1.
        cast: Shadow of trees, cars and lamps on the ground, likewise.
        contact: Shadow where things touch the ground, likewise.
        u: Where each column looks, [1, width]: x = u z.
        v: Where each row looks, [rows, 1]: y = eye - v z.

    Returns:
        uint8 [rows, width, 3].
    """
    flat_u, flat_v, level = (column[numbers] for column in tables.plane)
    z = 1 / (flat_u * u + flat_v * v + level).clip(1 / FAR, 2)
    x, y = u * z, world.eye - v * z
    stands, sky = tables.stands[numbers], tables.name[numbers] == SKY
    pixel = z / (FOCAL * unit)
    pixel_along = np.where(stands, pixel, pixel * z / world.eye)
    across, along = np.where(stands, x + z, x), np.where(stands, y, z)
    bright = texture(tables.material[numbers], across, along, pixel, pixel_along, z)
    # Less light reaches the foot of upright things, the ground along the houses and below cars.
    to_wall = world.half_street - np.abs(x - world.middle)
    bright *= 0.78 + 0.22 * np.where(stands, 0.2 + y / 2, 0.3 + to_wall / 2).clip(0, 1)
    bright *= 1 - 0.6 * contact * ~stands
    shadow = np.maximum(house_shadow(world, x, y, z), cast * ~stands)[..., None]
    colour = paint * (bright[..., None] * (1 - shadow * (1 - tables.shade[numbers])))
    veil = np.where(sky, np.exp(np.minimum(v, 0) * (5.5 * FOCAL)), 1 - np.exp(-z / world.visibility))
    colour += veil[..., None] * (world.haze.astype(np.float32) - colour)
    if sky.any():
        thick = (clouds * sky)[..., None]
        white = np.minimum(world.haze * 0.6 + 104, 252).astype(np.float32) * (1 - 0.14 * thick * thick)
        colour += thick * (white - colour)
    return colour.clip(0, 255).astype(np.uint8)


def draw_scene(seed: int, height: int, width: int) -> tuple[Pixels, Layout]:
    """Draw the street of a seed.

    Args:
        seed: Decides everything in it.
        height: Of the picture, in pixels.
        width: Likewise. Shapes other than 1:2 show the middle of the same view.

    Returns:
        The photograph, uint8 [height, width, 3], and its layout, uint8 [height, width], of class ids 0..VOID.
    """
    world, frame = build_world(seed), Frame(height, width)
    tables, enlarge = tabulate(world), 3 if height <= 96 else 2
    fine = np.asarray(paint_polygons(world, [surface.points for surface in world.surfaces], frame, enlarge, "I"))
    numbers = np.ascontiguousarray(fine[enlarge // 2 :: enlarge, enlarge // 2 :: enlarge])
    paint = tables.paint.view(np.uint32)[:, 0][fine].view(np.uint8).reshape(*fine.shape, 4)
    paint = np.asarray(Image.fromarray(paint, "RGBX").reduce(enlarge))[..., :3]
    clouds = paint_clouds(world, frame)
    cast = paint_shadows(world, world.cast_shadows, frame, 0.8)
    contact = paint_shadows(world, world.contact_shadows, frame, 1.2)
    u = ((np.arange(width) + 0.5 - width / 2) / frame.unit - world.vanishing)[None] / FOCAL
    v = ((np.arange(height) + 0.5 - height / 2) / frame.unit + 0.5 - world.horizon)[:, None] / FOCAL
    photograph, step = np.empty((height, width, 3), np.uint8), max(1, 32768 // width)
    for top in range(0, height, step):  # in strips that fit the processor's cache
        rows = slice(top, top + step)
        photograph[rows] = shade(
            world,
            tables,
            frame.unit,
            numbers[rows],
            paint[rows].astype(np.float32),
            clouds[rows],
            cast[rows],
            contact[rows],
            u.astype(np.float32),
            v[rows].astype(np.float32),
        )
    return photograph, tables.name[numbers]
