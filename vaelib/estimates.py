"""What can only be estimated: log P(X), the information in the codes, the distance of samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vaelib._draws import standard_normal
from vaelib._measuring import BATCH, Images, evaluation_mode, image_batches, to_cpu
from vaelib.metrics import checked_posteriors
from vaelib.objectives import Model, gaussian_kl, importance_weights

DECODES = 5_000  # codes decoded at once where each image has many
LOOKED_UP = 2_000  # points whose nearest neighbours are looked up: 10 million distances each


class LikelihoodEstimate(NamedTuple):
    """Estimates of log P(X) in nats, one per image, and their Monte Carlo standard errors."""

    log_likelihood: Tensor
    standard_error: Tensor


@evaluation_mode
def log_likelihood(
    model: Model, images: Images, samples: int = 100, generator: torch.Generator | None = None
) -> LikelihoodEstimate:
    """Estimate log P(X) of each image by importance sampling from Q(z|X).

    log of the mean of P(X, z) / Q(z|X) over the samples [Burda et al. 2016]: on average too low,
    by less the more samples are drawn. Shown in the chapter *Bug or feature*.

    Parameters
    ----------
    model : VAE, or any object with ``encode``, ``decoder`` and ``likelihood``
    images : Tensor or array (n, channels, height, width), Dataset or DataLoader
    samples : int
        Draws of z for each image; 5,000 in the literature.
    generator : torch.Generator, optional
        Where the draws come from.

    Returns
    -------
    log_likelihood, standard_error : Tensor (n,)
        The error is that of the mean weight relative to it: that of its log, where it is well
        below 1. It cannot see weights that no draw has met: where Q is much narrower than the true
        posterior the estimate can be many nats too low with a small error.
    """
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples: expected a whole number >= 1, got {samples!r}")
    values, errors = [], []
    # Images at once; with many samples these are split too.
    at_once = max(1, min(BATCH, DECODES // samples))
    for batch in image_batches(model, images):
        for x in batch.split(at_once):
            parts = [
                importance_weights(model, x, min(DECODES, samples - first), generator)
                for first in range(0, samples, DECODES)
            ]
            log_weights = torch.cat(parts)
            value = log_weights.logsumexp(0) - math.log(samples)
            if not value.isfinite().all():
                raise ValueError("model: expected finite densities, got 0, infinity or NaN")
            relative = (log_weights - value).exp()
            values.append(value.cpu())
            errors.append((relative.var(0, correction=0).sqrt() / math.sqrt(samples)).cpu())
    return LikelihoodEstimate(torch.cat(values), torch.cat(errors))


class MarginalDecomposition(NamedTuple):
    """E_X KL(Q(z|X) ‖ P) = I(X; z) + KL(Q(z) ‖ P), all in nats.

    Attributes
    ----------
    mean_kl : Tensor ()
        Exact.
    mutual_information, marginal_kl : Tensor ()
        I(X; z) and KL(Q(z) ‖ P): Monte Carlo estimates, so either can be below 0.
    information_error, marginal_error : Tensor ()
        The standard errors of these two, with the images as a sample of all.
    """

    mean_kl: Tensor
    mutual_information: Tensor
    marginal_kl: Tensor
    information_error: Tensor
    marginal_error: Tensor


@torch.no_grad()
def marginal_decomposition(
    mu: Tensor | ArrayLike, logvar: Tensor | ArrayLike, generator: torch.Generator | None = None
) -> MarginalDecomposition:
    """Split the mean KL into mutual information and the marginal posterior's own divergence.

    The identity of [Hoffman and Johnson 2016]. Q(z) is the average of the N posteriors given, so
    the numbers are about this sample of images: the mutual information cannot exceed log N.
    The estimates take one draw of z per image. They share log Q(z), which cancels in their sum:
    that sum tells how good the draws are and nothing about Q(z). Time grows with N². Shown in the
    chapter on the marginal posterior.

    Parameters
    ----------
    mu, logvar : Tensor or array (images, latent)
        The posteriors; the arithmetic is in float64 on the CPU.
        Finite, with variances from e⁻⁷⁰⁰ to e⁷⁰⁰: a variance of 0 has no density.
    generator : torch.Generator, optional
        Where the draws come from.
    """
    mu, logvar = checked_posteriors(mu, logvar)
    if not logvar.abs().max() <= 700:
        raise ValueError("logvar: expected values from -700 to 700, got some beyond")
    noise = standard_normal(mu.shape, mu, generator)
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
    information, divergence = log_posterior - log_marginal, log_marginal - log_prior
    return MarginalDecomposition(
        gaussian_kl(mu, logvar).sum(1).mean(),
        information.mean(),
        divergence.mean(),
        information.std(correction=0) / math.sqrt(len(z)),
        divergence.std(correction=0) / math.sqrt(len(z)),
    )


def frechet_distance(a: Tensor | ArrayLike, b: Tensor | ArrayLike) -> float:
    """Squared Fréchet distance between two clouds of points, each taken as a Gaussian.

    |m_a − m_b|² + tr(S_a + S_b − 2 (S_a S_b)^½), the measure of [Heusel et al. 2017] for any
    features. Its floor is not 0 but the distance between two samples of the real data. Shown in
    the chapter on the autoencoder.

    Parameters
    ----------
    a, b : Tensor or array (points, features)
        At least two points each, finite; the arithmetic is in float64 on the CPU.
    """
    a, b = to_cpu(a).double(), to_cpu(b).double()
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            "a and b: expected (points, features) with at least two points, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a and b: expected finite numbers, got NaN or infinity")
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


def nearest(points: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from each point to the nearest of the codes, and the index of that code, each (n,).

    Points (n, latent), codes (m, latent). Shown in the chapter on the autoencoder.
    """
    minima = [torch.cdist(part, codes).min(1) for part in points.split(BATCH)]
    return torch.cat([part.values for part in minima]), torch.cat([part.indices for part in minima])


def empty_and_missed(draws: Tensor, codes: Tensor, test_codes: Tensor) -> tuple[float, float]:
    """Share of draws far from any code, and share of test codes far from any draw.

    Far is farther than 99 % of the test codes are from the nearest code: if draws and codes had
    one distribution, both shares would be about 0.01. Shown in the chapter on the autoencoder.

    Parameters
    ----------
    draws : Tensor (n, latent)
        From the distribution that is tried; the first 2,000 are looked up among the codes.
    codes : Tensor (m, latent)
        Of training images.
    test_codes : Tensor (t, latent)
        Of test images; the first 2,000 are looked up among the draws.
    """
    far = nearest(test_codes, codes)[0].quantile(0.99)
    empty = nearest(draws[:LOOKED_UP], codes)[0] > far
    missed = nearest(test_codes[:LOOKED_UP], draws)[0] > far
    return empty.double().mean().item(), missed.double().mean().item()
