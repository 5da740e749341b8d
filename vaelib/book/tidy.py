"""What matplotlib writes as SVG, made small: short numbers, no fonts, dots in one path."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

SVG, XLINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


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
        "font-family": "sans-serif",  # of the file alone; the page has its own
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
    small = bands[0] if grey else picture.convert("RGB")
    buffer = io.BytesIO()
    (small if opaque else picture).save(buffer, format="png", optimize=True)
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
