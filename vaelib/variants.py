"""The convolutional and the linear VAE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from vaelib.models import VAE


class ConvVAE(VAE):
    """Convolutional VAE of images whose height and width are divisible by 2 per convolution.

    ``hidden`` holds the channels of the convolutions, each of which halves height and width, and
    as its last number the width of one dense layer after them. The decoder has the same in
    reverse. With the default the network has about as many parameters as the dense one of the
    book (256, 64, 32, 24), on MNIST. All other arguments are the `Autoencoder`'s. Shown in the
    chapter on what decides the count.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (8, 16, 256),
        latent: int = 16,
        *arguments: Any,
        **settings: Any,
    ) -> None:
        halvings = len(hidden) - 1
        if halvings < 1:
            raise ValueError(f"hidden: expected channels, then a dense width, got {tuple(hidden)}")
        if any(side % 2**halvings for side in tuple(shape)[1:]):
            raise ValueError(
                f"shape: expected height and width divisible by {2**halvings}, got {tuple(shape)}"
            )
        super().__init__(shape, hidden, latent, *arguments, **settings)

    @property
    def _grid(self) -> tuple[int, int, int]:
        """Channels, height and width where the convolutions end."""
        *channels, _ = self.hidden
        return channels[-1], self.shape[1] >> len(channels), self.shape[2] >> len(channels)

    def _make_encoder(self) -> nn.Sequential:
        *channels, dense = self.hidden
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((self.shape[0], *channels)):
            layers += nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), self._activation()
        return nn.Sequential(*layers, nn.Flatten(), *self._dense(math.prod(self._grid), dense))

    def _make_decoder(self) -> nn.Sequential:
        *channels, dense = self.hidden
        layers = self._dense(self.latent, dense, math.prod(self._grid))
        layers.append(nn.Unflatten(1, self._grid))
        for inputs, outputs in pairwise((*reversed(channels), self.shape[0])):
            layers += (
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1),
                self._activation(),
            )
        return nn.Sequential(*layers[:-1], nn.Flatten())

    def _encoder_input(self, x: Tensor) -> Tensor:
        return x


class LinearVAE(VAE):
    """Linear VAE: μ and the decoder's mean are affine, and σ² is the same for all images.

    The best variances of a linear decoder do not depend on the image, so nothing is lost: at its
    optimum this is probabilistic PCA [Tipping and Bishop 1999; Lucas et al. 2019], and
    `linear_vae_optimum` gives that optimum. Shown in the chapter on the linear case.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (),
        latent: int = 16,
        likelihood: str = "gaussian",
        **settings: Any,
    ) -> None:
        if tuple(hidden) or likelihood != "gaussian":
            raise ValueError(
                "hidden, likelihood: a linear VAE has no hidden layers and a gaussian likelihood, "
                f"got {tuple(hidden)} and {likelihood!r}"
            )
        super().__init__(shape, hidden, latent, likelihood, **settings)

    def _add_variance_head(self, width: int) -> None:
        self.logvar = _ConstantOutput(self.latent)


class _ConstantOutput(nn.Module):
    """The same output for every input: a linear layer without its weight."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), -1)
