"""What a diagnosis rests on, and the form of what it finds."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from torch import Tensor

from vaelib.diagnosis.probes import Probe
from vaelib.diagnosis.weights import Weight
from vaelib.estimates import MarginalDecomposition

ACTIVE = 0.01  # Var μ, in units of the prior's variance [Burda et al. 2016]
NAT = 1.0  # a gain below it is not used
TEXTS = tomllib.loads(resources.files(__package__).joinpath("findings.toml").read_text("utf-8"))
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes
    ----------
    code : str
        A stable name, for machines.
    what, evidence, to_do : str
        In words, with the numbers it rests on.
    chapter : str
        The page of the book that shows it.
    sure : {"certain", "likely", "possible"}
    is_fault : bool
        False for what a correct model may show too.
    variables : tuple of int
        Which ones it is about, if not all.
    """

    code: str
    what: str
    evidence: str
    to_do: str
    chapter: str
    sure: str = CERTAIN
    is_fault: bool = True
    variables: tuple[int, ...] = ()


@dataclass
class Facts:
    """All that was measured; lengths are (latent,), a probe or a weight may be missing.

    In units of the prior: a variable of N(m, s²) is shifted by m and divided by s. Of spatial
    codes there is a row for each of the ``positions`` of an image, and a KL for all of them.
    ``moved`` is the variance of the difference of two μ that a model gave for the same rows.
    """

    images: int
    rows: int
    positions: int
    broken: Tensor
    mean: Tensor
    least_mu: Tensor
    var_mu: Tensor
    sigma2: Tensor
    sigma4: Tensor
    kl: Tensor
    logvar_mean: Tensor
    logvar_std: Tensor
    lowest: Tensor
    highest: Tensor
    kept: tuple[Tensor, Tensor]
    decomposition: MarginalDecomposition | None = None
    probe: Probe | None = None
    weight: Weight | None = None
    unit_unknown: bool = False
    moved: Tensor | None = None
    linear_count: int | None = None
    water: float = math.nan

    @property
    def active(self) -> Tensor:
        """Var μ above the usual threshold."""
        return self.var_mu > ACTIVE

    @property
    def linear_words(self) -> str:
        """What a linear VAE would keep, for a sentence."""
        if self.linear_count is None:
            return ""
        return f"; a linear VAE on these data would keep {self.linear_count}"

    @property
    def one_sigma(self) -> bool:
        """One σ for all rows, and nearly one for all variables: a weight, that may have begun."""
        alike = len(self.kl) > 1 and self.logvar_mean.std() < 0.2
        return bool(alike and self.logvar_std.max() < 1e-6)

    @property
    def law(self) -> Tensor:
        """Var μ + mean σ²."""
        return self.var_mu + self.sigma2

    @property
    def speaking(self) -> Tensor:
        """Variables that say a good deal: those whose sums a slip shows in."""
        loud = self.var_mu > 0.1
        return loud if self.probe is None else loud & (self.probe.gain > NAT)


def found(
    code: str, sure: str = CERTAIN, variables: Tensor | None = None, **numbers: Any
) -> Finding:
    """A finding in the words of ``findings.toml``, with these numbers in them.

    ``variables`` marks which ones it is about: ``count`` and ``names`` of them are numbers too.
    """
    marked = [] if variables is None else variables.nonzero().flatten().tolist()
    names = ", ".join(map(str, marked[:8])) + (f" and {len(marked) - 8} more" if marked[8:] else "")
    text = TEXTS[code]
    what, evidence, to_do = (
        text[part].format(count=len(marked), names=names, **numbers)
        for part in ("what", "evidence", "to_do")
    )
    is_fault = text.get("fault", True)
    return Finding(code, what, evidence, to_do, text["chapter"], sure, is_fault, tuple(marked))
