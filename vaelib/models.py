"""Autoencoder and variational autoencoder: the same encoder, the same decoder, one head apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

LIKELIHOODS = ("bernoulli", "gaussian")
INITIALISATIONS = ("torch", "glorot")


class Autoencoder(nn.Module):
    """Deterministic autoencoder of images: pixels → hidden layers → latent variables and back.

    Parameters
    ----------
    shape : (channels, height, width)
        Shape of one image.
    hidden : sequence of int
        Widths of the encoder's ReLU layers; the decoder has them in reverse.
        Empty means a linear encoder and a linear decoder.
    latent : int
        Number of latent variables.
    likelihood : {"bernoulli", "gaussian"}
        What the decoder's output means: logits of the pixels, or their means.
    initialisation : {"torch", "glorot"}
        PyTorch's default for ``nn.Linear``, or Glorot-uniform weights with zero biases, which is
        the default of Keras [Glorot and Bengio 2010]. It decides how many variables survive.
    decoder_variance : float
        The η² of the Gaussian likelihood, the same for all pixels; unused by the Bernoulli one.

    Raises
    ------
    ValueError
        If an argument is not one of the above; the message names it.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (256, 64),
        latent: int = 2,
        likelihood: str = "bernoulli",
        initialisation: str = "torch",
        decoder_variance: float = 1.0,
    ) -> None:
        super().__init__()
        _check_choice("likelihood", likelihood, LIKELIHOODS)
        _check_choice("initialisation", initialisation, INITIALISATIONS)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape: expected (channels, height, width), got {tuple(shape)}")
        if min((latent, *hidden)) < 1:
            raise ValueError(f"hidden and latent: expected widths >= 1, got {hidden} and {latent}")
        if not 0 < decoder_variance < math.inf:
            raise ValueError(f"decoder_variance: expected a number > 0, got {decoder_variance}")
        self.shape = tuple(shape)
        self.hidden = tuple(hidden)
        self.latent = latent
        self.likelihood = likelihood
        self.initialisation = initialisation
        self.decoder_variance = decoder_variance

        pixels = math.prod(shape)
        widths = (pixels, *hidden)
        self.encoder = nn.Sequential(
            *[layer for pair in pairwise(widths) for layer in _relu(*pair)]
        )
        self.mu = nn.Linear(widths[-1], latent)
        self._add_heads(widths[-1])
        back = (latent, *reversed(hidden))
        self.decoder = nn.Sequential(
            *[layer for pair in pairwise(back) for layer in _relu(*pair)],
            nn.Linear(back[-1], pixels),
        )
        if initialisation == "glorot":
            self.apply(_glorot)

    def _add_heads(self, width: int) -> None:
        """Leave room for what a subclass's encoder says beside μ."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to the mean and log-variance of Q(z|X).

        Parameters
        ----------
        x : Tensor (batch, channels, height, width)
            Pixels in [0, 1].

        Returns
        -------
        mu, logvar : Tensor (batch, latent)
            For a deterministic autoencoder ``logvar`` is −∞: it is sure of its code.

        Raises
        ------
        ValueError
            If the shape is wrong, or a pixel is NaN or outside [0, 1].
        """
        mu = self.mu(self._features(x))
        return mu, torch.full_like(mu, -math.inf)

    def _features(self, x: Tensor) -> Tensor:
        check_pixels(x, self.shape)
        features: Tensor = self.encoder(x.flatten(1))
        return features

    def decode(self, z: Tensor) -> Tensor:
        """Map latent codes (batch, latent) to pixel means (batch, channels, height, width)."""
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"z: expected (batch, {self.latent}), got {tuple(z.shape)}")
        output = self.decoder(z)
        mean: Tensor = output.sigmoid() if self.likelihood == "bernoulli" else output
        return mean.view(-1, *self.shape)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Decode ``n`` draws from the prior N(0, I): pixel means (n, channels, height, width)."""
        weight = self.mu.weight
        z = torch.randn(n, self.latent, generator=generator, dtype=weight.dtype)
        return self.decode(z.to(weight.device))

    def prune(self, keep: Sequence[int]) -> Autoencoder:
        """Cut all latent variables but ``keep`` out of the network.

        The result has ``len(keep)`` latent variables and computes exactly what this network
        computes with the others set to zero.
        """
        index = list(keep)
        if not index or len(set(index)) < len(index) or not set(index) <= set(range(self.latent)):
            raise ValueError(f"keep: expected different indices below {self.latent}, got {index}")
        weights = {
            name: value[index] if name.startswith(("mu.", "logvar.")) else value.clone()
            for name, value in self.state_dict().items()
        }
        weights["decoder.0.weight"] = weights["decoder.0.weight"][:, index]
        # On the meta device a model has shapes and no numbers: no random draw is spent on it.
        with torch.device("meta"):
            small = type(self)(
                self.shape,
                self.hidden,
                len(index),
                self.likelihood,
                self.initialisation,
                self.decoder_variance,
            )
        small.load_state_dict(weights, assign=True)
        return small


class VAE(Autoencoder):
    """Variational autoencoder [Kingma and Welling 2014]: it also says how sure it is.

    Beside μ(X) the encoder outputs log σ²(X): Q(z|X) = N(μ(X), diag σ²(X)). All the rest, and all
    arguments, are the `Autoencoder`'s.
    """

    def _add_heads(self, width: int) -> None:
        self.logvar = nn.Linear(width, self.latent)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to μ and log σ² of Q(z|X), as `Autoencoder.encode` does."""
        features = self._features(x)
        return self.mu(features), self.logvar(features)


def count_parameters(model: nn.Module) -> int:
    """Count the numbers that training sets, frozen or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_pixels(x: Tensor, shape: Sequence[int]) -> None:
    """Raise a ValueError unless ``x`` is a batch of images of this shape, pixels in [0, 1]."""
    if tuple(x.shape[1:]) != tuple(shape):
        raise ValueError(f"x: expected images (batch, *{tuple(shape)}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(
            f"x: expected floating-point pixels in [0, 1] (see to_pixels), got {x.dtype}"
        )
    if x.numel():
        low, high = torch.aminmax(x)
        # NaN fails both comparisons, so it is caught here too.
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"x: expected pixels in [0, 1], got values from {low:.3g} to {high:.3g}"
            )


def _relu(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(inputs, outputs), nn.ReLU()


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def _check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(choices)}, got {value!r}")
