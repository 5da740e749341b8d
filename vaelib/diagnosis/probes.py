"""What a model is asked beside its codes: what its decoder uses, stands and could have had."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vaelib.diagnosis.foreign import Batch, Foreign, log_prob
from vaelib.objectives import gaussian_kl, sample_posterior

DRAWS = 2  # of z for each image, where noise is tried
SEED = 91_019  # of noise: data may have been drawn with 0 or 1, and must not go with it
STEPS, RATE = 60, 0.1  # of Adam, on the codes of the images themselves


@dataclass
class Probe:
    """What a model did with a sample of its data, all in nats per image.

    Attributes
    ----------
    gain : Tensor (latent,)
        Lost when a variable is replaced by its mean, at z = μ.
    noise_cost : Tensor (latent,)
        Lost when a variable is drawn from Q and the others are at μ.
    whole, without : float
        log P(x|z) at z = μ, and with every variable at its mean.
    drawn : float
        log P(x|z) at a draw of z.
    other_way : float
        log P(x|z) at z = log σ²: higher than ``whole`` if the two are swapped.
    images, broken : int
        How many were tried, and for how many log P(x|z) at z = μ is NaN or infinite.
    baseline : float
        log P(x) of the best constant output; NaN where the likelihood is not one we know.
    gap : float
        ELBO that steps on the codes themselves add.
    kl_then : float
        KL after these steps.
    quiet : Tensor (latent,)
        Which variables bring less than a nat alone, and ``quiet_together`` what all these bring.
    """

    gain: Tensor
    noise_cost: Tensor
    whole: float
    without: float
    drawn: float
    other_way: float
    baseline: float
    images: int
    broken: int
    gap: float = math.nan
    kl_then: float = math.nan
    quiet: Tensor = field(default_factory=lambda: torch.zeros(0))
    quiet_together: float = 0.0

    @property
    def alone(self) -> float:
        """What the quiet variables bring one by one, added up."""
        return self.gain[self.quiet].clamp(min=0).sum().item()

    @property
    def say_the_same(self) -> bool:
        """Whether the quiet variables bring together far more than one by one."""
        return self.quiet_together > 3 and self.quiet_together > 3 * self.alone


class Prober:
    """Asks a model about a few batches of its data."""

    def __init__(self, model: Foreign, batches: Sequence[Batch], mean: Tensor) -> None:
        self.model, self.batches = model, batches
        self.codes = [model.encode(batch) for batch in batches]
        self.mean = mean.to(self.codes[0][0].device)
        self.images = sum(len(mu) for mu, _ in self.codes)

    def average(self, change: Callable[[Tensor, Tensor], Tensor]) -> float:
        """Mean log P(x|z) with z as ``change`` makes it of μ and log σ²."""
        total = 0.0
        for batch, (mu, logvar) in zip(self.batches, self.codes, strict=True):
            total += self.model.log_prob(batch, change(mu, logvar)).sum().item()
        return total / self.images

    def broken(self) -> int:
        """For how many images log P(x|z) at z = μ is NaN or infinite."""
        pairs = zip(self.batches, self.codes, strict=True)
        values = torch.cat([self.model.log_prob(batch, mu) for batch, (mu, _) in pairs])
        return int((~values.isfinite()).sum())

    def replaced(self, which: Sequence[int]) -> float:
        """Mean log P(x|z) with these variables at their means."""

        def change(mu: Tensor, _: Tensor) -> Tensor:
            z = mu.clone()
            for j in which:
                z[:, j] = self.mean[j]
            return z

        return self.average(change)

    def drawn(self, which: Sequence[int] | None = None, seed: int = 0) -> float:
        """Mean log P(x|z) with these variables drawn, by default all."""
        generator = torch.Generator().manual_seed(SEED + seed)

        def change(mu: Tensor, logvar: Tensor) -> Tensor:
            z = sample_posterior(mu, logvar, generator)
            if which is not None:
                kept = z[:, list(which)]
                z = mu.clone()
                z[:, list(which)] = kept
            return z

        return sum(self.average(change) for _ in range(DRAWS)) / DRAWS

    def probe(self, quiet_below: float, variables: Iterable[int]) -> Probe:
        """Measure all of `Probe` but the gap; ``variables`` are the numbers of all."""
        latent = len(self.mean)
        with torch.no_grad():
            whole = self.replaced([])
            gain, cost = torch.zeros(latent).double(), torch.zeros(latent).double()
            for j in variables:
                gain[j] = whole - self.replaced([j])
                cost[j] = whole - self.drawn([j], seed=j)
            quiet = gain < quiet_below
            result = Probe(
                gain=gain,
                noise_cost=cost,
                whole=whole,
                without=self.replaced(range(latent)),
                drawn=self.drawn(),
                other_way=self.average(lambda _, logvar: logvar),
                baseline=self.baseline(),
                images=self.images,
                broken=self.broken(),
                quiet=quiet,
            )
            if quiet.any():
                result.quiet_together = whole - self.replaced(quiet.nonzero().flatten().tolist())
        return result

    def baseline(self) -> float:
        """Mean log P(x) of the mean image, where the likelihood says what a mean is."""
        likelihood = self.model.likelihood
        x = torch.cat([batch[0] for batch in self.batches]).double()
        mean = x.mean(0, keepdim=True).expand_as(x)
        kind = likelihood if isinstance(likelihood, str) else type(likelihood).__name__
        if kind in ("bernoulli_logits", "Bernoulli"):
            mean = mean.clamp(1e-6, 1 - 1e-6).logit()
        elif kind not in ("bernoulli", "gaussian", "Gaussian"):
            return math.nan
        values = log_prob(likelihood, mean, x)
        return (
            values.double().flatten(1).sum(1).mean().item()
            if values.ndim > 1
            else values.mean().item()
        )

    def gap(self, prior: tuple[float, float]) -> tuple[float, float]:
        """How much ELBO steps on μ and σ of the images themselves add, and the KL then.

        The gap of [Cremer et al. 2018], by the same draws of noise before and after.
        """
        gained, kl, n = 0.0, 0.0, 0
        for batch, (mu, logvar) in zip(self.batches, self.codes, strict=True):
            part = slice(0, 100)
            few = batch[0][part], tuple(_first(value, len(batch[0]), part) for value in batch[1])
            code = [mu[part].detach().clone(), logvar[part].detach().clone().clamp(min=-20)]
            generator = torch.Generator().manual_seed(SEED)
            noise = torch.randn((8, *code[0].shape), generator=generator, dtype=torch.float64)
            noise = noise.to(mu.device)
            before = self._bound(few, code, noise, prior, range(8))[0]
            leaves = [part_.requires_grad_() for part_ in code]
            adam = torch.optim.Adam(leaves, RATE)
            fresh = torch.Generator().manual_seed(SEED + 1)
            for i in range(STEPS):
                for group in adam.param_groups:
                    group["lr"] = RATE * (1 - i / STEPS)
                drawn = torch.randn((1, *mu[part].shape), generator=fresh, dtype=torch.float64)
                adam.zero_grad()
                (-self._bound(few, leaves, drawn.to(mu.device), prior, [0])[0].sum()).backward()
                adam.step()
            with torch.no_grad():
                after, price = self._bound(few, leaves, noise, prior, range(8))
            gained += (after - before).sum().item()
            kl, n = kl + price.sum().item(), n + len(before)
            if n >= 200:
                break
        return max(gained, 0.0) / n, kl / n

    def _bound(
        self,
        batch: Batch,
        code: Sequence[Tensor],
        noise: Tensor,
        prior: tuple[float, float],
        which: Sequence[int] | range,
    ) -> tuple[Tensor, Tensor]:
        mu, logvar = code
        scaled = (mu - prior[0]) / prior[1], logvar - 2 * math.log(prior[1])
        kl = gaussian_kl(*scaled).flatten(1).sum(1)
        parts = [self.model.log_prob(batch, mu + (0.5 * logvar).exp() * noise[i]) for i in which]
        return torch.stack(parts).mean(0) - kl, kl


def _first(value: Any, rows: int, part: slice) -> Any:
    return value[part] if isinstance(value, Tensor) and len(value) == rows else value
