"""What an encoder returns, in any form, as means and log-variances; and sums over all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaelib._measuring import to_cpu
from vaelib.objectives import gaussian_kl

SPREADS = ("logvar", "variance", "std")
# What other libraries call these: fields of a dictionary or attributes of an object.
CODES = ("latent_dist", "posterior", "qz")
MEANS = ("mu", "mean", "loc", "z_mean", "qz_m", "embedding")
NAMES = {
    "logvar": ("logvar", "log_var", "log_variance", "log_covariance", "z_log_var", "qz_logv"),
    "variance": ("variance", "var", "qz_v"),
    "std": ("std", "stddev", "sigma", "scale"),
}
PIECE = 10_000  # rows at once
KEPT = 2_000  # rows that are kept for what needs pairs of them


def read_code(code: Any, spread: str = "logvar") -> tuple[Tensor, Tensor]:
    """Return μ and log σ² of what an encoder returned: in float64, where the tensors are.

    Parameters
    ----------
    code
        A pair (μ, spread), a Normal of torch, or an object or dictionary with fields of usual
        names: those of diffusers, pythae and scvi-tools among them.
    spread : {"logvar", "variance", "std"}
        What the second of a pair is.
    """
    if isinstance(code, Independent):
        code = code.base_dist
    if isinstance(code, Normal):
        return _pair(code.loc, code.scale, "std")
    if isinstance(code, Distribution):
        raise TypeError(f"encode: expected a Normal distribution, got {type(code).__name__}")
    if isinstance(code, tuple | list) and len(code) == 2:
        return _pair(code[0], code[1], spread)
    if not isinstance(code, tuple | list | Tensor):
        for name in CODES:
            if (inner := _field(code, name)) is not None:
                return read_code(inner, spread)
        mu = next((part for name in MEANS if (part := _field(code, name)) is not None), None)
        for kind, names in NAMES.items():
            found = next((part for name in names if (part := _field(code, name)) is not None), None)
            if mu is not None and found is not None:
                return _pair(mu, found, kind)
    what = f"{len(code)} values" if isinstance(code, tuple | list) else type(code).__name__
    raise TypeError(
        "encode: expected (mu, logvar), a Normal distribution, or an object with fields such as "
        f"mu and logvar, got {what}; of several values take two, as encode=lambda x: f(x)[:2]"
    )


def _field(code: Any, name: str) -> Any:
    value = code.get(name) if isinstance(code, Mapping) else getattr(code, name, None)
    return None if callable(value) and not isinstance(value, Tensor) else value


def _pair(mu: Any, second: Any, spread: str) -> tuple[Tensor, Tensor]:
    """The pair as float64, and its second as a log-variance."""
    if spread not in SPREADS:
        raise ValueError(f"spread: expected one of {', '.join(SPREADS)}, got {spread!r}")
    mu, second = (part if isinstance(part, Tensor) else to_cpu(part) for part in (mu, second))
    if mu.shape != second.shape or mu.ndim < 2:
        raise ValueError(
            f"mu and {spread}: expected one shape (n, latent) or (n, channels, ...), got "
            f"{tuple(mu.shape)} and {tuple(second.shape)}"
        )
    mu, second = mu.double(), second.double()
    if spread == "logvar":
        return mu, second
    if (second < 0).any():
        raise ValueError(f"{spread}: expected numbers >= 0, got {second.min().item():.3g}")
    return mu, second.log() * (2 if spread == "std" else 1)


def as_rows(part: Tensor) -> Tensor:
    """(n, latent) as it is; (n, channels, ...) as (n × positions, channels)."""
    return part if part.ndim == 2 else part.movedim(1, -1).reshape(-1, part.shape[1])


class Tally:
    """Sums over the codes of any number of rows, which come in pieces.

    Attributes
    ----------
    rows : int
        Images; of spatial codes there are ``positions`` rows for each.
    broken : Tensor (latent,)
        How many numbers were NaN or infinite; a row with one is left out of the sums.
    """

    def __init__(self, prior: tuple[float, float]) -> None:
        self.prior = prior
        self.rows, self.images, self.positions = 0, 0, 1
        self.kept: tuple[Tensor, Tensor, Tensor] | None = None
        self.random = torch.Generator().manual_seed(0)

    def add_arrays(self, mu: Any, second: Any, spread: str) -> None:
        """Count all rows at hand, piece by piece: only a piece is in float64."""
        mu, second = (part if isinstance(part, Tensor) else to_cpu(part) for part in (mu, second))
        if mu.shape != second.shape or mu.ndim < 2:
            read_code((mu, second), spread)  # says what is wrong
        for part in zip(mu.split(PIECE), second.split(PIECE), strict=True):
            self.add(*read_code(part, spread))

    def add(self, mu: Tensor, logvar: Tensor) -> None:
        """Count one piece, (n, latent) or (n, channels, ...)."""
        if self.images == 0:
            self.latent, self.positions = mu.shape[1], mu[0, 0].numel()
            zero = torch.zeros(self.latent, dtype=torch.float64)
            self.broken, self.mean, self.kl, self.sigma2 = (zero.clone() for _ in range(4))
            self.sigma4, self.logvar, self.logvar2 = (zero.clone() for _ in range(3))
            self.lowest, self.highest = zero + float("inf"), zero - float("inf")
            self.least_mu = zero + float("inf")
            self.squares = zero.clone()
        if mu.shape[1] != self.latent:
            raise ValueError(f"mu: expected {self.latent} variables, got {mu.shape[1]}")
        self.images += len(mu)
        for part in zip(as_rows(mu).split(PIECE), as_rows(logvar).split(PIECE), strict=True):
            self._add(*(rows.detach().cpu() for rows in part))

    def _add(self, mu: Tensor, logvar: Tensor) -> None:
        finite = mu.isfinite() & (logvar < float("inf"))
        self.broken += (~finite).sum(0)
        mu, logvar = mu[finite.all(1)], logvar[finite.all(1)]
        n = len(mu)
        if n == 0:
            return
        # Chan et al. 1979: sums of squares about the mean, so that no digit is lost.
        shift, total = mu.mean(0) - self.mean, self.rows + n
        centred = mu - mu.mean(0)
        self.squares += centred.square().sum(0) + shift.square() * (self.rows * n / total)
        self.mean += shift * (n / total)
        self.rows = total
        self.least_mu = torch.minimum(self.least_mu, mu.amin(0))
        sigma2 = logvar.exp()
        self.sigma2 += sigma2.sum(0)
        self.sigma4 += sigma2.square().sum(0)
        self.logvar += logvar.clamp(min=-700).sum(0)
        self.logvar2 += logvar.clamp(min=-700).square().sum(0)
        self.lowest = torch.minimum(self.lowest, logvar.amin(0))
        self.highest = torch.maximum(self.highest, logvar.amax(0))
        mean, std = self.prior
        scaled = (mu - mean) / std, logvar - 2 * torch.tensor(std).double().log()
        self.kl += gaussian_kl(*scaled).sum(0)
        self._keep(*scaled)

    def _keep(self, mu: Tensor, logvar: Tensor) -> None:
        """Keep a random sample of the rows: those with the smallest of as many random numbers."""
        new = torch.rand(len(mu), generator=self.random, dtype=torch.float64), mu, logvar
        if self.kept is not None:
            new = tuple(torch.cat(pair) for pair in zip(self.kept, new, strict=True))  # type: ignore[assignment]
        first = new[0].argsort()[:KEPT]
        self.kept = new[0][first], new[1][first], new[2][first]
