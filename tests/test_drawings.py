"""A changed figure is noticed, and said where; what nobody sees is not."""

import base64
import io
import re
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

sys.path.insert(0, str(ROOT / "tools" / "validation"))
from drawings import difference

from vaelib.book import use_style
from vaelib.book.svg import to_svg

mpl.use("Agg")


def drawing(label: str = "KL (nats)", moved: float = 0.0, grey: int = 0) -> str:
    """A line, dots and a picture."""
    with mpl.rc_context():
        use_style()
        figure, axes = plt.subplots(1, 2)
        heights = np.linspace(0, 1, 40)
        heights[20] += moved
        axes[0].plot(heights, "o", color="#0072B2")
        axes[0].plot(heights**2, color="#D55E00")
        axes[0].set(ylabel=label, xlabel="images")
        pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
        pixels[3, 3] += grey
        axes[1].imshow(pixels, vmin=0, vmax=255, interpolation="none")
        text = to_svg(figure)
    plt.close(figure)
    return text


@pytest.fixture(scope="module")
def stored() -> str:
    return drawing()


CHANGES = {
    "a moved point": ({"moved": 0.02}, "numbers differ"),
    "another label": ({"label": "gain (nats)"}, "'KL (nats)', new 'gain (nats)'"),
    "a changed digit": ({"grey": 9}, "1 pixels of"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_figure_is_noticed(stored: str, change: str) -> None:
    arguments, said = CHANGES[change]
    assert said in difference(stored, drawing(**arguments))


def test_other_faults_are_noticed(stored: str) -> None:
    swapped = stored.replace("#0072b2", "#x").replace("#d55e00", "#0072b2").replace("#x", "#d55e00")
    assert "style: stored" in difference(stored, swapped)
    assert "elements" in difference(stored, re.sub(r"<text.*?</text>", "", stored, count=1))
    labels = stored.replace(">images<", ">!<").replace(">KL (nats)<", ">images<")
    assert "stored 'images', new" in difference(stored, labels.replace(">!<", ">KL (nats)<"))
    assert "no SVG" in difference(stored, stored[:-20])


def test_what_nobody_sees_is_no_difference(stored: str) -> None:
    last = re.sub(
        r"\d+\.\d\b(?=[^<>]*z?\" (?:clip|style))", lambda m: f"{float(m[0]) + 0.1:.1f}", stored
    )
    assert last != stored
    assert difference(stored, last) == ""
    assert difference(stored, stored.replace("><", ">\n <")) == ""

    # Another version of the library packs a picture in other bytes.
    def packed(found: re.Match[str]) -> str:
        buffer = io.BytesIO()
        picture = Image.open(io.BytesIO(base64.b64decode(found[1])))
        picture.convert("RGB").save(buffer, format="png", compress_level=1)
        return f"base64,{base64.b64encode(buffer.getvalue()).decode()}"

    again = re.sub(r"base64,([^\"]+)", packed, stored)
    assert again != stored
    assert difference(stored, again) == ""
