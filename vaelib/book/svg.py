"""A figure of matplotlib as SVG: small, the same on every run, and in two widths.

The drawing for a phone, one panel a row, lies in the ``defs`` of the other one. What shows SVG
shows the wide one; the build of the book takes both out (``book/_ext/figures.py``).
"""

from __future__ import annotations

import base64
import io
import math
import pickle
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

SVG, XLINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
#: Inches. A point is 4/3 pixels on the page, so that these are 672 and 355 pixels.
WIDE, NARROW = 7.0, 3.7
#: A panel of a chart is at most that high where figures are narrow, unless it is higher than wide.
PANEL = 2.9
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def to_svg(figure: Figure) -> str:
    """Return the SVG of a figure, with the narrow one in its ``defs``; leave the figure as it is."""
    import matplotlib.pyplot as plt

    for axes in figure.axes:
        plain_logarithms(axes)
    copy: Figure = pickle.loads(pickle.dumps(figure))
    wide = tidy(draw(figure), "w")
    try:
        narrow(copy)
        small = tidy(draw(copy), "n")
    finally:
        plt.close(copy)
    small.set("class", "narrow")
    ET.SubElement(wide, "defs").append(small)
    wide.set("xmlns", SVG)
    return ET.tostring(wide, encoding="unicode").replace("><", ">\n<") + "\n"


def draw(figure: Figure) -> str:
    """Let matplotlib write a figure, without what differs from one run to the next."""
    import matplotlib

    buffer = io.StringIO()
    settings = {
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


# --- narrow ---------------------------------------------------------------------------------------


def narrow(figure: Figure) -> None:
    """Set the panels of a figure one below the other, for a phone."""
    from matplotlib.gridspec import GridSpec

    panels = {}
    for axes in figure.axes:
        if (spec := axes.get_subplotspec()) is not None:
            panels[spec.rowspan.start, spec.colspan.start] = axes
    order = sorted(panels)
    columns = len({column for _, column in order})
    rows = len({row for row, _ in order})
    width, height = figure.get_size_inches()
    heights = [panel_height(panels[place], height / rows, width / columns) for place in order]
    if columns > 1:
        grid = GridSpec(len(order), 1, figure, height_ratios=heights)
        for number, place in enumerate(order):
            name_alone(panels, place)
            panels[place].set_subplotspec(grid[number])
    figure.set_size_inches(NARROW, sum(heights))
    for axes, high in zip((panels[place] for place in order), heights, strict=True):
        wrap(axes.title, 0.86 * NARROW)
        wrap(axes._left_title, 0.86 * NARROW)  # type: ignore[attr-defined]
        wrap(axes.xaxis.label, 0.86 * NARROW)
        wrap(axes.yaxis.label, 0.9 * high)
    legends = list(figure.legends)  # those of the whole figure, which are above it
    if len(order) == 1 and (legend := panels[order[0]].get_legend()):
        lift(legend, figure, "lower" if titled(panels[order[0]]) else "upper")
    for legend in legends:
        lift(legend, figure, "upper")


def panel_height(axes: Axes, height: float, width: float) -> float:
    """Return how high a panel of this height and width is where it is as wide as a phone."""
    if axes.get_aspect() != "auto":  # a picture, or a map
        across, down = abs(np.diff(axes.get_xlim())[0]), abs(np.diff(axes.get_ylim())[0])
        labels = 0.5 if axes.axison else 0.0
        return float((NARROW - labels) * down / across + labels + (0.25 if titled(axes) else 0))
    return height if height > width else min(height, PANEL)


def titled(axes: Axes) -> bool:
    """Whether a panel has a title."""
    return any(axes.get_title(loc=place) for place in ("left", "center"))


def name_alone(panels: dict[tuple[int, int], Axes], place: tuple[int, int]) -> None:
    """Write at a panel what it had in common with those beside, above and below it."""
    axes, (row, column) = panels[place], place
    if not axes.axison:
        return
    axes.tick_params(labelleft=True, labelbottom=True)
    first = panels.get((row, 0), axes)
    last = panels.get((max(panels)[0], column), axes)
    top = panels.get((0, column), axes)
    axes.set_ylabel(axes.get_ylabel() or first.get_ylabel())
    axes.set_xlabel(axes.get_xlabel() or last.get_xlabel())
    if not axes.get_title(loc="left"):
        axes.set_title(top.get_title(loc="left"), loc="left")


def wrap(text: Text, inches: float) -> None:
    """Break a line that is longer than that."""
    letters = int(inches * 72 / (0.57 * float(text.get_fontsize())))
    lines = text.get_text().splitlines()
    text.set_text("\n".join(textwrap.fill(line, letters) for line in lines))


def lift(legend: Legend, figure: Figure, where: str) -> None:
    """Set a legend above or below the panels, in as many columns as fit."""
    handles = [handle for handle in legend.legend_handles if handle is not None]
    labels = [text.get_text() for text in legend.get_texts()]
    title = legend.get_title().get_text()
    legend.remove()
    for columns in range(len(labels), 0, -1):
        lifted = figure.legend(
            handles, labels, title=title or None, loc=f"outside {where} left", ncols=columns
        )
        figure.draw_without_rendering()
        if columns == 1 or lifted.get_window_extent().width <= figure.bbox.width:
            return
        lifted.remove()


# --- small ----------------------------------------------------------------------------------------


def tidy(text: str, prefix: str) -> ET.Element:
    """Drop what a page does not need, round the numbers, and give short names."""
    root = ET.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", text))
    for parent in list(root.iter()):
        parent.tag = parent.tag.removeprefix(f"{{{SVG}}}")
        for child in list(parent):
            if child.tag.endswith("}metadata") or child.find(f"{{{SVG}}}style") is not None:
                parent.remove(child)
    width, height = (round(float(number), 1) for number in root.attrib["viewBox"].split()[2:])
    root.attrib.clear()
    root.attrib |= {
        "viewBox": f"0 0 {width:g} {height:g}",
        "width": f"{width * 4 / 3:.0f}",
        "height": f"{height * 4 / 3:.0f}",
        "stroke-linejoin": "round",
        "font-size": "10",
    }
    for element in root.iter():
        if XLINK in element.attrib:
            element.set("href", element.attrib.pop(XLINK))
        shorten(element)
    for parent in list(root.iter()):
        merge_dots(parent, root)
    rename(root, prefix)
    while sum(flatten(parent) for parent in list(root.iter())):
        pass
    for element in root.iter():
        element.tail = None
        if element.tag not in ("text", "tspan"):
            element.text = None
    return root


def rename(root: ET.Element, prefix: str) -> None:
    """Keep only the ids that something refers to, and make them short."""
    names = dict.fromkeys(references(root))
    used = {name: f"{prefix}{number}" for number, name in enumerate(names)}
    for element in root.iter():
        name = element.attrib.pop("id", "")
        if name in used:
            element.set("id", used[name])
        for key, value in element.items():
            if key in REFERRING:
                element.set(key, REFERENCE.sub(lambda m: f"#{used.get(m[1], m[1])}", value))


REFERRING = ("href", "clip-path")
REFERENCE = re.compile(r"(?:(?<=^)|(?<=url\())#([\w-]+)")


def references(root: ET.Element) -> Iterator[str]:
    """The ids that are referred to, in the order in which they are."""
    for element in root.iter():
        for key in REFERRING:
            for found in REFERENCE.finditer(element.get(key, "")):
                yield found[1]


def shorten(element: ET.Element) -> None:
    """Round the numbers of an element to what can be seen; let the page choose the font."""
    for key, value in element.items():
        if key == "style":
            value = declarations(value)
        elif key == "href" and value.startswith("data:"):
            value = smaller(value)
        elif key != "viewBox":
            digits = 3 if key == "transform" or (key == "d" and "id" in element.attrib) else 1
            value = NUMBER.sub(lambda found: rounded(found[0], digits), value)  # noqa: B023
            value = re.sub(r"rotate\(-?0 [^)]*\)", "", value)
            if key == "d":
                value = re.sub(r"\s*([A-Za-z])\s*", r"\1", value).strip()
            value = re.sub(r"\s+", " ", value)
        if value:
            element.set(key, value)
        else:
            del element.attrib[key]


def rounded(number: str, digits: int) -> str:
    """Write a number with at most that many decimals."""
    text = f"{float(number):.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def declarations(style: str) -> str:
    """Drop font families and what is the default; round the numbers."""
    kept = []
    for line in filter(None, (part.strip() for part in style.split(";"))):
        name, value = (part.strip() for part in line.split(":", 1))
        if name == "font":
            words = re.match(r"((?:\w+ )*)([\d.]+)px", value)
            if words:
                kept += [f"font-weight:{word}" for word in words[1].split() if word != "normal"]
                value, name = words[2], "font-size"
        if name == "font-size":
            value = rounded(value.removesuffix("px"), 1) + "px"
            if value == "10px":
                continue
        if name in ("font-family", "stroke-linejoin", "stroke-miterlimit") or line in DEFAULTS:
            continue
        value = NUMBER.sub(lambda found: rounded(found[0], 2), value)
        kept.append(f"{name}:{value}")
    return ";".join(kept)


DEFAULTS = ("text-anchor: start", "stroke-linecap: butt", "opacity: 1", "font-weight: normal")


def smaller(uri: str) -> str:
    """Store a picture in grey, if it is grey, and as small as PNG can."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    bands = picture.convert("RGBA").split()
    opaque = bands[3].getextrema() == (255, 255)
    grey = bands[0].tobytes() == bands[1].tobytes() == bands[2].tobytes()
    if opaque:
        picture = bands[0] if grey else picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def merge_dots(parent: ET.Element, root: ET.Element) -> None:
    """Make one path of neighbouring round dots of a colour: a thousand elements are slow."""
    radius_of = {
        element.get("id"): radius
        for element in root.iter("path")
        if (radius := round_marker(element.get("d", "")))
    }
    dots: list[ET.Element] = []
    for child in [*list(parent), ET.Element("end")]:
        style = child.get("style", "")
        is_dot = child.tag == "use" and child.get("href", "")[1:] in radius_of and filled(style)
        alike = dots and (style, child.get("href")) == (dots[0].get("style"), dots[0].get("href"))
        if dots and not (is_dot and alike):
            if len(dots) > 3:
                join(parent, dots, radius_of[dots[0].get("href", "")[1:]])
            dots = []
        if is_dot:
            dots.append(child)


def round_marker(d: str) -> float:
    """The radius of a path that is a circle around 0, as matplotlib draws it; 0 of another one."""
    found = re.fullmatch(r"M0 ([\d.]+)(?:C[-\d. ]+){8}[zZ]", d)
    return float(found[1]) if found else 0.0


def filled(style: str) -> str:
    """The colour of a dot that has no edge, or one of the same colour; else nothing."""
    values = dict(part.split(":", 1) for part in style.split(";") if part)
    fill = values.get("fill", "#000000")
    edge = values.get("stroke", "none")
    return (
        fill
        if fill != "none" and (edge in (fill, "none") or values.get("stroke-width") == "0")
        else ""
    )


def join(parent: ET.Element, dots: list[ET.Element], radius: float) -> None:
    """Put a path in the place of dots: a line of no length with round ends is a dot."""
    values = dict(part.split(":", 1) for part in dots[0].get("style", "").split(";") if part)
    edge = 0.0 if values.get("stroke", "none") == "none" else float(values.get("stroke-width", 1))
    style = {
        "fill": "none",
        "stroke": filled(dots[0].get("style", "")),
        "stroke-width": rounded(str(2 * radius + edge), 2),
        "stroke-linecap": "round",
    } | {key: value for key, value in values.items() if key == "opacity"}
    if "fill-opacity" in values:
        style["stroke-opacity"] = values["fill-opacity"]
    path = ET.Element("path")
    path.set("d", "".join(f"M{dot.get('x', 0)} {dot.get('y', 0)}h0" for dot in dots))
    path.set("style", ";".join(f"{key}:{value}" for key, value in style.items()))
    parent.insert(list(parent).index(dots[0]), path)
    for dot in dots:
        parent.remove(dot)


def flatten(parent: ET.Element) -> bool:
    """Drop what draws nothing, and groups that say nothing; return whether there was any."""
    changed = False
    for child in list(parent):
        unused = parent.tag == "defs" and "id" not in child.attrib and child.tag != "svg"
        empty = child.tag in ("g", "defs") and not len(child)
        if unused or empty or (child.tag == "path" and child.get("style") == "fill:none"):
            parent.remove(child)
            changed = True
        elif child.tag == "g" and not child.attrib:
            place = list(parent).index(child)
            parent[place : place + 1] = list(child)
            changed = True
    return changed
