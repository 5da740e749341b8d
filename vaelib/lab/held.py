"""A VAE whose encoder cannot change the price of its variables."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity

from vaelib.models import VAE


class HeldVAE(VAE):
    """VAE with one constant σ², and μ scaled so that E[μ²] + σ² = 1 for each variable.

    So the KL of each variable is −½ log σ² on the mean over the images, whatever the encoder does:
    noise without a push, or a price that nothing can lower. E[μ²] is the mean over the batch in
    training, and its running mean after it. All other arguments are the `Autoencoder`'s. Shown in
    the chapter on the vicious cycle.
    """

    mu_square: Tensor  # the running mean of the squares, before they are scaled: (latent,)

    def __init__(self, *arguments: Any, held_sigma2: float, **settings: Any) -> None:
        if not 0 < held_sigma2 < 1:
            raise ValueError(f"held_sigma2: expected a number between 0 and 1, got {held_sigma2}")
        super().__init__(*arguments, **settings)
        self.settings["held_sigma2"] = held_sigma2
        self.register_buffer("mu_square", torch.ones(self.latent))

    def _add_variance_head(self, width: int) -> None:
        self.logvar = Identity()  # nothing to train

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to μ and log σ² of Q(z|X), as `Autoencoder.encode` does."""
        mu, sigma2 = self.mu(self._features(x)), self.settings["held_sigma2"]
        square = self.mu_square
        if self.training:
            square = mu.square().mean(0)
            self.mu_square.lerp_(square.detach(), 0.1)
        mu = mu * ((1 - sigma2) / square.clamp(min=1e-12)).sqrt()
        return mu, torch.full_like(mu, math.log(sigma2))
