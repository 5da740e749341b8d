"""Black images with one white tile each: data with two continuous degrees of freedom."""

import numpy as np
from numpy.typing import NDArray

SIDE = 28  # of an image, in pixels
TILE = 3  # side of the tile, in pixels
CHUNK = 5_000  # images drawn at a time, to spare memory


def draw(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw `count` images, uint8 (count, 1, 28, 28), and their labels, int64 (count,).

    The corner of a tile is uniform and not bound to whole pixels. A pixel that is covered in part
    is grey by that share. The label is the quadrant of the tile's centre: 0, 1 above, 2, 3 below.
    """
    random = np.random.Generator(np.random.PCG64(0))
    corners = random.uniform(0, SIDE - TILE, (count, 2, 1))
    pixels = np.arange(SIDE)
    # The share of each row, and of each column, that the tile covers.
    covered = np.minimum(pixels + 1, corners + TILE) - np.maximum(pixels, corners)
    images = np.empty((count, 1, SIDE, SIDE), np.uint8)
    for start in range(0, count, CHUNK):
        rows, columns = covered[start : start + CHUNK].clip(0.0).swapaxes(0, 1)
        images[start : start + CHUNK, 0] = np.rint(255 * rows[:, :, None] * columns[:, None, :])
    below, right = (corners[:, :, 0] + TILE / 2 >= SIDE / 2).T.astype(np.int64)
    return images, 2 * below + right
