"""Numbers, tables, sources and pictures as the book shows them."""

import ast
import inspect
import math
from decimal import ROUND_HALF_EVEN, Decimal
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vaelib
from vaelib import COLOURS, show_images, show_source, table, use_style
from vaelib.plots import three_digits

mpl.use("Agg")
few = settings(deadline=None, max_examples=50, database=None)


@pytest.fixture(autouse=True)
def no_figures_left():
    with mpl.rc_context():
        yield
    plt.close("all")


# ---- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (9.99e-10, "0"),
        (-9.99e-10, "0"),
        (1e-17, "0"),
        (1.1e-9, "1.10e-09"),
        (1.0, "1.00"),
        (-1.0, "-1.00"),
        (0.5, "0.500"),
        (math.pi, "3.14"),
        (-math.pi, "-3.14"),
        (31.4159, "31.4"),
        (314.159, "314"),
        (0.0314159, "0.0314"),
        (0.000314159, "0.000314"),
        (0.0001, "0.000100"),
        (0.00002, "2.00e-05"),
        (-0.00002346, "-2.35e-05"),
        (1e6, "1.00e+06"),
        (-2.5e9, "-2.50e+09"),
        # Rounding that carries into the next power of ten must not add a digit.
        (9.999, "10.0"),
        (99.99, "100"),
        (0.9999, "1.00"),
        (0.09999, "0.100"),
        (-9.996, "-10.0"),
        (9.994, "9.99"),
        (999.9, "1000"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (12345, "12345"),
        (0, "0"),
        (True, "True"),
        ("active", "active"),
        (None, "None"),
    ],
)
def test_three_digits(value, text):
    assert three_digits(value) == text


@pytest.mark.parametrize(
    "convert", [np.float32, np.float64, torch.tensor, lambda v: torch.tensor(v).double()]
)
def test_numbers_of_numpy_and_torch_are_written_alike(convert):
    assert three_digits(convert(0.125)) == "0.125"
    assert three_digits(convert(2.5)) == "2.50"


def test_integers_of_numpy_and_torch_stay_as_they_are():
    assert three_digits(np.int64(123456)) == "123456"
    assert three_digits(torch.tensor(123456)) == "123456"
    assert three_digits(torch.tensor(True)) == "True"


@few
@given(st.floats(1e-9, 1e3, exclude_min=True, exclude_max=True), st.sampled_from([1, -1]))
def test_below_a_thousand_a_number_is_rounded_to_three_digits(size, sign):
    value = sign * size
    exact = Decimal(value)
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_HALF_EVEN)
    text = three_digits(value)
    assert Decimal(text) == rounded
    digits = text.partition("e")[0].replace(".", "").lstrip("-0")
    assert len(digits) == (4 if abs(rounded) == 1000 else 3)


@few
@given(st.floats(-1e300, 1e300))
def test_no_number_is_off_by_more_than_half_its_third_digit(value):
    text = three_digits(value)
    if abs(value) < 1e-9:
        assert text == "0"
    else:
        assert float(text) == pytest.approx(value, rel=0.00501)
        assert (float(text) > 0) == (value > 0)


@few
@given(st.floats(-1e-9, 1e-9, exclude_min=True, exclude_max=True))
def test_rounding_noise_is_written_as_zero(value):
    assert three_digits(value) == "0"
    assert three_digits(torch.tensor(value, dtype=torch.float64)) == "0"


@few
@given(st.floats(1e-8, 1e6), st.sampled_from([-1, 1]))
def test_the_last_bits_of_a_number_do_not_show(value, sign):
    # Two machines differ in the last bits. Only a number on the very edge may round both ways.
    nearby = {three_digits(sign * value * (1 + k * 2**-50)) for k in (-2, -1, 0, 1, 2)}
    assert len(nearby) <= 2


# ---- tables -------------------------------------------------------------------------------------


def test_table_as_text_is_aligned_to_the_right():
    variances = torch.tensor([0.98765, 0.0001], dtype=torch.float64)
    shown = table({"variable": [0, 10], "Var μ": variances, "": ["a", "bcd"]})
    assert repr(shown) == (
        "variable     Var μ     \n       0     0.988    a\n      10  0.000100  bcd"
    )


class Cells(HTMLParser):
    """Reads a table back."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("th", "td"):
            self.cells.append("")
        if tag == "tr":
            self.cells.append("\n")

    def handle_data(self, data):
        self.cells[-1] += data


@few
@given(
    st.dictionaries(
        st.text("ab<>&\"'/=", max_size=5),
        st.tuples(st.text("<>&\"'x/", max_size=5), st.text("<b>&amp;", max_size=9)),
        min_size=1,
        max_size=3,
    )
)
def test_html_is_escaped(columns):
    read = Cells(table(columns)._repr_html_())
    expected = ["\n", *columns]
    for row in zip(*columns.values(), strict=True):
        expected += ["\n", *row]
    assert read.cells == expected
    assert set(read.tags) <= {"table", "thead", "tbody", "tr", "th", "td"}


def test_html_has_the_same_numbers_as_the_text():
    shown = table({"a": [1.23456, 2e-12], "b": torch.tensor([1, 2])})
    assert Cells(shown._repr_html_()).cells == ["\n", "a", "b", "\n", "1.23", "1", "\n", "0", "2"]
    assert repr(shown).split() == ["a", "b", "1.23", "1", "0", "2"]
    assert '<th scope="col">a</th>' in shown._repr_html_()


def test_a_table_without_rows_has_its_head():
    shown = table({"a": [], "bc": torch.zeros(0)})
    assert repr(shown) == "a  bc"
    assert Cells(shown._repr_html_()).cells == ["\n", "a", "bc"]


def test_columns_of_different_length_are_an_error():
    shown = {"a": [1], "b": [1, 2]}
    with pytest.raises(ValueError, match=r"shorter|longer|expected"):
        repr(table(shown))
    with pytest.raises(ValueError, match=r"shorter|longer|expected"):
        table(shown)._repr_html_()


# ---- the package's own source -------------------------------------------------------------------


def without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.dump(tree)


def shown_source(thing):
    text = show_source(thing).data
    assert text.startswith("```python\n")
    assert text.endswith("\n```")
    return text.removeprefix("```python\n").removesuffix("\n```")


@pytest.mark.parametrize(
    "thing",
    [
        vaelib.gaussian_kl,
        vaelib.elbo,
        vaelib.sample_posterior,
        vaelib.reconstruction_log_likelihood,
        vaelib.fit,
        vaelib.latent_statistics,
        vaelib.LatentStatistics,
        vaelib.reconstruction_gain,
        vaelib.marginal_decomposition,
        vaelib.frechet_distance,
        vaelib.VAE.encode,
        vaelib.Autoencoder.decode,
        vaelib.Autoencoder.sample,
        vaelib.Experiment.run,
    ],
    ids=lambda thing: thing.__qualname__,
)
def test_shown_source_is_the_code_without_its_docstrings(thing):
    source = shown_source(thing)
    original = inspect.cleandoc("\n" + inspect.getsource(thing))
    assert ast.dump(ast.parse(source)) == without_docstrings(ast.parse(original))
    assert '"""' not in source
    assert "\n\n\n" not in source
    # The comments stay.
    assert source.count("# ") == sum(
        line.count("# ") for line in original.splitlines() if "# " in line
    )


def test_shown_source_of_a_class_can_be_run():
    ast.parse(shown_source(vaelib.Autoencoder))


def with_strings():
    """Say nothing."""
    text = """not a docstring"""
    # why

    def inner():
        """Say nothing either,

        on more lines.
        """
        return text

    return inner


def test_only_docstrings_are_dropped():
    assert shown_source(with_strings).splitlines() == [
        "def with_strings():",
        '    text = """not a docstring"""',
        "    # why",
        "",
        "    def inner():",
        "        return text",
        "",
        "    return inner",
    ]


# ---- pictures -----------------------------------------------------------------------------------


def picture(ax):
    (image,) = ax.images
    return np.asarray(image.get_array())


def test_grey_images_are_laid_out_row_by_row():
    images = torch.arange(5 * 2 * 3, dtype=torch.uint8).reshape(5, 1, 2, 3) * 8
    ax = show_images(images, columns=3, title="five")
    shown = picture(ax)
    assert shown.shape == (2 * 3, 3 * 4)
    expected = np.ones((6, 12))  # white between the images and where there is none
    for i in range(5):
        row, column = divmod(i, 3)
        expected[3 * row : 3 * row + 2, 4 * column : 4 * column + 3] = images[i, 0].numpy() / 255
    np.testing.assert_allclose(shown, expected)
    assert ax.get_title(loc=mpl.rcParams["axes.titlelocation"]) == "five"
    assert not ax.axison
    assert ax.images[0].get_clim() == (0, 1)


def test_coloured_images_keep_their_channels():
    images = torch.rand(4, 3, 5, 6)
    shown = picture(show_images(images, columns=2))
    assert shown.shape == (2 * 6, 2 * 7, 3)
    for i in range(4):
        row, column = divmod(i, 2)
        part = shown[6 * row : 6 * row + 5, 7 * column : 7 * column + 6]
        np.testing.assert_allclose(part, images[i].permute(1, 2, 0).numpy())


def test_bytes_and_pixels_look_alike():
    images = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    as_bytes, as_pixels = (picture(show_images(i)) for i in (images, images.double() / 255))
    np.testing.assert_allclose(as_bytes, as_pixels)
    assert as_bytes.shape == (5, 50)


def test_one_image_and_images_with_gradients():
    model = vaelib.VAE((1, 4, 4), (3,), 1)
    images = model.decode(torch.zeros(1, 1))
    assert images.requires_grad
    shown = picture(show_images(images, columns=1))
    np.testing.assert_allclose(shown[:4, :4], images[0, 0].detach().numpy())


def test_a_given_axes_is_drawn_into():
    figure, ax = plt.subplots()
    assert show_images(torch.rand(2, 1, 3, 3), ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


def test_images_of_the_wrong_shape_are_an_error():
    with pytest.raises(ValueError, match="expected"):
        show_images(torch.rand(28, 28))


def test_the_style_is_set_and_the_colours_differ():
    use_style()
    assert mpl.rcParams["figure.constrained_layout.use"] is True
    assert mpl.rcParams["image.cmap"] == "gray"
    assert {"active", "inactive", "kl", "reconstruction", "prior"} <= COLOURS.keys()
    assert len({mpl.colors.to_hex(c) for c in COLOURS.values()}) == len(COLOURS)
    show_images(torch.rand(2, 1, 3, 3), title="one").figure.canvas.draw()
