"""In what two drawings, as cells store them, differ: SVG compared with a tolerance.

The same elements with the same attributes and texts; numbers may differ by less than can be seen,
and so may the pixels of the pictures within.
"""

import base64
import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

# A tenth of a point is what is stored; these are a fifth of a pixel, and two of 256 grey levels.
NEAR, NEAR_IN_A_TRANSFORM, NEAR_GREY = 0.15, 0.02, 2
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
# Names and constants of the code, among them colours.
EXACT = ("id", "href", "clip-path", "style")


def difference(stored: str, new: str) -> str:
    """The first thing in which the new drawing differs from the stored one, or nothing."""
    if stored == new:
        return ""
    try:
        pair = ET.fromstring(stored), ET.fromstring(new)
    except ET.ParseError as error:
        return f"no SVG: {error}"
    return next(differences(*pair, "svg"), "")


def differences(stored: ET.Element, new: ET.Element, place: str) -> Iterator[str]:
    """In what an element differs, and those within it."""
    for key in sorted({*stored.keys(), *new.keys()}):
        old, now = stored.get(key, ""), new.get(key, "")
        if old != now and (what := between(key, old, now)):
            yield f"{place}: {key}: {what}"
    old, now = ((element.text or "").strip() for element in (stored, new))
    if old != now:
        yield f"{place}: stored {old!r}, new {now!r}"
    tags = [[name(child) for child in element] for element in (stored, new)]
    counts: dict[str, int] = {}
    for old_child, new_child in zip(stored, new, strict=False):
        kind = name(old_child)
        if kind != name(new_child):
            break
        counts[kind] = counts.get(kind, 0) + 1
        yield from differences(old_child, new_child, f"{place} > {kind}[{counts[kind]}]")
    if tags[0] != tags[1]:
        yield f"{place}: stored {len(tags[0])} elements, new {len(tags[1])}, not all of one kind"


def name(element: ET.Element) -> str:
    """The tag of an element, without its namespace."""
    return element.tag.rpartition("}")[2]


def between(key: str, stored: str, new: str) -> str:
    """In what two values of an attribute differ by more than can be seen."""
    if stored.startswith("data:") and new.startswith("data:"):
        return between_pictures(stored, new)
    if NUMBER.sub("0", stored) != NUMBER.sub("0", new) or key in EXACT:
        return f"stored {cut(stored)}, new {cut(new)}"
    near = NEAR_IN_A_TRANSFORM if key == "transform" else NEAR
    numbers = zip(NUMBER.findall(stored), NUMBER.findall(new), strict=True)
    far = [pair for pair in numbers if abs(float(pair[0]) - float(pair[1])) > near]
    if far:
        return f"{len(far)} numbers differ, the first {far[0][0]} and now {far[0][1]}"
    return ""


def between_pictures(stored: str, new: str) -> str:
    """In what two embedded pictures differ."""
    old, now = (pixels(uri) for uri in (stored, new))
    if old.shape != now.shape:
        return f"stored a picture of {old.shape}, new one of {now.shape}"
    far = np.abs(old - now).max(-1) > NEAR_GREY
    return f"{far.sum()} pixels of {far.size} differ" if far.any() else ""


def pixels(uri: str) -> np.ndarray:
    """The pixels of an embedded picture."""
    content = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"), dtype=int)


def cut(value: str) -> str:
    """A value as it can be shown in a line."""
    return repr(value if len(value) <= 60 else value[:60] + "…")
