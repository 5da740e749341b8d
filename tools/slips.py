"""The typical VAE, and the same with one slip each.

The network is that of PyTorch's example, 784-400-20. A slip overrides the one method that it is in.
``handed`` is what `vaelib.diagnose` gets for ``encode``.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of each variable."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp())


class Typical(nn.Module):
    """As in PyTorch's example: one hidden layer, BCE and KL summed."""

    line = ""  # the line with the slip, as the chapter's table shows it
    right: tuple[str, ...] = ()  # codes of findings that name the slip
    likelihood = "bernoulli"
    is_sum = True  # whether the loss is a sum over the batch

    def __init__(self, latent: int = 20, hidden: int = 400, pixels: int = 784) -> None:
        super().__init__()
        self.hidden = nn.Linear(pixels, hidden)
        self.mu, self.logvar = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.wide, self.out = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x).relu()
        return self.mu(h), self.logvar(h)

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + (0.5 * logvar).exp() * torch.randn_like(mu)

    def decode(self, z: Tensor) -> Tensor:
        return self.out(self.wide(z).relu()).sigmoid()

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return F.binary_cross_entropy(output, x, reduction="sum") + kl(mu, logvar).sum()

    def handed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode(x)


# --- in the noise ---------------------------------------------------------------------------------


class NoSampling(Typical):
    """Sampling forgotten."""

    line = "z = mu"
    right = ("no_noise",)

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu


class ExpLogvar(Typical):
    """exp(logvar) for σ."""

    line = "std = logvar.exp()"
    right = ("log_sigma",)

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + logvar.exp() * torch.randn_like(mu)


class PlainLogvar(Typical):
    """logvar itself for σ: it goes to 0, and with it the noise."""

    line = "z = mu + logvar * eps"
    right = ("no_noise", "other_noise")

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + logvar * torch.randn_like(mu)


class Uniform(Typical):
    """torch.rand for torch.randn."""

    line = "eps = torch.rand_like(std)"
    right = ("other_noise",)

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + (0.5 * logvar).exp() * torch.rand_like(mu)


class OneDraw(Typical):
    """One draw for all variables of an image: the decoder can take it off again."""

    line = "eps = torch.randn(len(mu), 1)"
    right = ("no_noise", "other_noise")

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + (0.5 * logvar).exp() * torch.randn(len(mu), 1)


# --- in what is handed over -----------------------------------------------------------------------


class HandsLogSigma(Typical):
    """log σ handed over as log σ²."""

    line = "return mu, log_sigma"
    right = ("log_sigma",)

    def handed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encode(x)
        return mu, 0.5 * logvar


class HandsVariance(Typical):
    """σ² handed over as log σ²."""

    line = "return mu, logvar.exp()"
    right = ("variance_as_logvar",)

    def handed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encode(x)
        return mu, logvar.exp()


class HandsSwapped(Typical):
    """μ and log σ² swapped where they are handed over."""

    line = "return logvar, mu"
    right = ("swapped",)

    def handed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encode(x)
        return logvar, mu


# --- in the encoder -------------------------------------------------------------------------------


class OneLayer(Typical):
    """μ and log σ² from one layer."""

    line = "mu = logvar = self.fc2(h)"
    right = ("same_head",)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        both = self.mu(self.hidden(x).relu())
        return both, both


class Softplus(Typical):
    """A softplus behind the layer of log σ²."""

    line = "logvar = F.softplus(self.fc22(h))"
    right = ("variance_at_least_one",)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().encode(x)
        return mu, F.softplus(logvar)


class ReluMean(Typical):
    """A ReLU behind the layer of μ."""

    line = "mu = self.fc21(h).relu()"
    right = ("mean_not_negative",)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().encode(x)
        return mu.relu(), logvar


class Detached(Typical):
    """No gradient from the decoder to the encoder."""

    line = "output = decode(z.detach())"
    right = ("collapse_training",)

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return super().sample(mu, logvar).detach()


# --- in the loss ----------------------------------------------------------------------------------


class MeanOverPixels(Typical):
    """The reconstruction averaged over pixels."""

    line = "bce = F.binary_cross_entropy(output, x)"
    right = ("collapse_weight",)
    is_sum = False

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return F.binary_cross_entropy(output, x) + kl(mu, logvar).sum(1).mean()


class MeanOverVariables(Typical):
    """The KL averaged over the batch and the variables."""

    line = "loss = bce / len(x) + kl.mean()"
    right = ("weight",)
    is_sum = False

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        bce = F.binary_cross_entropy(output, x, reduction="sum")
        return bce / len(x) + kl(mu, logvar).mean()


class WrongSign(Typical):
    """The KL rewarded, with the small weight that some recipes have."""

    line = "loss = bce - 0.00025 * kl.sum()"
    right = ("kl_sign",)

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        bce = F.binary_cross_entropy(output, x, reduction="sum")
        return bce - 0.00025 * kl(mu, logvar).sum()


class NoMean(Typical):
    """A KL without its μ²."""

    line = "kl = 0.5 * (logvar.exp() - logvar - 1)"
    right = ("kl_formula",)

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        bce = F.binary_cross_entropy(output, x, reduction="sum")
        return bce + kl(torch.zeros_like(mu), logvar).sum()


class KLOfLogSigma(Typical):
    """A KL written for log σ: it charges for 2 logvar."""

    line = "kl = 0.5 * (mu**2 + (2*logvar).exp() - 2*logvar - 1)"
    right = ("kl_formula",)

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        bce = F.binary_cross_entropy(output, x, reduction="sum")
        return bce + kl(mu, 2 * logvar).sum()


# --- what codes and decoder do not betray ---------------------------------------------------------


class SharedDraw(Typical):
    """One draw for all images of a batch: for each image alone the noise is right."""

    line = "eps = torch.randn(mu.shape[1])"

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + (0.5 * logvar).exp() * torch.randn(mu.shape[1])


# --- thought up when the diagnosis was finished ---------------------------------------------------


class HandsDraw(Typical):
    """A draw of z handed over as μ."""

    line = "return sample(mu, logvar), logvar"
    right = ("draw_for_mean",)

    def handed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encode(x)
        return self.sample(mu, logvar), logvar


class TwoSigmoids(Typical):
    """A sigmoid in the decoder, and one more in the loss."""

    line = "binary_cross_entropy_with_logits(output, x)"
    right = ("other_likelihood",)

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        misfit = F.binary_cross_entropy_with_logits(output, x, reduction="sum")
        return misfit + kl(mu, logvar).sum()


class SigmaInKL(Typical):
    """σ for σ² in the KL."""

    line = "-0.5 * (1 + logvar - mu**2 - (0.5 * logvar).exp())"
    right = ("kl_formula",)

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        price = -0.5 * (1 + logvar - mu.square() - (0.5 * logvar).exp())
        return F.binary_cross_entropy(output, x, reduction="sum") + price.sum()


class NoHalf(Typical):
    """A KL without its half."""

    line = "-(1 + logvar - mu**2 - logvar.exp())"
    right = ("weight",)

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return F.binary_cross_entropy(output, x, reduction="sum") + 2 * kl(mu, logvar).sum()


class Clamped(Typical):
    """A clamp that is far too narrow."""

    line = "logvar = logvar.clamp(-1, 1)"
    right = ("clamped",)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().encode(x)
        return mu, logvar.clamp(-1, 1)


class TanhLogvar(Typical):
    """A tanh behind the layer of log σ²."""

    line = "logvar = self.logvar(h).tanh()"
    right = ("clamped",)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().encode(x)
        return mu, logvar.tanh()


class ThirdOfNoise(Typical):
    """The noise made smaller, so that pictures become sharper."""

    line = "z = mu + 0.3 * std * eps"
    right = ("other_noise", "weight_by_noise")

    def sample(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + 0.3 * (0.5 * logvar).exp() * torch.randn_like(mu)


class MeanTwice(Typical):
    """The KL divided by the number of images twice."""

    line = "bce.sum(1).mean() + kl.sum(1).mean() / len(x)"
    right = ("weight",)
    is_sum = False

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        misfit = F.binary_cross_entropy(output, x, reduction="sum") / len(x)
        return misfit + kl(mu, logvar).sum(1).mean() / len(x)


class FrozenEncoder(Typical):
    """The encoder is not among the weights that the optimiser has."""

    line = "Adam(decoder.parameters())"
    right = ("lagging_encoder",)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return super().encode(x)


class MeanOfSquares(Typical):
    """The default of mse_loss: a mean over pixels and images."""

    line = "mse_loss(output, x) + kl.sum(1).mean()"
    right = ("collapse_weight",)
    likelihood = "gaussian"
    is_sum = False

    def loss(self, x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return F.mse_loss(output, x) + kl(mu, logvar).sum(1).mean()


SLIPS: tuple[type[Typical], ...] = (
    *(NoSampling, ExpLogvar, PlainLogvar, Uniform, OneDraw),
    *(HandsLogSigma, HandsVariance, HandsSwapped),
    *(OneLayer, Softplus, ReluMean, Detached),
    *(MeanOverPixels, MeanOverVariables, WrongSign, NoMean, KLOfLogSigma),
)
UNSEEN: tuple[type[Typical], ...] = (SharedDraw,)
LATER: tuple[type[Typical], ...] = (
    *(HandsDraw, Clamped, TanhLogvar, ThirdOfNoise, FrozenEncoder),
    *(TwoSigmoids, SigmaInKL, NoHalf, MeanTwice, MeanOfSquares),
)
