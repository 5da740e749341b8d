"""The autoencoder, and the variational one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from vaelib._draws import standard_normal
from vaelib.data import check_image_shape
from vaelib.likelihoods import CLIPPED_LOGIT, Bernoulli, ContinuousBernoulli, Gaussian

LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "clipped_continuous_bernoulli", "gaussian")
INITIALISATIONS = ("torch", "glorot")
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class Autoencoder(nn.Module):
    """Deterministic autoencoder of images: pixels → hidden layers → latent variables and back.

    Shown in the chapter on the autoencoder.

    Parameters
    ----------
    shape : (channels, height, width)
        Shape of one image.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
        Empty means a linear encoder and a linear decoder.
    latent : int
        Number of latent variables.
    likelihood : {"bernoulli", "continuous_bernoulli", "clipped_continuous_bernoulli", "gaussian"}
        What the decoder's output means: see `Bernoulli`, `ContinuousBernoulli` (clipped, as in its
        authors' code, or not), `Gaussian`.
    initialisation : {"torch", "glorot"}
        PyTorch's default for ``nn.Linear``, or Glorot-uniform weights with zero biases, which is
        the default of Keras [Glorot and Bengio 2010]. It decides how many variables survive.
    decoder_variance : float
        The η² of the Gaussian likelihood, the same for all pixels; unused by the others.
    learn_variance : bool
        Learn η², starting from ``decoder_variance``, as in the σ-VAE [Rybkin et al. 2021].
    activation : {"relu", "tanh"}
        Of the hidden layers.
    leak : float
        Slope of the ReLUs for negative inputs, from 0 to 1: with 0 they are ReLUs, with 1 straight
        lines. Shown in the chapter *From the line to the network*.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (256, 64),
        latent: int = 2,
        likelihood: str = "bernoulli",
        initialisation: str = "torch",
        decoder_variance: float = 1.0,
        learn_variance: bool = False,
        activation: str = "relu",
        leak: float = 0.0,
    ) -> None:
        super().__init__()
        _check_choice("likelihood", likelihood, LIKELIHOODS)
        _check_choice("initialisation", initialisation, INITIALISATIONS)
        _check_choice("activation", activation, tuple(ACTIVATIONS))
        check_image_shape("shape", tuple(shape))
        whole = all(isinstance(n, Integral) and n > 0 for n in (*shape, latent, *hidden))
        if len(shape) != 3 or not whole:
            raise ValueError(
                "shape, hidden, latent: expected (channels, height, width) and widths, whole "
                f"numbers >= 1, got {tuple(shape)}, {tuple(hidden)} and {latent!r}"
            )
        if not 0 < decoder_variance < math.inf:
            raise ValueError(f"decoder_variance: expected a number > 0, got {decoder_variance}")
        if not (0 <= leak <= 1 and (leak == 0 or activation == "relu")):
            raise ValueError(f"leak: expected a slope from 0 to 1, of a ReLU, got {leak}")
        if learn_variance and likelihood != "gaussian":
            raise ValueError(f"learn_variance: the {likelihood} likelihood has no variance")
        self.shape = tuple(shape)
        self.hidden = tuple(hidden)
        self.latent = latent
        self.settings: dict[str, Any] = {
            "likelihood": likelihood,
            "initialisation": initialisation,
            "decoder_variance": decoder_variance,
            "learn_variance": learn_variance,
            "activation": activation,
            "leak": leak,
        }
        self.encoder = self._make_encoder()
        width = self.hidden[-1] if self.hidden else math.prod(self.shape)
        self.mu = nn.Linear(width, latent)
        self._add_variance_head(width)
        self.decoder = self._make_decoder()
        if learn_variance:
            self.log_decoder_variance = nn.Parameter(torch.tensor(math.log(decoder_variance)))
        if initialisation == "glorot":
            self.apply(_glorot)

    def _make_encoder(self) -> nn.Sequential:
        return nn.Sequential(*self._dense(math.prod(self.shape), *self.hidden))

    def _make_decoder(self) -> nn.Sequential:
        widths = (self.latent, *reversed(self.hidden))
        return nn.Sequential(*self._dense(*widths), nn.Linear(widths[-1], math.prod(self.shape)))

    def _dense(self, *widths: int) -> list[nn.Module]:
        pairs = pairwise(widths)
        return [layer for n, m in pairs for layer in (nn.Linear(n, m), self._activation())]

    def _activation(self) -> nn.Module:
        if self.settings["leak"]:
            return nn.LeakyReLU(self.settings["leak"])
        return ACTIVATIONS[self.settings["activation"]]()

    def _add_variance_head(self, width: int) -> None:
        """Subclasses add further encoder outputs here (the VAE: log σ²)."""

    @property
    def decoder_variance(self) -> Tensor:
        """The η² of the Gaussian likelihood, learned or not: a number."""
        if self.settings["learn_variance"]:
            return self.log_decoder_variance.exp()
        return self.mu.weight.new_tensor(self.settings["decoder_variance"])

    @property
    def likelihood(self) -> Bernoulli | Gaussian:
        """P(X|z), given the decoder's output."""
        kind = self.settings["likelihood"]
        if kind == "gaussian":
            return Gaussian(self.decoder_variance)
        if kind == "bernoulli":
            return Bernoulli()
        clipped = kind == "clipped_continuous_bernoulli"
        return ContinuousBernoulli(CLIPPED_LOGIT if clipped else math.inf)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to the mean and log-variance of Q(z|X), each (batch, latent).

        Images are pixels in [0, 1] (batch, channels, height, width); any finite numbers where the
        likelihood is Gaussian. Here the log-variance is −∞: the code has no noise.
        """
        mu = self.mu(self._features(x))
        return mu, torch.full_like(mu, -math.inf)

    def _features(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.shape or not x.is_floating_point():
            raise ValueError(
                f"x: expected images (batch, *{self.shape}) of floating point numbers, which "
                f"to_pixels makes of bytes; got {tuple(x.shape)} of {x.dtype}"
            )
        self.likelihood.check(x)
        features: Tensor = self.encoder(self._encoder_input(x))
        return features

    def _encoder_input(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """Map latent codes (batch, latent) to pixel means (batch, channels, height, width)."""
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"z: expected (batch, {self.latent}), got {tuple(z.shape)}")
        return self.likelihood.mean(self.decoder(z)).view(-1, *self.shape)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Decode ``n`` draws from the prior N(0, I): pixel means (n, channels, height, width)."""
        return self.decode(standard_normal((n, self.latent), self.mu.weight, generator))

    def prune(self, keep: Sequence[int]) -> Autoencoder:
        """Cut all latent variables but ``keep`` out of the network.

        The result has ``len(keep)`` latent variables and computes exactly what this network
        computes with the others set to zero. Shown in the chapter on sparsity.
        """
        index = list(keep)
        different = len(set(index)) == len(index) and not any(isinstance(i, bool) for i in index)
        if not (index and different and set(index) <= set(range(self.latent))):
            raise ValueError(f"keep: expected different indices below {self.latent}, got {index}")
        weights = {
            name: value[index] if name.startswith(("mu", "logvar")) else value.clone()
            for name, value in self.state_dict().items()
        }
        weights["decoder.0.weight"] = weights["decoder.0.weight"][:, index]
        # On the meta device a model has shapes and no numbers: no random draw is spent on it.
        with torch.device("meta"):
            small = type(self)(self.shape, self.hidden, len(index), **self.settings)
        small.load_state_dict(weights, assign=True)
        return small


class VAE(Autoencoder):
    """Variational autoencoder [Kingma and Welling 2014]: the encoder also outputs a variance.

    Beside μ(X) the encoder outputs log σ²(X): Q(z|X) = N(μ(X), diag σ²(X)). All the rest, and all
    arguments, are the `Autoencoder`'s. Shown in the chapter on the variational autoencoder.
    """

    logvar: nn.Module

    def _add_variance_head(self, width: int) -> None:
        self.logvar = nn.Linear(width, self.latent)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to μ and log σ² of Q(z|X), as `Autoencoder.encode` does."""
        features = self._features(x)
        return self.mu(features), self.logvar(features)


def count_parameters(model: nn.Module) -> int:
    """Count the numbers that training sets, frozen or not.

    Shown in the chapter on sparsity.
    """
    return sum(parameter.numel() for parameter in model.parameters())


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(choices)}, got {value!r}")
