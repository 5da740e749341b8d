"""The calculator of β in the page, against autograd and the closed form of the package."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from browser import DESK
from playwright.sync_api import Browser, Page
from test_diagnose_codes import stub
from test_explorables_data import kept
from torch.nn import functional as F

from vaelib import Gaussian, gaussian_kl, linear_vae_optimum
from vaelib.diagnosis.weights import implied_weight

NAME = "which-beta"
SIZES = {"pixels": 12, "channels": 3, "latent": 5, "batch": 7, "eta2": 0.3}
TERMS = {"bce": "bernoulli", "gaussian": Gaussian(0.3), "mse": Gaussian(0.5)}
WAYS = [*itertools.product(TERMS, *[("sum", "mean")] * 4)]


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(stub(tmp_path_factory.mktemp("page"), NAME).as_uri())
    page.evaluate("window.it = document.querySelector('section').explorable")
    page.evaluate("window.start = it.state()")
    yield page
    context.close()


def state(page: Page, **to: Any) -> dict[str, Any]:
    page.evaluate("to => it.set({...start, ...to})", to)
    return page.evaluate("it.state()")


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_beta_is_the_one_that_autograd_reads_off_the_line_of_code(
    page: Page, way: tuple[str, ...]
) -> None:
    """The line on the page is run, with the sizes of the page."""
    names = ("term", "pixels_by", "rows_by", "variables_by", "kl_rows_by")
    found = page.evaluate(
        "loss => it.implied(loss)",
        {**dict(zip(names, way, strict=True)), **SIZES, "factor": 1.5},
    )
    generator = torch.Generator().manual_seed(1)
    shape = (SIZES["batch"], SIZES["pixels"] * SIZES["channels"])
    x, output = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    codes = torch.randn(2, 7, SIZES["latent"], generator=generator, dtype=torch.float64)

    def loss(x: Any, output: Any, mu: Any, logvar: Any) -> Any:
        names = {"F": F, "x": x, "output": output, "kl": gaussian_kl(mu, logvar)}
        return eval(found["code"], names)

    weight = implied_weight(loss, TERMS[way[0]], x, output, *codes)
    assert found["beta"] == pytest.approx(weight.beta, rel=1e-9)
    assert weight.fits == pytest.approx(1)


@pytest.mark.parametrize("data", ["MNIST", "glyphs"])
def test_what_stands_above_the_water_is_what_a_linear_vae_keeps(page: Page, data: str) -> None:
    (values,) = (s["eigenvalues"] for s in kept(NAME)["spectra"] if s["name"] == data)
    spectrum = torch.tensor(values, dtype=torch.float64)
    for factor in (1e-4, 0.003, 0.1, 1.0, 4.0, 50.0):
        found = state(
            page,
            **{"data": data, "term": "gaussian", "pixels_by": "sum", "eta2": 0.5, "latent": 16},
            factor=factor,
        )
        assert found["beta"] == pytest.approx(factor)
        keeps = int((linear_vae_optimum(spectrum, 0.5, factor).var_mu > 0).sum())
        assert found["above"] == keeps
        assert re.search(rf"\b{keeps or 'none'} stands? above", found["words"])
        total = "would keep all 16" if keeps > 15 else f"would keep {keeps} of 16"
        assert (total if keeps else "total collapse") in found["words"]


def test_losses_that_are_known(page: Page) -> None:
    """Those of the table in the chapter of questions."""
    for name, beta, water in (
        ("PyTorch’s example", 1, 0.25),
        ('reduction="mean"', 784, 196),
        ("two means", 49, 12.25),
        ("mse with a weight", 0.196, 0.098),
    ):
        page.get_by_role("button", name=name).click()
        found = page.evaluate("it.state()")
        assert found["beta"] == pytest.approx(beta)
        assert found["water"] == pytest.approx(water)
        assert page.locator(".beta-big").inner_text() == f"β = {beta}"
    page.get_by_role("button", name='reduction="mean"').click()
    words = page.locator(".beta-answer").inner_text()
    assert words.startswith("Your loss averages over 784 pixels: it is a VAE with β = 784.")


def test_other_sizes_are_other_data(page: Page) -> None:
    state(page)
    page.get_by_label("channels", exact=True).fill("3")
    found = page.evaluate("it.state()")
    assert found["data"] == "your own"
    assert found["beta"] == pytest.approx(3 * 784)
    page.get_by_role("textbox", name="eigenvalues of your data").fill("[9000, 1.5e3, 2, .5]")
    found = page.evaluate("it.state()")
    assert found["above"] == 2
    assert "Of your 4 eigenvalues 2 stand above" in found["words"]
    page.get_by_role("radio", name="glyphs").check()
    assert page.get_by_label("channels", exact=True).input_value() == "1"


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5"])
def test_what_is_no_size_is_said_and_not_taken(page: Page, text: str) -> None:
    before = state(page)
    field = page.get_by_label("batch", exact=True).and_(page.locator("input[type=number]"))
    field.fill(text)
    assert field.get_attribute("aria-invalid") == "true"
    assert "whole number" in page.locator(".beta-answer").inner_text()
    assert page.evaluate("it.state()")["beta"] == before["beta"]
    field.fill("64")
    assert field.get_attribute("aria-invalid") is None
    assert "VAE with β" in page.locator(".beta-answer").inner_text()
