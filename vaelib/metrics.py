"""What a trained model does with its latent variables, measured.

Measures run where the model is, in its precision, in evaluation mode and without gradients. The
images may lie elsewhere; what is returned is on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vaelib._measuring import Images, evaluation_mode, image_batches, to_cpu
from vaelib.objectives import (
    Model,
    elbo,
    gaussian_kl,
    reconstruction_log_likelihood,
    sample_posterior,
)


@dataclass(frozen=True)
class LatentStatistics:
    """How every latent variable is used, over a set of images.

    Attributes
    ----------
    var_mu : Tensor (latent,)
        Variance over the images of μ_j(X): the signal.
    mean_sigma2 : Tensor (latent,)
        Mean over the images of σ²_j(X): the noise.
    kl : Tensor (latent,)
        Mean over the images of KL(Q(z_j|X) ‖ N(0, 1)), in nats.
    """

    var_mu: Tensor
    mean_sigma2: Tensor
    kl: Tensor

    def active(self, threshold: float = 0.01) -> Tensor:
        """Mark the active units, Var μ_j > threshold: bool (latent,).

        The default is that of [Burda et al. 2016]; [Yeung et al. 2017] take 0.02.
        """
        return _above("var_mu", self.var_mu, "threshold", threshold)

    @property
    def variance_sum(self) -> Tensor:
        """Var μ_j + mean σ²_j, (latent,): 1 by the law of variances [Asperti 2019]."""
        return self.var_mu + self.mean_sigma2


def latent_statistics(mu: Tensor | ArrayLike, logvar: Tensor | ArrayLike) -> LatentStatistics:
    """Summarise the posteriors of a set of images, variable by variable, in float64.

    Give it all images at once: the mean over batches of a batch's variance is smaller than the
    variance over all images. Shown in the chapter on sparsity.

    Parameters
    ----------
    mu, logvar : Tensor or array (images, latent)
        Means and log-variances of Q(z|X), one row per image, at least two. A log-variance of −∞
        is that of a deterministic code; NaN and other infinities are errors.
    """
    mu, logvar = checked_posteriors(mu, logvar)
    if len(mu) < 2:
        raise ValueError("mu and logvar: expected at least two images, which can differ, got one")
    return LatentStatistics(
        var_mu=mu.var(0, correction=0),
        mean_sigma2=logvar.exp().mean(0),
        kl=gaussian_kl(mu, logvar).mean(0),
    )


def used(gain: Tensor | ArrayLike, nats: float = 1.0) -> Tensor:
    """Mark the variables that the decoder uses, gain > ``nats``: bool, the shape of ``gain``.

    The measure of this book. Shown in the chapter on sparsity.

    Parameters
    ----------
    gain : Tensor or array (..., latent)
        As `reconstruction_gain` gives it, in nats.
    nats : float
        A variable that saves less than this per image does not count.
    """
    return _above("gain", to_cpu(gain), "nats", nats)


@evaluation_mode
def encode_images(model: Model, images: Images) -> tuple[Tensor, Tensor]:
    """Means and log-variances of Q(z|X) of a whole set of images, each (n, latent).

    Shown in the chapter on sparsity.
    """
    codes = [model.encode(x) for x in image_batches(model, images)]
    mu, logvar = (torch.cat([code[i] for code in codes]).cpu() for i in (0, 1))
    return mu, logvar


@evaluation_mode
def reconstruct(model: Model, images: Images) -> Tensor:
    """Pixel means (n, channels, height, width) decoded from the posterior means of the images.

    Shown in the chapter on the autoencoder.
    """
    batches = image_batches(model, images)
    return torch.cat([_decoded(model, model.encode(x)[0], x).cpu() for x in batches])


@evaluation_mode
def reconstruction_gain(
    model: Model,
    images: Images,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Nats of log P(X|z) lost, per image, when one latent variable is replaced by its mean.

    Its mean over the images is what is known of a variable that is not read. Zero, the mean of
    the prior, would not do: a variable that is 3 for every image carries no information, and yet
    the decoder relies on it, so that zero in its place may cost many nats, above all early in
    training. Shown in the chapter on sparsity.

    Parameters
    ----------
    model : VAE, or any object with ``encode``, ``decoder`` and ``likelihood``
    images : Tensor or array (n, channels, height, width), Dataset or DataLoader
        Bytes or pixels; a DataLoader is read twice.
    generator : torch.Generator, optional
        Without it z is the posterior mean. With it z is drawn from Q(z|X), as in training: then
        a variable that brings more noise than signal has a negative gain.

    Returns
    -------
    Tensor (latent,)
        Nats per image.
    """
    constant = encode_images(model, images)[0].mean(0)
    gains, n = [], 0
    for x in image_batches(model, images):
        mu, logvar = model.encode(x)
        z = mu if generator is None else sample_posterior(mu, logvar, generator)
        whole = reconstruction_log_likelihood(model, x, z)
        lost = []
        for j in range(z.shape[1]):
            without = z.clone()
            without[:, j] = constant[j]
            lost.append((whole - reconstruction_log_likelihood(model, x, without)).sum())
        gains.append(torch.stack(lost).cpu().double())
        n += len(x)
    return (torch.stack(gains).sum(0) / n).to(whole.dtype)


@evaluation_mode
def reconstruction_error(model: Model, images: Images) -> tuple[float, float]:
    """Mean −log P(X|z) at z = μ(X) in nats per image, and mean squared error per pixel.

    Shown in the chapter on sparsity.
    """
    nats, squared, n, pixels = 0.0, 0.0, 0, 0
    for x in image_batches(model, images):
        mu, _ = model.encode(x)
        nats -= reconstruction_log_likelihood(model, x, mu).sum().item()
        squared += (_decoded(model, mu, x) - x).square().cpu().double().sum().item()
        n, pixels = n + len(x), pixels + x.numel()
    return nats / n, squared / pixels


@evaluation_mode
def mean_elbo(model: Model, images: Images, generator: torch.Generator | None = None) -> float:
    """ELBO of a set of images, in nats per image, with one draw of z for each."""
    parts = [elbo(model, x, generator=generator) for x in image_batches(model, images)]
    return torch.cat(parts).mean().item()


def checked_posteriors(mu: Any, logvar: Any) -> tuple[Tensor, Tensor]:
    """The posteriors of a set of images in float64 on the CPU, or a ValueError."""
    mu, logvar = to_cpu(mu).double(), to_cpu(logvar).double()
    if mu.shape != logvar.shape or mu.ndim != 2 or len(mu) == 0:
        raise ValueError(
            "mu and logvar: expected one shape (images, latent) with at least one image, "
            f"got {tuple(mu.shape)} and {tuple(logvar.shape)}"
        )
    # −∞ is the log-variance of a deterministic code.
    if not (mu.isfinite().all() and (logvar < float("inf")).all()):
        raise ValueError("mu and logvar: expected finite numbers, got NaN or infinity")
    return mu, logvar


def _decoded(model: Model, z: Tensor, x: Tensor) -> Tensor:
    """Pixel means in the shape of the images x."""
    return model.likelihood.mean(model.decoder(z)).reshape(x.shape)


def _above(argument: str, values: Tensor, name: str, threshold: float) -> Tensor:
    """Which values are above a threshold. NaN is above nothing: it would count as unused."""
    if values.isnan().any():
        raise ValueError(f"{argument}: expected numbers, got NaN")
    if not threshold >= 0:
        raise ValueError(f"{name}: expected a number >= 0, got {threshold}")
    return values > threshold
