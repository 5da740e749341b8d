"""What can be known without training: principal components and the linear VAE in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vaelib.data import to_pixels
from vaelib.models import LinearVAE

ROWS = 2_000  # images at once: 12 MB of MNIST in float64


class PrincipalComponents(NamedTuple):
    """Mean (pixels,), eigenvalues (pixels,) falling, directions (pixels, pixels) in columns."""

    mean: Tensor
    eigenvalues: Tensor
    directions: Tensor


def principal_components(images: Tensor) -> PrincipalComponents:
    """Mean, and eigenvalues and eigenvectors of the covariance, of a set of images.

    Parameters
    ----------
    images : Tensor (n, ...), uint8 or floating point
        Bytes are taken as pixels in [0, 1]; each image is one point.

    Returns
    -------
    PrincipalComponents
        In float64; the covariance is the mean over the n images, not over n − 1. Each direction
        points to where its largest entry is positive.

    Raises
    ------
    ValueError
        If there are fewer than two images or a number is not finite.
    """
    if len(images) < 2:
        raise ValueError(f"images: expected at least two, got {len(images)}")
    pixels = math.prod(images.shape[1:])
    total = torch.zeros(pixels, dtype=torch.float64)
    products = torch.zeros(pixels, pixels, dtype=torch.float64)
    for part in images.flatten(1).split(ROWS):
        x = to_pixels(part, torch.float64) if part.dtype == torch.uint8 else part.double()
        total += x.sum(0)
        products += x.T @ x
    mean = total / len(images)
    covariance = products / len(images) - torch.outer(mean, mean)
    if not covariance.isfinite().all():
        raise ValueError("images: expected finite numbers, got NaN or infinity")
    eigenvalues, directions = torch.linalg.eigh(covariance)
    # A direction and its opposite are both right, and libraries differ in which they find.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    directions = directions * largest.sign()
    return PrincipalComponents(mean, eigenvalues.flip(0).clamp(min=0), directions.flip(1))


class LinearOptimum(NamedTuple):
    """What a linear VAE does with each eigenvalue of the data, each a Tensor like these."""

    mu_variance: Tensor
    posterior_variance: Tensor
    kl: Tensor


def linear_vae_optimum(
    eigenvalues: Tensor, noise_variance: float, beta: float = 1.0
) -> LinearOptimum:
    """Var μ, σ² and KL of each variable of a linear VAE at its optimum.

    σ² = βη²/λ where λ > βη² and 1 elsewhere, Var μ = 1 − σ², KL = ½ log(λ/βη²): a variable is
    alive if and only if its eigenvalue stands above βη² [Lucas et al. 2019; Wang and Ziyin 2022].

    Parameters
    ----------
    eigenvalues : Tensor (directions,)
        Of the covariance of the data. The network gives its k variables to the k largest.
    noise_variance : float
        The decoder's η².
    beta : float
        Weight of the KL.

    Returns
    -------
    mu_variance, posterior_variance, kl : Tensor (directions,)
        KL in nats.

    Raises
    ------
    ValueError
        If an eigenvalue is negative or NaN, or one of the numbers is not positive.
    """
    if not (eigenvalues >= 0).all():
        raise ValueError("eigenvalues: expected numbers >= 0")
    if not (0 < noise_variance < math.inf and 0 < beta < math.inf):
        raise ValueError(
            f"noise_variance, beta: expected numbers > 0, got {noise_variance} and {beta}"
        )
    water = beta * noise_variance
    # In the precision of the eigenvalues: 0 and infinity are no level to stand above.
    limits = torch.finfo(torch.result_type(eigenvalues, water))
    if not limits.tiny <= water <= limits.max:
        raise ValueError(
            f"noise_variance, beta: expected a product from {limits.tiny:.0e} to {limits.max:.0e}, "
            f"got {noise_variance} and {beta}"
        )
    above = eigenvalues.clamp(min=water) / water  # 1 for what is under water
    return LinearOptimum(1 - 1 / above, 1 / above, 0.5 * above.log())


@torch.no_grad()
def linear_vae_log_likelihood(model: LinearVAE, images: Tensor) -> Tensor:
    """Exact log P(X) of a linear VAE: X ~ N(b, W Wᵀ + η² I) [Tipping and Bishop 1999].

    Parameters
    ----------
    model : LinearVAE
        W and b are its decoder's, η² is its decoder variance.
    images : Tensor (n, channels, height, width), uint8 or floating point

    Returns
    -------
    Tensor (n,)
        Nats per image, in float64.

    Raises
    ------
    ValueError
        If the model is not a `LinearVAE`, there is no image, or their shape is not the model's.
    """
    if not isinstance(model, LinearVAE):
        raise ValueError(f"model: expected a LinearVAE, got {type(model).__name__}")
    if len(images) == 0 or tuple(images.shape[1:]) != model.shape:
        raise ValueError(
            f"images: expected at least one image {model.shape}, got {tuple(images.shape)}"
        )
    x = to_pixels(images, torch.float64) if images.dtype == torch.uint8 else images.double()
    weights = model.decoder.state_dict()
    weight, bias = weights["0.weight"].double(), weights["0.bias"].double()
    noise = torch.eye(len(bias), dtype=torch.float64) * model.decoder_variance.double()
    density = MultivariateNormal(bias, weight @ weight.T + noise)
    log_density: Tensor = density.log_prob(x.flatten(1))
    return log_density
