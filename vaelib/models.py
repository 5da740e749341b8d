"""The autoencoder, and what becomes of it: variational, convolutional, linear; and a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian")
INITIALISATIONS = ("torch", "glorot")
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class Autoencoder(nn.Module):
    """Deterministic autoencoder of images: pixels → hidden layers → latent variables and back.

    Parameters
    ----------
    shape : (channels, height, width)
        Shape of one image.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
        Empty means a linear encoder and a linear decoder.
    latent : int
        Number of latent variables.
    likelihood : {"bernoulli", "continuous_bernoulli", "gaussian"}
        What the decoder's output means: logits of the pixels (the continuous one is a density over
        grey pixels [Loaiza-Ganem and Cunningham 2019]), or their means.
    initialisation : {"torch", "glorot"}
        PyTorch's default for ``nn.Linear``, or Glorot-uniform weights with zero biases, which is
        the default of Keras [Glorot and Bengio 2010]. It decides how many variables survive.
    decoder_variance : float
        The η² of the Gaussian likelihood, the same for all pixels; unused by the others.
    learned_variance : bool
        Learn η², starting from ``decoder_variance``, as in the σ-VAE [Rybkin et al. 2021].
    activation : {"relu", "tanh"}
        Of the hidden layers.

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
        learned_variance: bool = False,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        _check_choice("likelihood", likelihood, LIKELIHOODS)
        _check_choice("initialisation", initialisation, INITIALISATIONS)
        _check_choice("activation", activation, tuple(ACTIVATIONS))
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape: expected (channels, height, width), got {tuple(shape)}")
        if min((latent, *hidden)) < 1:
            raise ValueError(f"hidden and latent: expected widths >= 1, got {hidden} and {latent}")
        if not 0 < decoder_variance < math.inf:
            raise ValueError(f"decoder_variance: expected a number > 0, got {decoder_variance}")
        if learned_variance and likelihood != "gaussian":
            raise ValueError(f"learned_variance: the {likelihood} likelihood has no variance")
        self.shape = tuple(shape)
        self.hidden = tuple(hidden)
        self.latent = latent
        self.likelihood = likelihood
        self.initialisation = initialisation
        self.activation = activation
        self.fixed_variance = decoder_variance
        self.learned_variance = learned_variance

        self.encoder = self._make_encoder()
        self.mu = nn.Linear(self._encoded, latent)
        self._add_heads(self._encoded)
        self.decoder = self._make_decoder()
        if learned_variance:
            self.log_decoder_variance = nn.Parameter(torch.tensor(math.log(decoder_variance)))
        if initialisation == "glorot":
            self.apply(_glorot)

    @property
    def _encoded(self) -> int:
        """Numbers per image that the encoder passes to μ."""
        return self.hidden[-1] if self.hidden else math.prod(self.shape)

    def _make_encoder(self) -> nn.Sequential:
        widths = (math.prod(self.shape), *self.hidden)
        return nn.Sequential(*[layer for pair in pairwise(widths) for layer in self._dense(*pair)])

    def _make_decoder(self) -> nn.Sequential:
        widths = (self.latent, *reversed(self.hidden))
        return nn.Sequential(
            *[layer for pair in pairwise(widths) for layer in self._dense(*pair)],
            nn.Linear(widths[-1], math.prod(self.shape)),
        )

    def _dense(self, inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
        return nn.Linear(inputs, outputs), self._activation()

    def _activation(self) -> nn.Module:
        activation: nn.Module = ACTIVATIONS[self.activation]()
        return activation

    def _add_heads(self, width: int) -> None:
        """Leave room for what a subclass's encoder says beside μ."""

    @property
    def decoder_variance(self) -> Tensor:
        """The η² of the Gaussian likelihood, learned or not: a number."""
        if self.learned_variance:
            return self.log_decoder_variance.exp()
        return self.mu.weight.new_tensor(self.fixed_variance)

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
        return self.mean(self.decoder(z)).view(-1, *self.shape)

    def mean(self, output: Tensor) -> Tensor:
        """Turn the decoder's output, logits or means as the likelihood says, into pixel means."""
        if self.likelihood == "bernoulli":
            return output.sigmoid()
        if self.likelihood == "gaussian":
            return output
        small = output.abs() < 1e-2
        safe = torch.where(small, 1.0, output)
        # ∫ x e^{ηx} dx / ∫ e^{ηx} dx over [0, 1], by its series near 0.
        return torch.where(small, 0.5 + output / 12, -1 / (-safe).expm1() - 1 / safe)

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
            name: value[index] if name.startswith(("mu.", "logvar")) else value.clone()
            for name, value in self.state_dict().items()
        }
        weights["decoder.0.weight"] = weights["decoder.0.weight"][:, index]
        # On the meta device a model has shapes and no numbers: no random draw is spent on it.
        with torch.device("meta"):
            small = type(self)(**{**self._arguments(), "latent": len(index)})
        small.load_state_dict(weights, assign=True)
        return small

    def _arguments(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "hidden": self.hidden,
            "latent": self.latent,
            "likelihood": self.likelihood,
            "initialisation": self.initialisation,
            "decoder_variance": self.fixed_variance,
            "learned_variance": self.learned_variance,
            "activation": self.activation,
        }


class VAE(Autoencoder):
    """Variational autoencoder [Kingma and Welling 2014]: it also says how sure it is.

    Beside μ(X) the encoder outputs log σ²(X): Q(z|X) = N(μ(X), diag σ²(X)). All the rest, and all
    arguments, are the `Autoencoder`'s.
    """

    logvar: nn.Module

    def _add_heads(self, width: int) -> None:
        self.logvar = nn.Linear(width, self.latent)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to μ and log σ² of Q(z|X), as `Autoencoder.encode` does."""
        features = self._features(x)
        return self.mu(features), self.logvar(features)


class ConvVAE(VAE):
    """Convolutional VAE of images whose height and width are divisible by 2 per convolution.

    ``hidden`` holds the channels of the convolutions, each of which halves height and width, and
    as its last number the width of one dense layer after them. The decoder has the same in
    reverse. With the default the network has about as many parameters as the dense one of the
    book (256, 64, 32, 24), on MNIST. All other arguments are the `Autoencoder`'s.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (8, 16, 256),
        latent: int = 16,
        **arguments: Any,
    ) -> None:
        halvings = len(hidden) - 1
        if halvings < 1:
            raise ValueError(f"hidden: expected channels, then a dense width, got {tuple(hidden)}")
        if any(side % 2**halvings for side in tuple(shape)[1:]):
            raise ValueError(
                f"shape: expected height and width divisible by {2**halvings}, got {tuple(shape)}"
            )
        super().__init__(shape, hidden, latent, **arguments)

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
        layers = [*self._dense(self.latent, dense), *self._dense(dense, math.prod(self._grid))]
        layers.append(nn.Unflatten(1, self._grid))
        for inputs, outputs in pairwise((*reversed(channels), self.shape[0])):
            layers += (
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1),
                self._activation(),
            )
        return nn.Sequential(*layers[:-1], nn.Flatten())

    def _features(self, x: Tensor) -> Tensor:
        check_pixels(x, self.shape)
        features: Tensor = self.encoder(x)
        return features


class LinearVAE(VAE):
    """Linear VAE: μ and the decoder's mean are affine, and σ² is the same for all images.

    The best variances of a linear decoder do not depend on the image, so nothing is lost: at its
    optimum this is probabilistic PCA [Tipping and Bishop 1999; Lucas et al. 2019], and
    `linear_vae_optimum` says what it learns. Any finite numbers will do as data.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (),
        latent: int = 16,
        likelihood: str = "gaussian",
        **arguments: Any,
    ) -> None:
        if tuple(hidden) or likelihood != "gaussian":
            raise ValueError(
                "hidden, likelihood: a linear VAE has no hidden layers and a gaussian likelihood, "
                f"got {tuple(hidden)} and {likelihood!r}"
            )
        super().__init__(shape, hidden, latent, likelihood, **arguments)

    def _add_heads(self, width: int) -> None:
        self.logvar = _Constant(self.latent)

    def _features(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.shape or not x.isfinite().all():
            raise ValueError(f"x: expected finite (batch, *{self.shape}), got {tuple(x.shape)}")
        return x.flatten(1)


class _Constant(nn.Module):
    """The same output for every input: a linear layer without its weight."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), -1)


class Classifier(nn.Module):
    """Small convolutional classifier of images, whose features measure how good samples look.

    Parameters
    ----------
    shape : (channels, height, width)
        Shape of one image.
    features : int
        Width of the last hidden layer.
    classes : int
        Number of labels.
    """

    def __init__(
        self, shape: Sequence[int] = (1, 28, 28), features: int = 32, classes: int = 10
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.shape = tuple(shape)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * (-(-height // 4)) * (-(-width // 4)), features),
            nn.ReLU(),
        )
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits (batch, classes)."""
        logits: Tensor = self.head(self.features(x))
        return logits


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


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(choices)}, got {value!r}")
