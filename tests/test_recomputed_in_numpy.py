"""Tables of chapters 5 and 7, once more: from the bytes of the stored weights, in NumPy alone.

Nothing of the package is used but the images and the file's name: no model, no metric, no torch.
"""

import json
import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import BOOK
from numpy.typing import NDArray
from safetensors.numpy import load_file

from vaelib import Experiment, load

Floats = NDArray[np.float64]
LATENT = 16
GAIN_IMAGES = 2_000
ENCODER = ("encoder.0", "encoder.2", "encoder.4", "encoder.6")
DECODER = ("decoder.0", "decoder.2", "decoder.4", "decoder.6")


class Found(NamedTuple):
    mu_variance: Floats
    mean_variance: Floats
    kl: Floats
    gain: Floats


def stored(dataset: str) -> dict[str, Any]:
    return load_file(BOOK / "runs" / f"{Experiment(dataset=dataset).name}.run.safetensors")


@cache
def computed(dataset: str) -> Found:
    """The forward pass of the stored network on all test images, in float64."""
    data = load(dataset)
    if data.name != dataset:
        pytest.skip(f"{dataset} is not at hand: its stored network cannot be tried on its images")
    weights = {
        name.removeprefix("weights/"): value.astype(np.float64)
        for name, value in stored(dataset).items()
        if name.startswith("weights/")
    }

    def layer(x: Floats, name: str) -> Floats:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def network(x: Floats, names: tuple[str, ...]) -> Floats:
        for name in names:
            x = np.maximum(layer(x, name), 0)
        return x

    x = data.test_images.numpy().reshape(10_000, 784) / 255
    features = network(x, ENCODER)
    mu, logvar = layer(features, "mu"), layer(features, "logvar")
    variance = np.exp(logvar)

    def log_likelihood(z: Floats) -> Floats:
        logits = layer(network(z, DECODER), "decoder.8")
        # log p = −log(1 + e^−a) and log(1 − p) = −log(1 + e^a), for p = 1 / (1 + e^−a).
        log_p, log_not_p = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
        shown = x[:GAIN_IMAGES]
        return (shown * log_p + (1 - shown) * log_not_p).sum(1).mean()

    z = mu[:GAIN_IMAGES]
    without = (np.where(np.arange(LATENT) == j, 0, z) for j in range(LATENT))
    return Found(
        mu_variance=mu.var(0),
        mean_variance=variance.mean(0),
        kl=((mu**2 + variance - logvar - 1) / 2).mean(0),
        gain=log_likelihood(z) - np.array([log_likelihood(codes) for codes in without]),
    )


@pytest.mark.parametrize("dataset", ["mnist", "glyphs"])
def test_the_stored_measurements_are_those_of_the_stored_weights(dataset: str) -> None:
    found, said = computed(dataset), stored(dataset)
    for name, value in found._asdict().items():
        assert said[f"measured/{name}"].shape == (LATENT,)
        np.testing.assert_allclose(value, said[f"measured/{name}"], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dataset", ["mnist", "glyphs"])
def test_the_run_read_by_the_package_says_the_same(dataset: str) -> None:
    found, run = computed(dataset), Experiment(dataset=dataset).run(weights=False)
    for name, value in found._asdict().items():
        np.testing.assert_allclose(value, run.measurements[name].numpy(), rtol=1e-9, atol=1e-10)
    assert run.statistics.active().tolist() == (found.mu_variance > 0.01).tolist()


def test_the_chapter_prints_these_numbers() -> None:
    found = computed("mnist")
    chapter = json.loads((BOOK / "sparsity.ipynb").read_text(encoding="utf-8"))
    outputs = [out for cell in chapter["cells"] for out in cell.get("outputs", [])]
    texts = ["".join(out.get("text", out.get("data", {}).get("text/plain", ""))) for out in outputs]
    header = ["variable", "Var μ", "mean σ²", "sum", "KL (nats)", "gain (nats)"]
    tables = [text.splitlines() for text in texts]
    printed = next(
        lines[1:] for lines in tables if lines and re.split(r" {2,}", lines[0].strip()) == header
    )
    law = found.mu_variance + found.mean_variance
    columns = (found.mu_variance, found.mean_variance, law, found.kl, found.gain)
    expected = [
        [j, *(float(f"{column[j]:.3g}") for column in columns)]
        for j in np.argsort(-found.mu_variance)
    ]
    assert [[float(word) for word in line.split()] for line in printed] == expected
    count = int((found.mu_variance > 0.01).sum())
    assert f"latent variables: {count}\n" in "".join(texts)


def printed_table(chapter: str, header: list[str]) -> list[list[float]]:
    """The numbers below this header, as the chapter stored them."""
    cells = json.loads((BOOK / chapter).read_text(encoding="utf-8"))["cells"]
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    texts = ["".join(out.get("data", {}).get("text/plain", "")).splitlines() for out in outputs]
    rows = next(t[1:] for t in texts if t and re.split(r" {2,}", t[0].strip()) == header)
    return [[float(word) for word in row.split()] for row in rows]


def test_chapter_7_prints_the_trained_linear_vae_and_its_optimum() -> None:
    schedule = {"batch_size": 64, "learning_rate": 0.01, "final_learning_rate": 1e-5}
    network = {"model": "LinearVAE", "hidden": (), "likelihood": "gaussian"}
    name = Experiment(**network, **schedule, epochs=30, history=False).name
    data = load("mnist")
    if data.name != "mnist":
        pytest.skip("mnist is not at hand")
    run = load_file(BOOK / "runs" / f"{name}.run.safetensors")
    weights = {key: run[f"weights/{key}"].astype(np.float64) for key in ("mu.weight", "mu.bias")}
    variance = np.exp(run["weights/logvar.bias"].astype(np.float64))

    # All there is to know of the images are their mean and their covariance.
    mean, products = np.zeros(784), np.zeros((784, 784))
    for part in data.train_images.split(5_000):
        x = part.numpy().reshape(-1, 784) / 255
        mean += x.sum(0) / 60_000
        products += x.T @ x / 60_000
    covariance = products - np.outer(mean, mean)

    mu_mean = weights["mu.weight"] @ mean + weights["mu.bias"]
    mu_variance = np.diag(weights["mu.weight"] @ covariance @ weights["mu.weight"].T)
    kl = (mu_mean**2 + mu_variance + variance - np.log(variance) - 1) / 2
    order = np.argsort(-mu_variance)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1][:LATENT]
    above = np.maximum(eigenvalues, 1)
    columns = {
        "λ": eigenvalues,
        "Var μ predicted": 1 - 1 / above,
        "trained": mu_variance[order],
        "σ² predicted": 1 / above,
        "trained ": variance[order],
        "KL predicted": np.log(above) / 2,
        "trained  ": kl[order],
    }
    found = printed_table("linear-case.ipynb", [key.strip() for key in columns])
    expected = [
        [float(f"{value:.3g}") for value in row] for row in zip(*columns.values(), strict=True)
    ]
    assert found == expected
