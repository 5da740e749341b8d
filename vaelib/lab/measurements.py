"""What is measured during training and after it."""

from __future__ import annotations

import copy

import attrs
import numpy as np
import torch
from torch import Tensor

from vaelib.data import ImageData, to_pixels
from vaelib.estimates import frechet_distance, log_likelihood
from vaelib.lab.classifier import Classifier, image_features, image_logits
from vaelib.lab.fields import flag, whole
from vaelib.metrics import (
    LatentStatistics,
    encode_images,
    latent_statistics,
    mean_elbo,
    reconstruct,
    reconstruction_error,
    reconstruction_gain,
)
from vaelib.models import VAE, Autoencoder

HISTORY_IMAGES = 1_000  # of the test set, for the statistics during training
GAIN_IMAGES = 500  # of the test set, for the gains during training
FINAL_GAIN_IMAGES = 2_000  # of the test set, for the gains after it
PRIOR_DRAWS = 10_000  # for the quality of samples
INPUT_NOISE = 0.2  # standard deviation of the noise that is added to images


@attrs.define(frozen=True, kw_only=True, slots=False)
class Measurement:
    """What is measured, beside what always is; see `Run`."""

    history: bool = flag(True)  #: measure the latent variables during training too
    #: keep, as often as the history looks, how that many test images are reconstructed
    snapshots: int = whole(0, stored_as="filmed_images")
    #: if any, measure log P(X) with that many importance samples, and the quality of prior draws
    evaluation_samples: int = whole(0)
    evaluation_images: int = whole(2_000, least=1)  #: that many, evenly spaced in the test set
    #: measure the ELBO on the training images, and the reconstruction of noisy test images
    beyond_test: bool = flag(False)

    def check_measurement(self) -> None:
        """Raise a ValueError where fields contradict one another."""
        if self.snapshots and not self.history:
            raise ValueError("snapshots: they are taken with the history, which is off")


def history_steps(epochs: int, steps_per_epoch: int) -> set[int]:
    """The steps at which the history looks: dense at first, then twice an epoch, 80 at most."""
    early = np.unique(np.geomspace(1, steps_per_epoch, 16).astype(int))
    looks = min(2 * epochs, 80)
    later = np.arange(looks + 1) * epochs * steps_per_epoch // looks
    return {*early.tolist(), *later.tolist()}


def history_statistics(model: Autoencoder, data: ImageData) -> LatentStatistics:
    """The latent statistics over the first test images, for the history."""
    return latent_statistics(*encode_images(model, data.test_images[:HISTORY_IMAGES]))


def measure_now(model: Autoencoder, data: ImageData, snapshots: int) -> dict[str, Tensor]:
    """One entry of the `Run.history`."""
    statistics = history_statistics(model, data)
    entry = _per_variable(model, statistics, data.test_images[:GAIN_IMAGES])
    entry = {name: value.float() for name, value in entry.items()}
    if snapshots:
        pixels = reconstruct(model, data.test_images[:snapshots]).clamp(0, 1)
        entry["snapshots"] = (255 * pixels).round().to(torch.uint8)
    return entry


@torch.no_grad()
def measure_rung(model: VAE, data: ImageData) -> dict[str, Tensor]:
    """Measure a model where a rung of the path of β ends: see `Run.measurements`."""
    model = copy.deepcopy(model).double()
    statistics = latent_statistics(*encode_images(model, data.test_images))
    elbo = mean_elbo(model, data.test_images, torch.Generator().manual_seed(0))
    return {
        "var_mu": statistics.var_mu,
        "mean_sigma2": statistics.mean_sigma2,
        "kl": statistics.kl,
        "gain": reconstruction_gain(model, data.test_images[:FINAL_GAIN_IMAGES]),
        "elbo": torch.tensor(elbo, dtype=torch.float64),
    }


def _per_variable(
    model: Autoencoder, statistics: LatentStatistics, gain_images: Tensor
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "var_mu": statistics.var_mu,
        "mean_sigma2": statistics.mean_sigma2,
        "kl": statistics.kl,
        "gain": reconstruction_gain(model, gain_images),
        "noisy_gain": reconstruction_gain(model, gain_images, generator),
    }


@torch.no_grad()
def measure(model: Autoencoder | Classifier, data: ImageData) -> dict[str, Tensor]:
    """Measure a model on the test set: the `Run.measurements`."""
    measured = {"shape": torch.tensor(data.test_images.shape[1:])}
    if isinstance(model, Classifier):
        right = image_logits(model, data.test_images).argmax(1) == data.test_labels
        return measured | {"accuracy": right.double().mean()}
    statistics = latent_statistics(*encode_images(model, data.test_images))
    nats, squared_error = reconstruction_error(model, data.test_images)
    measured |= _per_variable(model, statistics, data.test_images[:FINAL_GAIN_IMAGES])
    measured["reconstruction_nats"] = torch.tensor(nats, dtype=torch.float64)
    measured["squared_error"] = torch.tensor(squared_error, dtype=torch.float64)
    if model.settings["learn_variance"]:
        measured["decoder_variance"] = model.decoder_variance
    if isinstance(model, VAE):
        value = mean_elbo(model, data.test_images, torch.Generator().manual_seed(0))
        measured["elbo"] = torch.tensor(value, dtype=torch.float64)
    return measured


@torch.no_grad()
def measure_beyond(model: VAE, data: ImageData, images: Tensor) -> dict[str, Tensor]:
    """Measure a model on the images it was trained on, and on noisy test images."""
    clean = to_pixels(data.test_images, torch.float64)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=clean.dtype)
    restored = reconstruct(model, (clean + INPUT_NOISE * noise).clamp(0, 1))
    elbo = mean_elbo(model, images, torch.Generator().manual_seed(0))
    return {
        "training_elbo": torch.tensor(elbo, dtype=torch.float64),
        "noisy_squared_error": (restored - clean).square().mean(),
    }


@torch.no_grad()
def evaluate(
    model: VAE, data: ImageData, classifier: Classifier, samples: int, images: int, binarise: bool
) -> dict[str, Tensor]:
    """Measure the held-out log-likelihood, image by image, and the quality of prior draws."""
    generator = torch.Generator().manual_seed(0)
    n = min(images, len(data.test_images))
    x = to_pixels(data.test_images[torch.arange(n) * len(data.test_images) // n])
    if binarise:
        x = torch.bernoulli(x, generator=generator)
    estimate = log_likelihood(model, x, samples, generator)
    draws = model.sample(PRIOR_DRAWS, generator).clamp(0, 1)
    distance = frechet_distance(
        image_features(classifier, draws), image_features(classifier, data.test_images)
    )
    probability = image_logits(classifier, draws).softmax(1).amax(1)
    return {
        "log_likelihood": estimate.log_likelihood,
        "log_likelihood_error": estimate.standard_error,
        "frechet": torch.tensor(distance, dtype=torch.float64),
        "confident_share": (probability > 0.9).double().mean(),
    }
