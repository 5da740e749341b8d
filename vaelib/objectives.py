"""What is maximised: the likelihoods, the KL divergence and the ELBO, in nats per image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vaelib.models import VAE, Autoencoder


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of every image and variable, not summed.

    ½ (μ² + σ² − log σ² − 1), the closed form of [Kingma and Welling 2014, appendix B].

    Parameters
    ----------
    mu, logvar : Tensor (batch, latent)
        Means and log-variances of Q(z|X).

    Returns
    -------
    Tensor (batch, latent)
        Nats, never negative; ∞ where σ² = 0.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if mu.shape != logvar.shape:
        raise ValueError(
            f"mu and logvar: expected one shape, got {tuple(mu.shape)} and {tuple(logvar.shape)}"
        )
    # expm1 keeps the digits of σ² − 1 where a variable is all but switched off.
    return 0.5 * (mu.square() + (logvar.expm1() - logvar))


def sample_posterior(
    mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw one z = μ + σ ε per image, ε ~ N(0, I), differentiable in μ and log σ²."""
    noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + (0.5 * logvar).exp() * noise


def reconstruction_log_likelihood(model: Autoencoder, x: Tensor, z: Tensor) -> Tensor:
    """log P(X|z), summed over pixels.

    Bernoulli: Σ x log p + (1−x) log(1−p), with grey pixels taken as probabilities. The continuous
    Bernoulli is the density over grey pixels with the same exponential.
    Gaussian: Σ −½ ((x − m)²/η² + log 2πη²). Densities can be above 1, their logarithms above 0.

    Parameters
    ----------
    model : Autoencoder
        Its likelihood and decoder are used.
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    z : Tensor (batch, latent) or (samples, batch, latent)
        One code per image, or several.

    Returns
    -------
    Tensor (batch,) or (samples, batch)
        Nats per image.

    Raises
    ------
    ValueError
        If there are not as many codes as images, or the shapes do not fit the model.
    """
    output: Tensor = model.decoder(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
    target = x.flatten(1)
    if output.shape[-2:] != target.shape:
        raise ValueError(
            f"x and z: expected images {model.shape} and one code each, got {tuple(x.shape)} "
            f"and {tuple(z.shape)}"
        )
    target = target.expand_as(output)
    if model.likelihood == "bernoulli":
        return -F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(-1)
    if model.likelihood == "continuous_bernoulli":
        return (target * output - log_normaliser(output)).sum(-1)
    variance = model.decoder_variance
    log_density: Tensor = -0.5 * (
        (target - output).square() / variance + (2 * math.pi * variance).log()
    )
    return log_density.sum(-1)


def log_normaliser(logits: Tensor) -> Tensor:
    """log ∫₀¹ exp(η x) dx = log((e^η − 1) / η): what makes e^{ηx} a density over [0, 1]."""
    size = logits.abs()
    small = size < 1e-2  # where the quotient loses its digits, the series has them all
    safe = torch.where(small, 1.0, size)
    decayed = torch.where(small, -size / 2 + size.square() / 24, (-(-safe).expm1() / safe).log())
    # Half of η + |η| is max(η, 0), with the right slope at 0 too.
    return 0.5 * (logits + size) + decayed


def elbo(
    model: VAE,
    x: Tensor,
    beta: float | Tensor = 1.0,
    generator: torch.Generator | None = None,
    sample: bool = True,
) -> Tensor:
    """Evidence lower bound E_{z~Q(z|X)} log P(X|z) − β KL(Q(z|X) ‖ P), with one draw of z.

    Parameters
    ----------
    model : VAE
        A deterministic autoencoder has no finite KL, so no bound.
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    beta : float or Tensor (latent,)
        Weight of the KL [Higgins et al. 2017], one for all variables or one for each.
        1 makes it a bound on log P(X).
    generator : torch.Generator, optional
        Where the noise comes from.
    sample : bool
        False decodes the posterior mean instead of a draw. That is no bound any more: it is there
        to show what the noise does.

    Returns
    -------
    Tensor (batch,)
        Nats per image. It is maximised; the loss is its negative.

    Raises
    ------
    ValueError
        If the model is not a `VAE`, or a pixel is NaN or outside [0, 1].
    """
    _check_variational(model)
    mu, logvar = model.encode(x)
    z = sample_posterior(mu, logvar, generator) if sample else mu
    return reconstruction_log_likelihood(model, x, z) - (beta * gaussian_kl(mu, logvar)).sum(1)


def importance_weights(
    model: VAE, x: Tensor, samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """log P(X|z) P(z) / Q(z|X) for draws z ~ Q(z|X): nats, (samples, batch).

    Their mean is the ELBO (β = 1), the log of the mean of their exponentials the IWAE bound.
    """
    _check_variational(model)
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}")
    mu, logvar = model.encode(x)
    noise = torch.randn((samples, *mu.shape), generator=generator, dtype=mu.dtype, device=mu.device)
    z = mu + (0.5 * logvar).exp() * noise
    # log P(z) − log Q(z|X), from the noise itself: where σ is tiny, z − μ has lost its digits.
    log_ratio = 0.5 * (noise.square() + logvar - z.square()).sum(-1)
    return reconstruction_log_likelihood(model, x, z) + log_ratio


def iwae_bound(
    model: VAE, x: Tensor, samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """Importance-weighted bound log (1/k) Σ P(X, z_i) / Q(z_i|X) [Burda et al. 2016].

    A lower bound on log P(X), on average tighter the more samples are drawn.

    Parameters
    ----------
    model : VAE
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    samples : int
        The k of the bound; with 1 it is the ELBO, its KL estimated too.
    generator : torch.Generator, optional
        Where the noise comes from.

    Returns
    -------
    Tensor (batch,)
        Nats per image, to be maximised.

    Raises
    ------
    ValueError
        If the model is not a `VAE`, a pixel is NaN or outside [0, 1], or there is no sample.
    """
    return importance_weights(model, x, samples, generator).logsumexp(0) - math.log(samples)


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """Charge a variable whose mean KL is below ``nats`` that much, whatever it says.

    Up to there information is free, and no gradient pushes the variable to the prior: summed over
    variables and averaged over the batch this is Σ_j max(λ, E KL_j) [Kingma et al. 2016].

    Parameters
    ----------
    kl : Tensor (batch, latent)
        As `gaussian_kl` gives it.
    nats : float
        The λ, for each variable.

    Returns
    -------
    Tensor (batch, latent)
    """
    if not nats >= 0:
        raise ValueError(f"nats: expected a number >= 0, got {nats}")
    return torch.where(kl.mean(0) > nats, kl, nats)


def drop_variables(z: Tensor, rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Set each number of z to 0 with probability ``rate``: dropout on the latent variables.

    What is left is not scaled up, unlike in `torch.nn.Dropout`: the prior has fixed the scale of
    z, and 0 is its mean, what one would guess of a variable not seen.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: expected a probability below 1, got {rate}")
    chance = torch.rand(z.shape, generator=generator, dtype=z.dtype, device=z.device)
    return z * (chance >= rate)


def _check_variational(model: Autoencoder) -> None:
    if not isinstance(model, VAE):
        raise ValueError(f"model: expected a VAE, got {type(model).__name__}, whose KL is infinite")
