"""A figure of matplotlib as SVG: small, the same on every run, and in two widths.

The drawing for a phone, one panel a row, lies in the ``defs`` of the other one. What shows SVG
shows the wide one; the build of the book takes both out (``book/_ext/figures.py``).
"""

from __future__ import annotations

import copy
import io
import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from .names import write_names
from .narrow import narrow
from .tidy import SVG, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def to_svg(figure: Figure) -> str:
    """Return the SVG of a figure, the narrow one in its ``defs``; leave the figure as it is."""
    import matplotlib.pyplot as plt

    for axes in figure.axes:
        plain_logarithms(axes)
    write_names(figure)
    wide = tidy(draw(figure), "w")
    other = copy.deepcopy(figure)
    plt.close(other)  # or it would be shown, too
    narrow(other)
    small = tidy(draw(other), "n")
    small.set("class", "narrow")
    ET.SubElement(wide, "defs").append(small)
    wide.set("xmlns", SVG)
    return ET.tostring(wide, encoding="unicode").replace("><", ">\n<") + "\n"


def draw(figure: Figure) -> str:
    """Let matplotlib write a figure, without what differs from one run to the next."""
    import matplotlib

    buffer = io.StringIO()
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "vaelib",
        "svg.image_inline": True,
        "image.composite_image": False,
    }
    with matplotlib.rc_context(settings):
        figure.savefig(
            buffer,
            format="svg",
            facecolor="none",
            bbox_inches="tight",
            pad_inches=0.02,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return buffer.getvalue()


def plain_logarithms(axes: Axes) -> None:
    """Label logarithmic axes with words, not with formulas, which only matplotlib can set."""
    from matplotlib.ticker import FuncFormatter, LogFormatterMathtext

    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
            axis.set_major_formatter(FuncFormatter(power))
            if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
                axis.set_minor_formatter(FuncFormatter(nothing))


def power(value: float, _: object = None) -> str:
    """Write a label of a logarithmic axis: 0.001, 1, 1,000, and 10⁻⁵ beyond."""
    if value and not 1e-3 <= abs(value) < 1e5:
        exponent = math.floor(math.log10(abs(value)) + 1e-9)
        factor = value / 10.0**exponent
        raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{raised}" if abs(factor - 1) < 1e-6 else f"{factor:g} · 10{raised}"
    return f"{value:,g}".replace("-", "−")


def nothing(value: float, _: object = None) -> str:
    """Leave a tick without a label."""
    return ""
