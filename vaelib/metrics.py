"""What a trained model does with its latent variables, measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.data import to_pixels
from vaelib.models import VAE, Autoencoder
from vaelib.objectives import (
    elbo,
    gaussian_kl,
    importance_weights,
    reconstruction_log_likelihood,
    sample_posterior,
)

BATCH = 500  # images at once: large enough to be fast, small enough for 100 MB in float64
DECODES = 5_000  # codes decoded at once where each image has many


@dataclass(frozen=True)
class LatentStatistics:
    """How every latent variable is used, over a set of images.

    Attributes
    ----------
    mu_variance : Tensor (latent,)
        Variance over the images of μ_j(X): what the variable says.
    mean_variance : Tensor (latent,)
        Mean over the images of σ²_j(X): how noisily it says it.
    kl : Tensor (latent,)
        Mean over the images of KL(Q(z_j|X) ‖ N(0, 1)), in nats: what saying it costs.
    """

    mu_variance: Tensor
    mean_variance: Tensor
    kl: Tensor

    def active(self, threshold: float = 0.01) -> Tensor:
        """Mark the active units, Var μ_j > threshold: bool (latent,).

        The default is that of [Burda et al. 2016]; [Yeung et al. 2017] take 0.02.
        """
        return self.mu_variance > threshold

    @property
    def law(self) -> Tensor:
        """Var μ_j + mean σ²_j, (latent,): 1 by the law of variances [Asperti 2019]."""
        return self.mu_variance + self.mean_variance


def latent_statistics(mu: Tensor, logvar: Tensor) -> LatentStatistics:
    """Summarise the posteriors of a set of images, variable by variable.

    Parameters
    ----------
    mu, logvar : Tensor (images, latent)
        Means and log-variances of Q(z|X), one row per image.

    Raises
    ------
    ValueError
        If the shapes differ, there is no image, or a value is NaN.
    """
    _check_posteriors(mu, logvar)
    return LatentStatistics(
        mu_variance=mu.var(0, correction=0),
        mean_variance=logvar.exp().mean(0),
        kl=gaussian_kl(mu, logvar).mean(0),
    )


@torch.no_grad()
def encode_images(model: Autoencoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """Encode a whole set: (n, channels, height, width) uint8 or pixels → mu, logvar (n, latent)."""
    codes = torch.empty(2, len(images), model.latent, dtype=model.mu.weight.dtype)
    for rows, x in zip(codes.split(BATCH, dim=1), _batches(model, images), strict=True):
        rows[0], rows[1] = model.encode(x)
    return codes[0], codes[1]


@torch.no_grad()
def reconstruct(model: Autoencoder, images: Tensor) -> Tensor:
    """Pixel means (n, channels, height, width) decoded from the posterior means of the images."""
    return torch.cat([model.decode(model.encode(x)[0]) for x in _batches(model, images)])


@torch.no_grad()
def reconstruction_gain(
    model: Autoencoder, images: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Nats of log P(X|z) lost, per image, when one latent variable is set to zero.

    Parameters
    ----------
    model : Autoencoder
        What is measured.
    images : Tensor (n, channels, height, width), uint8 or pixels
        Over which the loss is averaged.
    generator : torch.Generator, optional
        Without it z is the posterior mean. With it z is drawn from Q(z|X), as in training: then
        a variable that brings more noise than news has a negative gain.

    Returns
    -------
    Tensor (latent,)
        Nats per image.
    """
    gain = torch.zeros(model.latent, dtype=model.mu.weight.dtype)
    for x in _batches(model, images):
        mu, logvar = model.encode(x)
        z = mu if generator is None else sample_posterior(mu, logvar, generator)
        whole = reconstruction_log_likelihood(model, x, z)
        for j in range(model.latent):
            without = z.clone()
            without[:, j] = 0
            gain[j] += (whole - reconstruction_log_likelihood(model, x, without)).sum()
    return gain / len(images)


@torch.no_grad()
def reconstruction_error(model: Autoencoder, images: Tensor) -> tuple[float, float]:
    """Mean −log P(X|z) at z = μ(X) in nats per image, and mean squared error per pixel."""
    nats = squared = 0.0
    for x in _batches(model, images):
        mu, _ = model.encode(x)
        nats -= reconstruction_log_likelihood(model, x, mu).sum().item()
        squared += (model.decode(mu) - x).square().sum().item()
    return nats / len(images), squared / images.numel()


@torch.no_grad()
def mean_elbo(model: VAE, images: Tensor, generator: torch.Generator | None = None) -> float:
    """ELBO of a set of images, in nats per image, with one draw of z for each."""
    parts = [elbo(model, x, generator=generator) for x in _batches(model, images)]
    return torch.cat(parts).mean().item()


class LikelihoodEstimate(NamedTuple):
    """Estimates of log P(X) in nats, one per image, and their Monte Carlo standard errors."""

    log_likelihood: Tensor
    standard_error: Tensor


@torch.no_grad()
def log_likelihood(
    model: VAE, images: Tensor, samples: int = 100, generator: torch.Generator | None = None
) -> LikelihoodEstimate:
    """Estimate log P(X) of each image by importance sampling from Q(z|X).

    log of the mean of P(X, z) / Q(z|X) over the samples [Burda et al. 2016]: on average too low,
    by less the more samples are drawn.

    Parameters
    ----------
    model : VAE
    images : Tensor (n, channels, height, width), uint8 or pixels
    samples : int
        Draws of z for each image; 5,000 in the literature.
    generator : torch.Generator, optional
        Where the draws come from.

    Returns
    -------
    log_likelihood, standard_error : Tensor (n,)
        The error is that of the mean weight relative to it, which is the error of its log as long
        as it is well below 1; it says nothing of weights that no draw has met.
    """
    _check_at_least_one(images)
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}")
    values, errors = torch.empty(2, len(images), dtype=model.mu.weight.dtype)
    # Images at once; with many samples these are split too.
    at_once = max(1, min(BATCH, DECODES // samples))
    for part, value, error in zip(
        images.split(at_once), values.split(at_once), errors.split(at_once), strict=True
    ):
        (x,) = _batches(model, part)
        log_weights = torch.cat(
            [
                importance_weights(model, x, min(DECODES, samples - first), generator)
                for first in range(0, samples, DECODES)
            ]
        )
        value.copy_(log_weights.logsumexp(0) - math.log(samples))
        relative = (log_weights - value).exp()
        error.copy_(relative.var(0, correction=0).sqrt() / math.sqrt(samples))
    return LikelihoodEstimate(values, errors)


class MarginalDecomposition(NamedTuple):
    """E_X KL(Q(z|X) ‖ P) = I(X; z) + KL(Q(z) ‖ P), all in nats."""

    mean_kl: Tensor
    mutual_information: Tensor
    marginal_kl: Tensor


@torch.no_grad()
def marginal_decomposition(
    mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None
) -> MarginalDecomposition:
    """Split the mean KL into mutual information and the marginal posterior's own divergence.

    The identity of [Hoffman and Johnson 2016]. Q(z) is the average of the N posteriors given, so
    the numbers are about this sample of images: the mutual information cannot exceed log N.
    The mean KL is exact; the two others are Monte Carlo estimates over one draw of z per image.
    They share log Q(z), which cancels in their sum: that sum tells how good the draws are and
    nothing about Q(z). Time grows with N².

    Parameters
    ----------
    mu, logvar : Tensor (images, latent)
        The posteriors; the arithmetic is in float64 whatever their type.
    generator : torch.Generator, optional
        Where the draws come from.

    Raises
    ------
    ValueError
        If the shapes differ, there is no image, a value is NaN, or a variance is not between
        e⁻⁷⁰⁰ and e⁷⁰⁰ (a variance of 0 has no density).
    """
    _check_posteriors(mu, logvar)
    if not logvar.abs().max() <= 700:
        raise ValueError("logvar: expected values from -700 to 700, got some beyond")
    mu, logvar = mu.double(), logvar.double()
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    z = mu + (0.5 * logvar).exp() * noise
    # From the noise itself: where σ is tiny beside μ, z − μ has lost its digits.
    log_posterior = _log_normal(noise, logvar).sum(1)
    log_prior = _log_normal(z, torch.zeros_like(z)).sum(1)
    parts = []
    for own in torch.arange(len(z)).split(BATCH):
        pairs = _log_density_of_all(z[own], mu, logvar)
        pairs[torch.arange(len(own)), own] = log_posterior[own]
        parts.append(pairs.logsumexp(1))
    log_marginal = torch.cat(parts) - math.log(len(z))
    return MarginalDecomposition(
        mean_kl=gaussian_kl(mu, logvar).sum(1).mean(),
        mutual_information=(log_posterior - log_marginal).mean(),
        marginal_kl=(log_marginal - log_prior).mean(),
    )


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance between two clouds of points, each taken as a Gaussian.

    |m_a − m_b|² + tr(S_a + S_b − 2 (S_a S_b)^½), the measure of [Heusel et al. 2017] for any
    features. Its floor is not 0 but the distance between two samples of the real data.

    Parameters
    ----------
    a, b : Tensor (points, features)
        At least two points each, finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"a and b: expected (points, features), got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a and b: expected finite numbers, got NaN or infinity")
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.atleast_2d(a.T.cov()), torch.atleast_2d(b.T.cov())
    # (S_a S_b)^½ has the trace of (R S_b R)^½ with R = S_a^½, which is symmetric.
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(float(distance), 0.0)


def _log_normal(standardised: Tensor, logvar: Tensor) -> Tensor:
    """Log density of a Gaussian, (z − μ)/σ given."""
    return -0.5 * (standardised.square() + logvar + math.log(2 * math.pi))


def _log_density_of_all(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """log Q(z_a | X_b) for all pairs (a, b), one latent variable at a time to bound the memory."""
    total = torch.zeros(len(z), len(mu), dtype=z.dtype)
    for j in range(z.shape[1]):
        standardised = (z[:, j, None] - mu[:, j]) * (-0.5 * logvar[:, j]).exp()
        total += _log_normal(standardised, logvar[:, j])
    return total


def _batches(model: Autoencoder, images: Tensor) -> Iterator[Tensor]:
    """The images in pieces, in the precision of the model."""
    _check_at_least_one(images)
    dtype = model.mu.weight.dtype
    for part in images.split(BATCH):
        yield to_pixels(part, dtype) if part.dtype == torch.uint8 else part.to(dtype)


def _check_at_least_one(images: Tensor) -> None:
    if len(images) == 0:
        raise ValueError("images: expected at least one image, got none")


def _check_posteriors(mu: Tensor, logvar: Tensor) -> None:
    if mu.shape != logvar.shape or mu.ndim != 2 or len(mu) == 0:
        raise ValueError(
            "mu and logvar: expected one shape (images, latent) with at least one image, "
            f"got {tuple(mu.shape)} and {tuple(logvar.shape)}"
        )
    if mu.isnan().any() or logvar.isnan().any():
        raise ValueError("mu and logvar: expected numbers, got NaN")
