"""Everything measured of a stored run, once more: from its weights and the images, in NumPy alone.

Nothing of the package is used but the images and the file's name: no model, no measure. PyTorch
draws the noise, of which only its own generator has the numbers.
"""

import json
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from conftest import BOOK
from numpy.typing import NDArray
from safetensors.numpy import load_file

from vaelib import load
from vaelib.lab import Experiment

Floats = NDArray[np.float64]
LATENT = 16
DATASETS = pytest.mark.parametrize("dataset", ["mnist", "glyphs"])


@cache
def stored(**experiment: Any) -> dict[str, Any]:
    return load_file(BOOK / "runs" / f"{Experiment(**experiment).name}.run.safetensors")


@cache
def images_of(dataset: str) -> Floats:
    data = load(dataset)
    if data.name != dataset:
        pytest.skip(f"{dataset} is not here: its stored network cannot be tried on its images")
    return data.test_images.numpy().reshape(10_000, 784) / 255


def noise(n: int, dtype: torch.dtype) -> Floats:
    """Of a fresh generator, in the batches of 500 in which a set of images is measured."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(500, LATENT, generator=generator, dtype=dtype) for _ in range(n // 500)]
    return torch.cat(parts).double().numpy()


class Network:
    """The forward pass of the book's network, in float64."""

    def __init__(self, run: dict[str, Any]) -> None:
        self.weights = {
            name.removeprefix("weights/"): value.astype(np.float64)
            for name, value in run.items()
            if name.startswith("weights/")
        }

    def layer(self, x: Floats, name: str) -> Floats:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def encode(self, x: Floats) -> tuple[Floats, Floats]:
        for i in (0, 2, 4, 6):
            x = np.maximum(self.layer(x, f"encoder.{i}"), 0)
        return self.layer(x, "mu"), self.layer(x, "logvar")

    def decode(self, z: Floats) -> Floats:
        """The logits of the pixels."""
        for i in (0, 2, 4, 6):
            z = np.maximum(self.layer(z, f"decoder.{i}"), 0)
        return self.layer(z, "decoder.8")

    def nats(self, x: Floats, z: Floats) -> Floats:
        """log P(x|z) of each image: x log p + (1 − x) log(1 − p), for p = 1 / (1 + e^−a)."""
        logits = self.decode(z)
        softplus = np.maximum(logits, 0) + np.log(1 + np.exp(-np.abs(logits)))
        return (x * logits - softplus).sum(1)

    def gain(self, x: Floats, z: Floats, mean: Floats) -> Floats:
        """What is lost with its mean in the place of each variable."""
        without = (np.where(np.arange(LATENT) == j, mean, z) for j in range(LATENT))
        return self.nats(x, z).mean() - np.array([self.nats(x, codes).mean() for codes in without])

    def per_variable(
        self, x: Floats, gain_images: int, dtype: torch.dtype
    ) -> tuple[dict[str, Floats], Floats]:
        mu, logvar = self.encode(x)
        kl = (mu**2 + np.exp(logvar) - logvar - 1) / 2
        own = slice(gain_images)
        mean = mu[own].mean(0)
        drawn = mu[own] + np.exp(logvar[own] / 2) * noise(gain_images, dtype)
        measured = {
            "mu_variance": mu.var(0),
            "mean_variance": np.exp(logvar).mean(0),
            "kl": kl.mean(0),
            "gain": self.gain(x[own], mu[own], mean),
            "noisy_gain": self.gain(x[own], drawn, mean),
        }
        return measured, kl


@cache
def computed(dataset: str) -> dict[str, Any]:
    """All measurements, over all test images or the first 2,000."""
    x, network = images_of(dataset), Network(stored(dataset=dataset))
    measured, kl = network.per_variable(x, 2_000, torch.float64)
    mu, logvar = network.encode(x)
    p = 1 / (1 + np.exp(-network.decode(mu)))
    z = mu + np.exp(logvar / 2) * noise(10_000, torch.float64)
    return measured | {
        "nats": -network.nats(x, mu).mean(),
        "squared_error": np.mean((p - x) ** 2),
        "elbo": (network.nats(x, z) - kl.sum(1)).mean(),
        "shape": np.array([1, 28, 28]),
        "revived": -1,
    }


@DATASETS
def test_every_measurement_of_a_stored_run_is_that_of_its_weights(dataset: str) -> None:
    run, expected = stored(dataset=dataset), computed(dataset)
    assert {name for name in run if name.startswith("measured/")} == {
        f"measured/{name}" for name in expected
    }
    for name, value in expected.items():
        np.testing.assert_allclose(run[f"measured/{name}"], value, rtol=1e-9, atol=1e-10)


@DATASETS
def test_the_last_entry_of_its_history_is_that_of_its_weights(dataset: str) -> None:
    run, network = stored(dataset=dataset), Network(stored(dataset=dataset))
    # 20 epochs of 60,000 images, 128 at once; measured in float32, on fewer images.
    assert run["history/step"][-1] == 20 * -(-60_000 // 128)
    expected, _ = network.per_variable(images_of(dataset)[:1_000], 500, torch.float32)
    assert {name for name in run if name.startswith("history/")} == {
        f"history/{name}" for name in (*expected, "step")
    }
    for name, value in expected.items():
        np.testing.assert_allclose(run[f"history/{name}"][-1], value, rtol=1e-3, atol=2e-3)


@DATASETS
def test_the_run_read_by_the_package_is_the_same(dataset: str) -> None:
    expected, run = computed(dataset), Experiment(dataset=dataset).run(weights=False)
    names = {"var_mu": "mu_variance", "mean_sigma2": "mean_variance", "reconstruction_nats": "nats"}
    for name, value in run.measurements.items():
        np.testing.assert_allclose(value, expected[names.get(name, name)], rtol=1e-9, atol=1e-10)
    assert run.statistics.active().tolist() == (expected["mu_variance"] > 0.01).tolist()


# ---- the tables of two chapters -----------------------------------------------------------------


def printed(chapter: str, header: str) -> tuple[list[list[str]], str]:
    """The rows below this header, and all else that the chapter's cells printed."""
    cells = json.loads((BOOK / chapter).read_text(encoding="utf-8"))["cells"]
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    texts = ["".join(out.get("text", out.get("data", {}).get("text/plain", ""))) for out in outputs]
    columns = header.split(" | ")
    rows = next(
        lines[1:]
        for lines in map(str.splitlines, texts)
        if lines and re.split(r" {2,}", lines[0].strip()) == columns
    )
    return [re.split(r" {2,}", row.strip()) for row in rows], "".join(texts)


def shows(text: str, value: float) -> bool:
    """Whether a table shows this value so: rounded to its last digit, or as a bound."""
    sign, _, digits = text.replace("−", "-").rpartition(" ")
    number = float(digits)
    if sign:
        return 0 <= value < number if sign == "<" else number < value <= 0
    return abs(value - number) <= 0.501 * 10.0 ** -len(digits.partition(".")[2])


def assert_shown(rows: list[list[str]], *columns: Floats) -> None:
    assert len(rows) == len(columns[0])
    for row, values in zip(rows, zip(*columns, strict=True), strict=True):
        assert all(map(shows, row, values)), f"{row} is not {values}"


def test_the_chapter_on_sparsity_prints_these_numbers() -> None:
    expected = computed("mnist")
    rows, texts = printed(
        "sparsity.ipynb", "variable | Var μ | mean σ² | sum | KL (nats) | gain (nats)"
    )
    order = np.argsort(-expected["mu_variance"])
    var_mu, sigma2, kl, gain = (
        expected[name][order] for name in ("mu_variance", "mean_variance", "kl", "gain")
    )
    assert_shown(rows, order, var_mu, sigma2, var_mu + sigma2, kl, gain)
    assert f"latent variables: {int((var_mu > 0.01).sum())}\n" in texts


def test_the_chapter_on_the_linear_case_prints_the_trained_linear_vae_and_its_optimum() -> None:
    run = stored(
        model="LinearVAE",
        hidden=(),
        likelihood="gaussian",
        batch_size=64,
        learning_rate=0.01,
        final_learning_rate=1e-5,
        epochs=30,
        history=False,
    )
    data = load("mnist")
    if data.name != "mnist":
        pytest.skip("mnist is not here")
    weight, bias, logvar = (
        run[f"weights/{name}"].astype(np.float64)
        for name in ("mu.weight", "mu.bias", "logvar.bias")
    )
    # All there is to know of the images are their mean and their covariance.
    mean, products = np.zeros(784), np.zeros((784, 784))
    for part in data.train_images.split(5_000):
        x = part.numpy().reshape(-1, 784) / 255
        mean += x.sum(0) / 60_000
        products += x.T @ x / 60_000
    covariance = products - np.outer(mean, mean)
    var_mu = np.diag(weight @ covariance @ weight.T)
    kl = ((weight @ mean + bias) ** 2 + var_mu + np.exp(logvar) - logvar - 1) / 2
    order = np.argsort(-var_mu)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1][:LATENT]
    above = np.maximum(eigenvalues, 1)
    rows, _ = printed(
        "linear-case.ipynb",
        "λ | Var μ predicted | exact loss | on pixels | on directions | λ − βη² | "
        "singular value² of W",
    )
    optimum, height = 1 - 1 / above, above - 1
    assert_shown(
        [row[:4] + row[5:] for row in rows],
        *(eigenvalues, optimum, optimum, var_mu[order], height, height),
    )
    ways, _ = printed(
        "linear-case.ipynb", "way | Var μ | σ² | KL (nats) | sum of Var μ / predicted"
    )
    away = (
        var_mu[order] - optimum,
        np.exp(logvar[order]) - 1 / above,
        kl[order] - np.log(above) / 2,
    )
    furthest = [np.abs(difference).max() for difference in away]
    (pixels,) = (row[1:] for row in ways if row[0] == "trained on pixels")
    assert_shown([pixels], *np.array([*furthest, var_mu.sum() / optimum.sum()])[:, None])
