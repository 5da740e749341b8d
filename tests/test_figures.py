"""Figures: what colours mean, how images lie side by side, and what is stored of a drawing."""

import base64
import io
import math
import re
from itertools import combinations
from xml.etree import ElementTree as ET

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import BOOK
from PIL import Image

from vaelib.book import COLOURS, DIGIT_COLOURS, show_images, use_style
from vaelib.book.svg import power, to_svg

mpl.use("Agg")


@pytest.fixture(autouse=True)
def no_figures_left():
    with mpl.rc_context():
        yield
    plt.close("all")


# --- images ---------------------------------------------------------------------------------------


def picture(ax):
    (image,) = ax.images
    return np.asarray(image.get_array())


def test_grey_images_are_laid_out_row_by_row():
    images = torch.arange(5 * 2 * 3, dtype=torch.uint8).reshape(5, 1, 2, 3) * 8
    _, ax = plt.subplots()
    assert show_images(images, columns=3, title="five", ax=ax) is ax
    expected = np.zeros((5, 11))
    for i in range(5):
        row, column = divmod(i, 3)
        expected[3 * row : 3 * row + 2, 4 * column : 4 * column + 3] = images[i, 0].numpy() / 255
    np.testing.assert_allclose(picture(ax), expected)
    assert ax.get_title(loc=mpl.rcParams["axes.titlelocation"]) == "five"
    assert not ax.axison
    assert ax.images[0].get_clim() == (0, 1)
    # White between the images, and in the place of a sixth.
    gaps = {tuple(patch.get_bbox().bounds) for patch in ax.patches}
    assert gaps == {
        *((2.5 + 4 * column, -0.5, 1, 5) for column in range(2)),
        (-0.5, 1.5, 11, 1),
        (7.5, 2.5, 3, 2),
    }
    assert all(mpl.colors.to_hex(patch.get_facecolor()) == "#ffffff" for patch in ax.patches)


def test_coloured_images_keep_their_channels():
    images = torch.rand(4, 3, 5, 6)
    shown = picture(show_images(images, columns=4))
    for i in range(4):
        part = shown[:5, 7 * i : 7 * i + 6]
        np.testing.assert_allclose(part, images[i].permute(1, 2, 0).numpy())


def test_tensors_arrays_and_lists_of_bytes_and_pixels_look_alike():
    images = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    pixels = images.double() / 255
    alike = (images.numpy(), pixels, [*pixels], pixels.tolist(), pixels.clone().requires_grad_())
    for same in alike:
        np.testing.assert_allclose(picture(show_images(same)), picture(show_images(images)))


@pytest.mark.parametrize("shape", [(28, 28), (0, 1, 3, 3), (2, 8, 8, 3)])
def test_images_of_another_shape_are_an_error(shape):
    with pytest.raises(ValueError, match=r"^images: "):
        show_images(torch.rand(shape))


@pytest.mark.parametrize("value", [255.0, -0.01, math.nan, math.inf, 7])
def test_what_is_neither_bytes_nor_in_0_to_1_is_an_error(value):
    with pytest.raises(ValueError, match=r"^images: "):
        show_images(torch.full((2, 1, 3, 3), value))


# --- colours --------------------------------------------------------------------------------------

# What the three kinds of colour-blind readers see, on linear RGB [Machado et al. 2009].
SEEN = {
    "all": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
# sRGB to the cone responses and on to Oklab [Ottosson 2020], in which distances are as seen.
TO_CONES = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
TO_OKLAB = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]


def linear(colour):
    rgb = np.array(mpl.colors.to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(colour, seen):
    return TO_OKLAB @ np.cbrt(TO_CONES @ np.clip(seen @ linear(colour), 0, 1))


@pytest.mark.parametrize("kind", SEEN)
def test_the_digits_have_ten_colours_far_from_each_other_and_from_the_five(kind):
    seen = np.array(SEEN[kind])
    digits, five = ([oklab(c, seen) for c in some] for some in (DIGIT_COLOURS, COLOURS.values()))
    assert len(digits) == 10
    pairs = [*combinations(digits, 2), *((a, b) for a in digits for b in five)]
    assert min(math.dist(a, b) for a, b in pairs) > (0.09 if kind == "all" else 0.05)


def test_pages_have_the_digits_colours():
    sheet = (BOOK / "_static" / "figures.css").read_text(encoding="utf-8")
    told = re.findall(r"--digit-(\d): (#\w{6});", sheet)
    assert told == [(str(i), colour.lower()) for i, colour in enumerate(DIGIT_COLOURS)]


def test_the_digits_are_seen_on_white_and_in_the_dark():
    for colour in DIGIT_COLOURS:
        luminance = linear(colour) @ (0.2126, 0.7152, 0.0722)
        assert 1.05 / (luminance + 0.05) > 1.7
        assert (luminance + 0.05) / (0.006 + 0.05) > 2  # the theme's #121212


# --- drawings -------------------------------------------------------------------------------------

S = "{http://www.w3.org/2000/svg}"


def two_panels():
    use_style()
    figure, axes = plt.subplots(1, 2, sharey=True)
    axes[0].scatter(np.linspace(0, 1, 100), np.linspace(0, 1, 100) ** 2, s=5, c="#332288", lw=0)
    axes[0].set(title="one", ylabel="height")
    axes[1].plot([1, 2, 3], [0, 1, 0.5], "o-", color=COLOURS["kl"], label="of the second")
    axes[1].set(title="two", xscale="log")
    axes[1].legend()
    return figure


def both(figure):
    """The wide drawing and the narrow one, of which it is rid."""
    wide = ET.fromstring(to_svg(figure))
    (holder,) = (defs for defs in wide.iter(f"{S}defs") if defs.find(f"{S}svg") is not None)
    narrow = holder.find(f"{S}svg")
    holder.remove(narrow)
    return wide, narrow


def words(drawing):
    return ["".join(text.itertext()) for text in drawing.iter(f"{S}text")]


def place(drawing, word):
    (text,) = (text for text in drawing.iter(f"{S}text") if "".join(text.itertext()) == word)
    return float(text.get("x")), float(text.get("y"))


def test_the_same_figure_is_the_same_text_and_stays_as_it_is():
    figure = two_panels()
    size = figure.get_size_inches().tolist()
    first = to_svg(figure)
    assert figure.get_size_inches().tolist() == size
    assert [plt.figure(number) for number in plt.get_fignums()] == [figure]
    assert to_svg(figure) == first == to_svg(two_panels())


def test_narrow_panels_lie_one_below_the_other_and_say_what_they_shared():
    wide, narrow = both(two_panels())
    assert place(wide, "one")[1] == place(wide, "two")[1]
    assert place(wide, "one")[0] < place(wide, "two")[0]
    assert place(narrow, "one")[0] == place(narrow, "two")[0]
    assert place(narrow, "one")[1] < place(narrow, "two")[1]
    assert (words(wide).count("height"), words(narrow).count("height")) == (1, 2)
    assert words(narrow).count("1.0") > words(wide).count("1.0")
    for drawing, most in ((wide, 508), (narrow, 268)):
        *_, width, height = map(float, drawing.get("viewBox").split())
        assert width <= most
        assert float(drawing.get("width")) == pytest.approx(width * 4 / 3, abs=0.51)
        assert float(drawing.get("height")) == pytest.approx(height * 4 / 3, abs=0.51)


def test_a_figure_with_a_readers_function_or_without_panels_is_drawn_all_the_same():
    use_style()
    figure, ax = plt.subplots()
    ax.xaxis.set_major_formatter(lambda value, _: f"{value}!")
    assert all(any("!" in word for word in words(drawing)) for drawing in both(figure))
    figure = plt.figure()
    figure.text(0.5, 0.5, "words")
    assert to_svg(figure).count("words") == 2


def test_a_drawing_is_small_and_leaves_font_and_ground_to_the_page():
    text = to_svg(two_panels())
    assert not re.search("DejaVu|<style|metadata|DOCTYPE|<image|20[23]\\d-", text)
    assert len(text) < 20_000
    drawing = ET.fromstring(text)
    named = {element.get("id") for element in drawing.iter()} - {None}
    assert named == set(re.findall(r'(?:url\(|href=")#([\w-]+)', text))
    assert not [path for path in drawing.iter(f"{S}path") if path.get("style") == "fill:none"]
    (dots,) = (p for p in both(two_panels())[0].iter(f"{S}path") if p.get("d").count("h0") > 1)
    assert dots.get("d").count("h0") == 100
    assert "stroke:#332288" in dots.get("style")


def test_pictures_are_stored_pixel_by_pixel():
    use_style()
    images = torch.randint(0, 256, (4, 1, 5, 5), dtype=torch.uint8)
    ax = show_images(images, columns=2)
    for drawing in both(ax.figure):
        (picture,) = drawing.iter(f"{S}image")
        content = base64.b64decode(picture.get("href").partition(",")[2])
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert pixels.shape == (11, 11)
        assert np.abs(pixels[:5, 6:11].astype(int) - images[1, 0].numpy()).max() <= 1


def test_a_long_title_and_a_legend_fit_where_it_is_narrow():
    use_style()
    figure, ax = plt.subplots()
    for number in range(5):
        ax.plot([0, 1], [0, number], label=f"the line of number {number}")
    ax.set_title("A title that needs more than one line on a phone, and even on others")
    ax.legend()
    wide, narrow = both(figure)
    assert "A title" not in "".join(word for word in words(narrow) if "others" in word)
    numbers = [word for word in words(narrow) if re.fullmatch(r"0\.[2468]", word)]
    below = max(place(narrow, number)[1] for number in numbers)
    assert all(place(narrow, f"the line of number {n}")[1] > below for n in range(5))
    assert place(wide, "the line of number 4")[1] < place(wide, numbers[0])[1]


def test_a_legend_above_all_panels_stays_above_where_it_is_narrow():
    use_style()
    figure, axes = plt.subplots(1, 2)
    (line,) = axes[0].plot([0, 1], [0, 1])
    figure.legend([line], ["of both"], loc="outside upper center")
    axes[0].set_title("first")
    wide, narrow = both(figure)
    for drawing in (wide, narrow):
        assert place(drawing, "of both")[1] < place(drawing, "first")[1]


def test_datasets_are_named_as_in_the_prose():
    figure, axes = plt.subplots(1, 2)
    for ax, name in zip(axes, ("mnist", "glyphs"), strict=True):
        ax.set_title(name)
        ax.plot([1, 2], label=f"linear, {name}")
        ax.legend()
    words = [(e.text, e.get("style", "")) for e in ET.fromstring(to_svg(figure)).iter() if e.text]
    titles = {text: style for text, style in words if text in ("MNIST", "glyphs")}
    assert "italic" in titles["glyphs"]
    assert "italic" not in titles["MNIST"]
    assert {"linear, MNIST", "linear, glyphs"} <= {text for text, _ in words}
    plt.close(figure)


@pytest.mark.parametrize(
    ("value", "label"),
    [(1e-5, "10⁻⁵"), (0.001, "0.001"), (1, "1"), (1e4, "10,000"), (3e6, "3 · 10⁶"), (-10, "−10")],
)
def test_logarithmic_axes_are_labelled_with_plain_characters(value, label):
    assert power(value) == label
