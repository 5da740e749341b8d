"""What can be known without training: principal components and the linear VAE in closed form."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelib._measuring import to_cpu
from vaelib.data import to_pixels

ROWS = 2_000  # images at once: 12 MB of MNIST in float64


class PrincipalComponents(NamedTuple):
    """Mean (pixels,), eigenvalues (pixels,) falling, directions (pixels, pixels) in columns."""

    mean: Tensor
    eigenvalues: Tensor
    directions: Tensor

    def project(self, images: Tensor | np.ndarray[Any, Any], k: int) -> Tensor:
        """Coordinates (n, k) of images (n, ...) along the first k directions, in float64."""
        parts = torch.as_tensor(images).cpu().flatten(1).split(ROWS)
        first = self.directions[:, :k]
        return torch.cat([(to_pixels(x, torch.float64) - self.mean) @ first for x in parts])


def principal_components(images: Tensor | np.ndarray[Any, Any]) -> PrincipalComponents:
    """Mean, and eigenvalues and eigenvectors of the covariance, of a set of images.

    In float64 on the CPU; the covariance is the mean over the n images, not over n − 1. Each
    direction points to where its largest entry is positive. Shown in the chapter on the
    linear case.

    Parameters
    ----------
    images : Tensor or array (n, ...), uint8 or floating point
        Bytes are taken as pixels in [0, 1]; each image, of at least two, is one point.
    """
    images = to_cpu(images)
    if len(images) < 2:
        raise ValueError(f"images: expected at least two, got {len(images)}")
    pixels = math.prod(images.shape[1:])
    total = torch.zeros(pixels, dtype=torch.float64)
    products = torch.zeros(pixels, pixels, dtype=torch.float64)
    for part in images.flatten(1).split(ROWS):
        x = to_pixels(part, torch.float64)
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

    var_mu: Tensor
    sigma2: Tensor
    kl: Tensor


def linear_vae_optimum(
    eigenvalues: Tensor, noise_variance: float, beta: float = 1.0
) -> LinearOptimum:
    """Var μ, σ² and KL of each variable of a linear VAE at its optimum.

    σ² = βη²/λ where λ > βη² and 1 elsewhere, Var μ = 1 − σ², KL = ½ log(λ/βη²): a variable is
    alive if and only if its eigenvalue stands above βη² [Lucas et al. 2019; Wang and Ziyin 2022].
    Shown in the chapter on the linear case.

    Parameters
    ----------
    eigenvalues : Tensor (directions,)
        Of the covariance of the data. The network gives its k variables to the k largest.
    noise_variance : float
        The decoder's η².
    beta : float
        Weight of the KL, which is in nats.
    """
    if not (eigenvalues >= 0).all():
        raise ValueError("eigenvalues: expected numbers >= 0")
    threshold = beta * noise_variance  # the water level βη²
    limits = torch.finfo(torch.result_type(eigenvalues, threshold))
    # NaN fails each comparison.
    if not (noise_variance > 0 and limits.tiny <= threshold <= limits.max):
        raise ValueError(
            "noise_variance, beta: expected numbers > 0 with a product from "
            f"{limits.tiny:.0e} to {limits.max:.0e}, got {noise_variance} and {beta}"
        )
    above = eigenvalues.clamp(min=threshold) / threshold  # 1 for what is under water
    return LinearOptimum(1 - 1 / above, 1 / above, 0.5 * above.log())
