"""Ten digits, drawn: a set of images in MNIST's form for a machine that has no MNIST.

The outlines are those of the fonts that ship with matplotlib. Each becomes a signed distance field
once. Each image then reads that field at warped pixel positions, so that one formula draws any
slant, width, bend and stroke. Nothing here depends on the machine: all draws come from PCG64 with a
fixed seed, and all arithmetic is in float64, where processors differ by about 1e-16, far less than
one step of an 8-bit pixel.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaelib.data.lock import exclusive_lock, temporary_prefix

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

VERSION = 1  # part of the cache file's name: raise it whenever a change below changes the images

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmti10",
    "cmtt10",
)
SIDE = 28  # of an image, in pixels
DIGIT_HEIGHT = 19.0  # of an undistorted digit, in pixels; MNIST fits its digits into 20
FIELD_RADIUS = 15.0  # a distance field covers this many pixels on each side of a digit's centre
NODES_PER_PIXEL = 2
NODES = int(2 * FIELD_RADIUS * NODES_PER_PIXEL) + 1  # along each side of a distance field
HALF_WAVES = range(4)  # of the elastic warp, along each side
CHUNK = 500  # images drawn at a time: small enough for the processor's cache


def load(folder: Path, count: int) -> tuple[Bytes, Integers]:
    """Read images and labels from the cache file in `folder`, else draw and store them.

    The file holds the images, the labels and the SHA-256 of both, which is checked before use. A
    damaged file is reported, drawn again and replaced. If the folder cannot be written, nothing is
    stored.
    """
    path = folder / file_name()
    if stored := _read(path, count):
        return stored
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(exclusive_lock(path))
        if stored := _read(path, count):  # another process was faster
            return stored
        if path.is_file():
            print(f"vaelib: {path} is damaged. The glyphs are drawn again and the file is replaced")
        images, labels = draw(count)
        with contextlib.suppress(OSError):
            _write(path, images, labels)
    return images, labels


def file_name() -> str:
    """Return the cache file's name."""
    # Outlines are matplotlib's and draws are NumPy's: other versions may draw other images.
    versions = "-".join(f"{name}{metadata.version(name)}" for name in ("matplotlib", "numpy"))
    return f"glyphs-v{VERSION}-{versions}.bin"


def _read(path: Path, count: int) -> tuple[Bytes, Integers] | None:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError:
        return None
    end = count * SIDE * SIDE
    if len(content) != end + 8 * count + 32:
        return None
    if hashlib.sha256(content[:-32].data).digest() != content[-32:].tobytes():
        return None
    labels = content[end:-32].view("<i8").astype(np.int64)
    return content[:end].reshape(count, 1, SIDE, SIDE), labels


def _write(path: Path, images: Bytes, labels: Integers) -> None:
    with tempfile.TemporaryDirectory(prefix=temporary_prefix(path), dir=path.parent) as temporary:
        complete = Path(temporary, path.name)
        content = images.tobytes() + labels.astype("<i8").tobytes()
        complete.write_bytes(content + hashlib.sha256(content).digest())
        complete.replace(path)


def draw(count: int) -> tuple[Bytes, Integers]:
    """Draw `count` digits, each in its own style.

    Returns
    -------
    images
        uint8, (count, 1, 28, 28): white strokes on black, edges grey.
    labels
        int64, (count,): the digit, 0 to 9.
    """
    chunks = list(draw_chunks(count))
    return np.concatenate([x for x, _ in chunks]), np.concatenate([y for _, y in chunks])


def draw_chunks(count: int) -> Iterator[tuple[Bytes, Integers]]:
    """Draw the same digits and yield their images and labels, `CHUNK` at a time."""
    fields, half_widths = _distance_fields()
    random = np.random.Generator(np.random.PCG64(0))
    labels = random.integers(0, 10, count)
    for start in range(0, count, CHUNK):
        digits = labels[start : start + CHUNK]
        fonts = random.integers(0, len(FONTS), len(digits))
        x, y, width = _positions(random, len(digits))
        distance = _interpolate(fields, fonts * 10 + digits, x, y)
        pen = random.uniform(1.1, 2.1, len(digits)) / width  # half the stroke's width, in pixels
        # A bold font gets thinner and a light one bolder, but never so thin that a stroke breaks.
        thickening = np.maximum(pen - half_widths[fonts], -0.1)
        edge = random.uniform(0.8, 1.5, len(digits)) / width  # of the grey edge, in pixels
        grey = np.clip(0.5 + (thickening[:, None] - distance) / edge[:, None], 0.0, 1.0)
        images = np.rint(255 * grey).astype(np.uint8)
        yield images.reshape(len(digits), 1, SIDE, SIDE), digits


def _positions(random: np.random.Generator, count: int) -> tuple[Floats, Floats, Floats]:
    """Place each pixel in its digit's own frame: x, y (count, 784), and the widths (count,)."""
    line = np.arange(SIDE) - (SIDE - 1) / 2
    down, right = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    orders = [(i, j) for i in HALF_WAVES for j in HALF_WAVES if i + j > 1]
    wave = [np.cos(np.pi * k * (np.arange(SIDE) + 0.5) / SIDE) for k in HALF_WAVES]
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


def _interpolate(fields: Floats, index: Integers, x: Floats, y: Floats) -> Floats:
    """Read field `index[n]` at (x[n], y[n]), bilinearly; points outside read the border."""
    column = np.clip((x + FIELD_RADIUS) * NODES_PER_PIXEL, 0.0, NODES - 1.001)
    row = np.clip((y + FIELD_RADIUS) * NODES_PER_PIXEL, 0.0, NODES - 1.001)
    left, low = column.astype(np.int64), row.astype(np.int64)
    column -= left
    row -= low
    corner = (index[:, None] * NODES + low) * NODES + left
    flat = fields.ravel()
    bottom = flat[corner] * (1 - column) + flat[corner + 1] * column
    top = flat[corner + NODES] * (1 - column) + flat[corner + NODES + 1] * column
    values: Floats = bottom * (1 - row) + top * row
    return values


def _distance_fields() -> tuple[Floats, Floats]:
    """Signed distance fields (fonts * 10, NODES, NODES) and each font's half stroke width."""
    import matplotlib  # not above: not needed if the cache file exists

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    fields = np.stack(
        [
            _distance_field(folder / f"{font}.ttf", str(digit))
            for font in FONTS
            for digit in range(10)
        ]
    )
    depth = -fields.min(axis=(1, 2)).reshape(len(FONTS), 10)
    half_widths: Floats = np.median(depth, axis=1)
    return fields, half_widths


def _distance_field(font: Path, text: str) -> Floats:
    """Signed distance in pixels from each node to the outline of `text`: negative inside."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    outline = TextPath((0, 0), text, size=100, prop=FontProperties(fname=str(font)))
    polygons = [np.asarray(polygon) for polygon in outline.to_polygons()]
    vertices = np.concatenate(polygons)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    scale = DIGIT_HEIGHT / (high[1] - low[1])
    centre = (low + high) / 2
    start = (np.concatenate([p[:-1] for p in polygons]) - centre) * scale
    end = (np.concatenate([p[1:] for p in polygons]) - centre) * scale
    line = np.linspace(-FIELD_RADIUS, FIELD_RADIUS, NODES)
    y, x = (axis.ravel()[:, None] for axis in np.meshgrid(line, line, indexing="ij"))

    dx, dy = (end - start).T
    from_x, from_y = x - start[:, 0], y - start[:, 1]
    # TextPath closes some outlines with an empty side.
    length = np.maximum(dx * dx + dy * dy, 1e-12)
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
