"""Sources and pictures as the book shows them."""

import ast
import dataclasses
import inspect
import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import vaelib
from vaelib.book import COLOURS, show_images, show_source, use_style

mpl.use("Agg")


@pytest.fixture(autouse=True)
def no_figures_left():
    with mpl.rc_context():
        yield
    plt.close("all")


# --- the package's own source ---------------------------------------------------------------------


def shown_source(thing):
    fence, *lines, end = show_source(thing).data.split("\n")
    assert (fence, end) == ("```python", "```")
    return "\n".join(lines)


def public():
    """Every public function and class of the core and the book, and the methods of the classes."""
    things = {**vars(vaelib), **vars(vaelib.book)}.values()
    for thing in filter(callable, things):
        yield thing
        if inspect.isclass(thing):
            yield from filter(inspect.isfunction, vars(thing).values())


PUBLIC = {
    thing.__qualname__: thing
    for thing in public()
    if thing.__module__.startswith("vaelib") and not thing.__name__.startswith("_")
}


@pytest.mark.parametrize("name", PUBLIC)
def test_shown_source_is_the_code_without_its_docstrings(name):
    source, original = shown_source(PUBLIC[name]), inspect.getsource(PUBLIC[name])
    original = inspect.cleandoc("\n" + original)
    tree = ast.parse(original)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Expr(ast.Constant(...))]
    assert ast.dump(ast.parse(source)) == ast.dump(tree)
    assert "\n\n\n" not in source
    comments = [line for line in original.splitlines() if line.strip().startswith("# ")]
    assert [line for line in source.splitlines() if line.strip().startswith("# ")] == comments


@dataclasses.dataclass(slots=True)
class Empty:
    """Only a docstring."""

    def method(self):
        """Two lines,

        and a string.
        """
        # why
        return """not a docstring"""

    class Inner:
        """Only a docstring."""


def test_only_docstrings_are_dropped():
    assert shown_source(Empty).splitlines() == [
        "@dataclasses.dataclass(slots=True)",
        "class Empty:",
        "    def method(self):",
        "        # why",
        '        return """not a docstring"""',
        "",
        "    class Inner:",
        "        ...",
    ]


# --- pictures -------------------------------------------------------------------------------------


def picture(ax):
    (image,) = ax.images
    return np.asarray(image.get_array())


def test_grey_images_are_laid_out_row_by_row():
    images = torch.arange(5 * 2 * 3, dtype=torch.uint8).reshape(5, 1, 2, 3) * 8
    _, ax = plt.subplots()
    assert show_images(images, columns=3, title="five", ax=ax) is ax
    expected = np.ones((6, 12))  # white between the images, and in the place of a sixth
    for i in range(5):
        row, column = divmod(i, 3)
        expected[3 * row : 3 * row + 2, 4 * column : 4 * column + 3] = images[i, 0].numpy() / 255
    np.testing.assert_allclose(picture(ax), expected)
    assert ax.get_title(loc=mpl.rcParams["axes.titlelocation"]) == "five"
    assert not ax.axison
    assert ax.images[0].get_clim() == (0, 1)


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


def test_the_style_is_set_and_the_colours_differ():
    use_style()
    assert mpl.rcParams["image.cmap"] == "gray"
    assert len({mpl.colors.to_hex(c) for c in COLOURS.values()}) == len(COLOURS)
    show_images(torch.rand(2, 1, 3, 3), title="one").figure.canvas.draw()
