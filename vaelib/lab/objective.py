"""What an experiment maximises: the ELBO, and every intervention in it.

Without an intervention it is `vaelib.elbo`, whose gradient `vaelib.lab.elbo_gradient` is written
out for the dense networks.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

import attrs
import torch
from torch import Tensor

from vaelib.lab.fields import choice, flag, number, rungs, whole, wholes
from vaelib.lab.gradient import elbo_gradient
from vaelib.models import VAE, Autoencoder
from vaelib.objectives import (
    Model,
    gaussian_kl,
    importance_weights,
    reconstruction_log_likelihood,
    sample_posterior,
)

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@attrs.define(frozen=True, kw_only=True, slots=False)
class Objective:
    """What is maximised."""

    beta: float = number(1.0, least=0)  #: weight of the KL
    beta_warmup: int = whole(0)  #: the weight grows from 0 over that many epochs, linearly
    #: ((epochs, weight), …): the weights of the KL in turn, in place of beta; see `rung_ends`
    beta_path: tuple[tuple[int, float], ...] = rungs()
    sample_from_epoch: int = whole(0)  #: before it z is the posterior mean, without noise
    free_variable: int | None = whole(None)  #: this variable has no KL
    #: (first, last): in epochs first, …, last − 1 the variable with the least Var μ at the start
    #: of the first one has no KL
    revive_epochs: tuple[int, ...] | None = wholes(None)
    revive_count: int = whole(1, least=1)  #: that many variables, those with the least Var μ
    draws: int = whole(1, least=1)  #: z per image; the ELBO takes the mean of log P(X|z) over them
    importance_samples: int = whole(1, least=1)  #: more than 1: `iwae_bound` instead of the ELBO
    free_bits: float = number(0.0, least=0)  #: nats of KL that each variable has free
    latent_dropout: float = number(0.0, least=0, below=1)  #: chance that z_j is hidden
    binarise: bool = flag(False)  #: draw black or white pixels anew for each batch
    precision: str = choice(*PRECISIONS)  #: type in which large dense layers are multiplied

    def check_objective(self, latent: int, epochs: int) -> None:
        """Raise a ValueError where fields contradict one another."""
        if self.free_variable is not None and self.free_variable >= latent:
            raise ValueError(f"free_variable: expected one of {latent}, got {self.free_variable}")
        if self.revive_epochs is not None and not (
            len(self.revive_epochs) == 2 and self.revive_epochs[0] < self.revive_epochs[1] <= epochs
        ):
            raise ValueError(
                "revive_epochs: expected (first, last) with 0 <= first < last <= epochs, "
                f"got {self.revive_epochs}"
            )
        if self.beta_path and (self.rung_ends[-1], self.beta, self.beta_warmup) != (epochs, 1, 0):
            raise ValueError(
                f"beta_path: expected {epochs} epochs in all, no other beta and no beta_warmup, "
                f"got {self.rung_ends[-1]}, {self.beta:g} and {self.beta_warmup}"
            )
        for field in attrs.fields(Objective) if self.importance_samples > 1 else ():
            has_it = field.name in ("importance_samples", "binarise", "precision")
            if not has_it and getattr(self, field.name) != field.default:
                raise ValueError(f"importance_samples: the IWAE bound has no {field.name}")
        if self.revive_count > (latent if self.revive_epochs else 1):
            raise ValueError(
                f"revive_count: expected at most {latent}, and 1 without revive_epochs, "
                f"got {self.revive_count}"
            )

    @property
    def rung_ends(self) -> list[int]:
        """After how many epochs each rung of ``beta_path`` ends; there the model is measured."""
        return list(accumulate(epochs for epochs, _ in self.beta_path))

    def kl_weight(self, epoch: int) -> float:
        """The weight of the KL in this epoch, of a variable without an exception."""
        if self.beta_path:
            return self.beta_path[bisect_right(self.rung_ends, epoch)][1]
        return self.beta * (min(1.0, epoch / self.beta_warmup) if self.beta_warmup else 1.0)


class TrainingLoss:
    """The loss of an experiment: called with a batch of pixels and the number of its epoch.

    All random numbers come from ``noise``; ``var_mu`` measures Var μ when a variable is revived.
    """

    def __init__(
        self,
        objective: Objective,
        model: Autoencoder,
        noise: torch.Generator,
        var_mu: Callable[[], Tensor],
    ) -> None:
        self.objective, self.model, self.noise, self.var_mu = objective, model, noise, var_mu
        self.revived = torch.tensor(-1)  # the number of the revived variable, or of several

    def __call__(self, x: Tensor, epoch: int) -> Tensor | None:
        """The mean loss; or None after the model's gradients have been set."""
        if self.objective.binarise:
            x = torch.bernoulli(x, generator=self.noise)
        weights, sample = self.kl_weights(epoch), epoch >= self.objective.sample_from_epoch
        if has_written_gradient(self.objective, type(self.model)):
            precision = PRECISIONS[self.objective.precision]
            elbo_gradient(self.model, x, weights, self.noise, sample, precision)
            return None
        return -self.bound(x, weights, sample).mean()

    def bound(self, x: Tensor, weights: Tensor, sample: bool) -> Tensor:
        """What is maximised, in nats per image: (batch,)."""
        chosen = self.objective
        if chosen.importance_samples > 1:
            return iwae_bound(self.model, x, chosen.importance_samples, self.noise)
        variational = isinstance(self.model, VAE)
        mu, logvar = self.model.encode(x)
        z = mu[None]
        if sample and variational:
            z = sample_posterior(mu.expand(chosen.draws, *mu.shape), logvar, self.noise)
        z = drop_variables(z, chosen.latent_dropout, self.noise)
        likelihood = reconstruction_log_likelihood(self.model, x, z).mean(0)
        if not variational:
            return likelihood
        return likelihood - (weights * free_bits(gaussian_kl(mu, logvar), chosen.free_bits)).sum(1)

    def kl_weights(self, epoch: int) -> Tensor:
        """The weight of each variable's KL in this epoch: (latent,)."""
        chosen = self.objective
        weights = self.model.mu.weight.new_full((self.model.latent,), chosen.kl_weight(epoch))
        if chosen.free_variable is not None:
            weights[chosen.free_variable] = 0
        if chosen.revive_epochs and epoch in range(*chosen.revive_epochs):
            if self.revived.min() < 0:
                least = self.var_mu().argsort(stable=True)[: chosen.revive_count]
                self.revived = least.squeeze().cpu()
            weights[self.revived] = 0
        return weights


def has_written_gradient(objective: Objective, model: type) -> bool:
    """Whether `elbo_gradient` is the gradient of what is maximised."""
    return (
        model in (Autoencoder, VAE)
        and objective.draws == objective.importance_samples == 1
        and not objective.free_bits
        and not objective.latent_dropout
    )


def iwae_bound(
    model: Model, x: Tensor, samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """Importance-weighted bound log (1/k) Σ P(X, z_i) / Q(z_i|X) [Burda et al. 2016].

    A lower bound on log P(X), on average tighter the more samples are drawn. Shown in the chapter
    *Bug or feature*.

    Parameters
    ----------
    model : VAE
    x : Tensor (batch, channels, height, width)
        Pixels in [0, 1].
    samples : int
        The k of the bound; with 1 it is the ELBO, its KL estimated too.
    generator : torch.Generator, optional
        Where the noise comes from.

    Returns
    -------
    Tensor (batch,)
        Nats per image, to be maximised.
    """
    if samples < 1:
        raise ValueError(f"samples: expected at least 1, got {samples}")
    return importance_weights(model, x, samples, generator).logsumexp(0) - math.log(samples)


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """Replace the KL of a variable by the constant λ where its batch mean is at most λ.

    Up to there information is free, and no gradient pushes the variable to the prior: summed over
    variables and averaged over the batch this is Σ_j max(λ, E KL_j) [Kingma et al. 2016]. Shown
    in the chapter *Bug or feature*.

    Parameters
    ----------
    kl : Tensor (batch, latent)
        As `vaelib.gaussian_kl` gives it.
    nats : float
        The λ, for each variable.

    Returns
    -------
    Tensor (batch, latent)
    """
    if not nats >= 0:
        raise ValueError(f"nats: expected a number >= 0, got {nats}")
    # NaN is not at most λ: it stays visible.
    return torch.where(kl.mean(0) <= nats, nats, kl)


def drop_variables(z: Tensor, rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Set each number of z to 0 with probability ``rate``: dropout on the latent variables.

    What is left is not scaled up, unlike in `torch.nn.Dropout`: the prior has fixed the scale of
    z, and 0 is its mean, what one would guess of a variable not seen.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: expected a probability below 1, got {rate}")
    if rate == 0:
        return z
    chance = torch.rand(z.shape, generator=generator, dtype=z.dtype, device=z.device)
    return z * (chance >= rate)
