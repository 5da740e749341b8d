"""Ten digits, drawn: a set of images in MNIST's form for a machine that has no MNIST.

The outlines are those of the fonts that ship with matplotlib. Each becomes a signed distance field
once; each image then looks that field up at warped pixel positions, so that one formula draws any
slant, width, bend and stroke. Nothing here depends on the machine: all draws come from PCG64 with a
fixed seed, and all arithmetic is in float64, where processors differ by about 1e-16, far less than
one step of an 8-bit pixel.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

VERSION = 1
"""Raise this whenever a change below changes the images: it is part of the cache file's name."""

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)
SIDE = 28
HEIGHT = 19.0  # of an undistorted digit in pixels; MNIST fits its digits into 20
REACH = 15.0  # the fields cover -REACH..REACH pixels around a digit's centre
NODES_PER_PIXEL = 2
NODES = int(2 * REACH * NODES_PER_PIXEL) + 1
WAVES = 3  # the elastic warp has up to this many half waves along each side
CHUNK = 500  # images drawn at a time: small enough for the processor's cache


def draw(train: int = 60_000, test: int = 10_000, seed: int = 0) -> tuple[Bytes, Integers]:
    """Draw `train + test` digits, each in its own style.

    Parameters
    ----------
    train, test
        How many images. Both parts are independent draws from one distribution.
    seed
        Of the PCG64 generator.

    Returns
    -------
    images
        uint8, (train + test, 1, 28, 28): white strokes on black, edges grey.
    labels
        int64, (train + test,): the digit, 0 to 9.
    """
    fields, half_widths = _fields()
    random = np.random.Generator(np.random.PCG64(seed))
    count = train + test
    labels = random.integers(0, 10, count)
    images = np.empty((count, 1, SIDE, SIDE), np.uint8)
    for start in range(0, count, CHUNK):
        digits = labels[start : start + CHUNK]
        fonts = random.integers(0, len(FONTS), len(digits))
        x, y, width = _positions(random, len(digits))
        distance = _look_up(fields, fonts * 10 + digits, x, y)
        pen = random.uniform(1.1, 2.1, len(digits)) / width  # half the stroke's width, in pixels
        # A bold font gets thinner and a light one bolder, but never so thin that a stroke breaks.
        grow = np.maximum(pen - half_widths[fonts], -0.1)
        edge = random.uniform(0.8, 1.5, len(digits)) / width  # of the grey edge, in pixels
        ink = np.clip(0.5 + (grow[:, None] - distance) / edge[:, None], 0.0, 1.0)
        images[start : start + CHUNK, 0] = np.rint(255 * ink).reshape(-1, SIDE, SIDE)
    return images, labels


def _positions(random: np.random.Generator, count: int) -> tuple[Floats, Floats, Floats]:
    """Place each pixel in its digit's own frame: x, y (count, 784), and the widths (count,)."""
    line = np.arange(SIDE) - (SIDE - 1) / 2
    down, right = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    orders = [(i, j) for i in range(WAVES + 1) for j in range(WAVES + 1) if i + j > 1]
    wave = [np.cos(np.pi * k * (np.arange(SIDE) + 0.5) / SIDE) for k in range(WAVES + 1)]
    warp = [np.outer(wave[i], wave[j]).ravel() for i, j in orders]
    basis = np.stack([np.ones(SIDE * SIDE), right, -down, *warp])

    angle = random.uniform(-0.25, 0.25, count)
    slant = random.uniform(-0.25, 0.4, count)
    size = random.uniform(0.9, 1.1, count)
    width = size * random.uniform(0.7, 1.1, count)
    cosine, sine = np.cos(angle), np.sin(angle)
    strength = 1.2 / np.array([i * i + j * j for i, j in orders]) ** 0.5
    bend = random.normal(size=(2, count, len(orders))) * strength
    shift = random.uniform(-1.0, 1.0, (2, count))

    x = np.column_stack(
        [shift[0], (cosine - slant * sine) / width, (-sine - slant * cosine) / width, bend[0]]
    )
    y = np.column_stack([shift[1], sine / size, cosine / size, bend[1]])
    return x @ basis, y @ basis, width


def _look_up(fields: Floats, which: Integers, x: Floats, y: Floats) -> Floats:
    """Read field `which[n]` at points (x[n], y[n]), bilinearly; points outside read the border."""
    column = np.clip((x + REACH) * NODES_PER_PIXEL, 0.0, NODES - 1.001)
    row = np.clip((y + REACH) * NODES_PER_PIXEL, 0.0, NODES - 1.001)
    left, low = column.astype(np.int64), row.astype(np.int64)
    column -= left
    row -= low
    corner = (which[:, None] * NODES + low) * NODES + left
    flat = fields.ravel()
    bottom = flat[corner] * (1 - column) + flat[corner + 1] * column
    top = flat[corner + NODES] * (1 - column) + flat[corner + NODES + 1] * column
    values: Floats = bottom * (1 - row) + top * row
    return values


def _fields() -> tuple[Floats, Floats]:
    """Signed distance fields (fonts * 10, NODES, NODES) and each font's half stroke width."""
    import matplotlib  # not above: who finds them drawn already, or has MNIST, has no need of it

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    fields = np.stack(
        [_field(folder / f"{font}.ttf", str(digit)) for font in FONTS for digit in range(10)]
    )
    depth = -fields.reshape(len(FONTS), 10, -1).min(axis=2)
    half_widths: Floats = np.median(depth, axis=1)
    return fields, half_widths


def _field(font: Path, text: str) -> Floats:
    """Signed distance in pixels from each node to the outline of `text`: negative inside."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    outline = TextPath((0, 0), text, size=100, prop=FontProperties(fname=str(font)))
    polygons = [np.asarray(polygon, np.float64) for polygon in outline.to_polygons()]
    vertices = np.concatenate(polygons)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    scale = HEIGHT / (high[1] - low[1])
    centre = (low + high) / 2
    start = (np.concatenate([p[:-1] for p in polygons]) - centre) * scale
    end = (np.concatenate([p[1:] for p in polygons]) - centre) * scale
    line = np.linspace(-REACH, REACH, NODES)
    y, x = (axis.reshape(-1, 1) for axis in np.meshgrid(line, line, indexing="ij"))

    dx, dy = (end - start).T
    from_x, from_y = x - start[:, 0], y - start[:, 1]
    length = np.maximum(
        dx * dx + dy * dy, 1e-12
    )  # TextPath closes some outlines with an empty side
    along = np.clip((from_x * dx + from_y * dy) / length, 0.0, 1.0)
    squared = (from_x - along * dx) ** 2 + (from_y - along * dy) ** 2
    distance = np.sqrt(squared.min(axis=1))

    # The outline winds around a point where the sides that cross a ray from it do not cancel out.
    left_of = dx * from_y - dy * from_x
    upward = (start[:, 1] <= y) & (end[:, 1] > y) & (left_of > 0)
    downward = (start[:, 1] > y) & (end[:, 1] <= y) & (left_of < 0)
    inside = upward.sum(axis=1) != downward.sum(axis=1)
    field: Floats = np.where(inside, -distance, distance).reshape(NODES, NODES)
    return field
