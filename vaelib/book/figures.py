"""How the figures look: the colours and what they mean, the style, and images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .svg import to_svg

# matplotlib is imported where something is drawn: printing claims and tables does not need it.
if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The same colour means the same thing in every figure; the set is safe for colour-blind readers
#: [Okabe and Ito 2008].
COLOURS = {
    "active": "#0072B2",
    "inactive": "#E69F00",
    "kl": "#D55E00",
    "reconstruction": "#009E73",
    "prior": "#6B7280",
}
GRID = "#E5E7EB"

#: Ten other colours, one for each digit. They keep their distance from the five and from each
#: other, for readers with any of the common kinds of colour blindness too (a test measures it),
#: and are seen on white and in the dark.
DIGIT_COLOURS = (
    *("#00695A", "#C30000", "#C35AFF", "#69C3FF", "#96784B"),
    *("#B41E5A", "#E1A5C3", "#B4C387", "#9687B4", "#691EFF"),
)


def use_style() -> None:
    """Set matplotlib to the style of the book; notebooks show and store its figures as SVG."""
    import matplotlib

    matplotlib.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 110,
            # Jupyter lays what is transparent on white, whatever its theme.
            "figure.facecolor": "none",
            "savefig.facecolor": "white",
            "figure.figsize": (7.0, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": GRID,
            "grid.linewidth": 0.7,
            "axes.axisbelow": True,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            # No smaller: it is what a phone shows at 12 pixels.
            "legend.fontsize": 9.5,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "image.cmap": "gray",
        }
    )
    show_as_svg()


def show_as_svg() -> None:
    """Let a notebook show figures as SVG; outside of one nothing changes."""
    from IPython import get_ipython

    if (shell := get_ipython()) is None:
        return
    from matplotlib.figure import Figure
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats()  # type: ignore[no-untyped-call]  # none of its own
    shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, to_svg)


def show_images(
    images: Tensor | np.ndarray[Any, Any] | Sequence[Any],
    *,
    columns: int = 10,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw images (n, channels, height, width), row by row, as one picture.

    Parameters
    ----------
    images : Tensor, array or list of images
        With 1 channel (grey) or 3 (red, green, blue); uint8, or pixels in [0, 1].
    columns : int
        Images in a row.
    title : str
        Above the picture.
    ax : Axes, optional
        Where to draw; by default a new figure of fitting height.

    Raises
    ------
    ValueError
        If the images have another shape, or pixels outside [0, 1].
    """
    from matplotlib.patches import Rectangle

    pixels = _pixels(images)
    n, channels, height, width = pixels.shape
    rows = -(-n // columns)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(7.0, 7.0 * rows / columns + (0.3 if title else 0)))
    # One picture, as it is: the page enlarges it, and a check may compare it.
    sheet = np.zeros((rows * columns, channels, height + 1, width + 1))
    sheet[:n, :, :height, :width] = pixels
    sheet = sheet.reshape(rows, columns, channels, height + 1, width + 1)
    picture = sheet.transpose(0, 3, 1, 4, 2).reshape(rows * (height + 1), -1, channels)[:-1, :-1]
    shown = picture.squeeze(-1) if channels == 1 else picture
    ax.imshow(shown, vmin=0, vmax=1, interpolation="none")
    # The gaps are drawn, not pixels: they have the page's colour, and the same width at every size.
    down, across = picture.shape[:2]
    gaps = [(x, 0, 1, down) for x in range(width, across, width + 1)]
    gaps += [(0, y, across, 1) for y in range(height, down, height + 1)]
    if missing := rows * columns - n:
        left = (columns - missing) * (width + 1)
        gaps.append((left, (rows - 1) * (height + 1), across - left, height))
    for x, y, wide, high in gaps:
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), wide, high, color="white", lw=0))
    ax.set_title(title)
    ax.axis("off")
    return ax


def _pixels(images: Tensor | np.ndarray[Any, Any] | Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return images as an array of pixels in [0, 1]."""
    pixels = np.asarray(images.detach().cpu() if isinstance(images, Tensor) else images)
    if pixels.ndim != 4 or 0 in pixels.shape or pixels.shape[1] not in (1, 3):
        raise ValueError(
            "images: expected (n, channels, height, width) with 1 or 3 channels and no size 0, "
            f"got {pixels.shape}"
        )
    if pixels.dtype == np.uint8:
        return pixels / 255.0
    # An average of pixels may be above 1 by rounding. NaN is in no interval.
    if not (pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6):
        raise ValueError(
            "images: expected uint8 or pixels in [0, 1], "
            f"got {pixels.dtype} from {pixels.min():g} to {pixels.max():g}"
        )
    return pixels
