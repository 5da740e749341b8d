"""Twelve correct VAEs of different kinds, in which the diagnosis should find no slip."""

from typing import Any

import torch
from slips import Typical, kl
from torch import Tensor, nn
from torch.distributions import Laplace, Normal
from torch.nn import functional as F


class Tanh(Typical):
    """tanh in the place of ReLU."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x).tanh()
        return self.mu(h), self.logvar(h)

    def decode(self, z: Tensor) -> Tensor:
        return self.out(self.wide(z).tanh()).sigmoid()


class Squares(Typical):
    """Sum of squares: a Gaussian likelihood whose variance nobody named."""

    likelihood = "gaussian"

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return F.mse_loss(output, x, reduction="sum") + kl(mu, logvar).sum()


class Two(Typical):
    """Two latent variables."""

    def __init__(self) -> None:
        super().__init__(latent=2)


class Fifty(Typical):
    """Fifty latent variables."""

    def __init__(self) -> None:
        super().__init__(latent=50)


class Conditional(Typical):
    """Encoder and decoder know the label."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.wide = nn.Linear(784 + 10, 400), nn.Linear(20 + 10, 400)

    def encode(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return super().encode(torch.cat([x, label], 1))

    def decode(self, z: Tensor, label: Tensor) -> Tensor:
        return super().decode(torch.cat([z, label], 1))

    def handed(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode(x, label)


class Convolutional(Typical):
    """Two convolutions down, two up, 20 variables."""

    def __init__(self) -> None:
        super().__init__(hidden=1)
        self.down = nn.Sequential(
            *(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU()),
            *(nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten()),
        )
        self.mu, self.logvar = nn.Linear(32 * 49, 20), nn.Linear(32 * 49, 20)
        self.up = nn.Sequential(
            *(nn.Linear(20, 32 * 49), nn.ReLU(), nn.Unflatten(1, (32, 7, 7))),
            *(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU()),
            *(nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Flatten(), nn.Sigmoid()),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.down(x)
        return self.mu(h), self.logvar(h)

    def decode(self, z: Tensor) -> Tensor:
        return self.up(z)


class Spatial(Convolutional):
    """Codes that are pictures: two channels of 7 × 7, as in latent diffusion."""

    def __init__(self) -> None:
        super().__init__()
        self.down = self.down[:-1]
        self.mu, self.logvar = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 2, 1)
        self.up = nn.Sequential(nn.Conv2d(2, 32, 3, padding=1), nn.ReLU(), *self.up[3:])


class Table(Typical):
    """Forty standardised columns, and no picture."""

    likelihood = "gaussian"

    def __init__(self) -> None:
        super().__init__(latent=10, hidden=100, pixels=40)

    def decode(self, z: Tensor) -> Tensor:
        return self.out(self.wide(z).relu())

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return 0.5 * F.mse_loss(output, x, reduction="sum") + kl(mu, logvar).sum()

    @staticmethod
    def columns(x: Tensor) -> Tensor:
        """Brightness of the middle twenty rows and columns of an image, standardised roughly."""
        image = x.unflatten(1, (28, 28))[:, 4:24, 4:24]
        sums = torch.cat([image.mean(1), image.mean(2)], 1)
        return (sums - 0.25) / 0.2


CORRECT: dict[str, tuple[type[Typical], int]] = {
    "one epoch": (Typical, 1),
    "two epochs": (Typical, 2),
    "five epochs": (Typical, 5),
    "ten epochs": (Typical, 10),
    "tanh": (Tanh, 4),
    "convolutional": (Convolutional, 4),
    "conditional": (Conditional, 4),
    "sum of squares": (Squares, 4),
    "two variables": (Two, 4),
    "fifty variables": (Fifty, 4),
    "spatial codes": (Spatial, 4),
    "table": (Table, 4),
}


def inputs(network: type[Typical], x: Tensor, labels: Tensor) -> tuple[Any, ...]:
    """What a network is trained on: images, images with labels, or columns of a table."""
    if network is Conditional:
        return x, F.one_hot(labels.long(), 10).float()
    return (Table.columns(x) if network is Table else x,)


# --- twelve more, written when the diagnosis was finished -----------------------------------------


class Deep(Typical):
    """Three layers on each side, with a leak, and sixteen variables."""

    def __init__(self) -> None:
        super().__init__(latent=16, hidden=64)
        first = (nn.Linear(784, 512), nn.LeakyReLU(), nn.Linear(512, 256), nn.LeakyReLU())
        last = (nn.Linear(256, 512), nn.LeakyReLU(), nn.Linear(512, 784), nn.Sigmoid())
        self.hidden = nn.Sequential(*first, nn.Linear(256, 64))
        self.out = nn.Sequential(nn.Linear(64, 256), nn.LeakyReLU(), *last)

    def decode(self, z: Tensor) -> Tensor:
        return self.out(self.wide(z).relu())


class LearnedVariance(Typical):
    """A Gaussian whose variance is learnt, handed over as a distribution."""

    likelihood = ""

    def __init__(self) -> None:
        super().__init__()
        self.log_eta = nn.Parameter(torch.zeros(()))

    def decode(self, z: Tensor) -> Any:
        return Normal(super().decode(z), self.log_eta.exp())

    def loss(self, x: Tensor, output: Any, mu: Tensor, logvar: Tensor) -> Tensor:
        return -output.log_prob(x).sum() + kl(mu, logvar).sum()


class Deviation(Typical):
    """The encoder gives σ through a softplus, and hands over a distribution."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, raw = super().encode(x)
        return mu, 2 * (F.softplus(raw) + 1e-4).log()

    def handed(self, x: Tensor) -> Any:
        mu, logvar = self.encode(x)
        return Normal(mu, (0.5 * logvar).exp())


class Dropped(Typical):
    """Batch norm and dropout in the encoder, batch norm in the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(784, 400), nn.BatchNorm1d(400), nn.Dropout(0.2))
        self.wide = nn.Sequential(nn.Linear(20, 400), nn.BatchNorm1d(400))


class Normed(Typical):
    """Layer norm and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(784, 400), nn.LayerNorm(400), nn.GELU())
        self.wide = nn.Sequential(nn.Linear(20, 400), nn.LayerNorm(400), nn.GELU())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x)
        return self.mu(h), self.logvar(h)


class Binary(Typical):
    """Pixels of 0 and 1, and logits."""

    likelihood = "bernoulli_logits"

    def decode(self, z: Tensor) -> Tensor:
        return self.out(self.wide(z).relu())

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        misfit = F.binary_cross_entropy_with_logits(output, x, reduction="sum")
        return misfit + kl(mu, logvar).sum()

    @staticmethod
    def prepared(x: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        return ((x > 0.5).float(),)


class Standardised(Table):
    """Pixels of mean 0 and variance 1."""

    def __init__(self) -> None:
        Typical.__init__(self)

    @staticmethod
    def prepared(x: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        return ((x - 0.13) / 0.31,)


class OneNoise(Typical):
    """σ is a weight: the same for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.zeros(20))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, _ = super().encode(x)
        return mu, self.noise.expand_as(mu)


class Absolute(Typical):
    """A Laplace likelihood of width 0.2, given as a function."""

    @staticmethod
    def likelihood(output: Tensor, x: Tensor) -> Tensor:
        return Laplace(output, 0.2).log_prob(x)

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return -self.likelihood(output, x).sum() + kl(mu, logvar).sum()


class Many(Typical):
    """A hundred and twenty-eight latent variables."""

    def __init__(self) -> None:
        super().__init__(latent=128)


class Embedded(Conditional):
    """The label as a whole number, embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 10)

    def encode(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return super().encode(x, self.embedding(label))

    def decode(self, z: Tensor, label: Tensor) -> Tensor:
        return super().decode(z, self.embedding(label))

    @staticmethod
    def prepared(x: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        return x, labels.long()


LATER: dict[str, tuple[type[Typical], int]] = {
    "deep": (Deep, 2),
    "learned variance": (LearnedVariance, 4),
    "softplus for σ": (Deviation, 4),
    "batch norm and dropout": (Dropped, 4),
    "layer norm": (Normed, 4),
    "binary pixels": (Binary, 4),
    "standardised pixels": (Standardised, 4),
    "one σ for all images": (OneNoise, 4),
    "Laplace": (Absolute, 4),
    "128 variables": (Many, 4),
    "embedded labels": (Embedded, 4),
    "twenty epochs": (Typical, 20),
}
