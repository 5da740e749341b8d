"""What single variables do, and how far the estimates can be trusted."""

from __future__ import annotations

import math
from typing import Any

from vaelib.diagnosis.facts import ACTIVE, LIKELY, NAT, Facts, Finding, found


def lagging(f: Facts) -> Finding | None:
    """The encoder is behind its decoder."""
    p, kl = f.probe, f.kl.sum().item()
    # In correct networks the steps add a fifth of the KL, in a deep one just begun 0.6 of it.
    if p is None or not (p.gap > 2 and p.gap > kl and p.kl_then > 1.3 * kl):
        return None
    return found("lagging_encoder", LIKELY, gap=p.gap, kl=kl, kl_then=p.kl_then)


def redundant(f: Facts) -> Finding | None:
    """Each alone dispensable, together not."""
    p = f.probe
    if p is None or not p.say_the_same:
        return None
    same = f.active & p.quiet
    if same.sum() < 2:
        return None
    return found("redundant", variables=same, nat=NAT, alone=p.alone, together=p.quiet_together)


def idle(f: Facts) -> Finding | None:
    """Active, and the decoder does not listen."""
    if f.probe is None or f.probe.say_the_same:
        return None
    deaf = f.active & f.probe.quiet
    if not deaf.any():
        return None
    numbers: dict[str, Any] = {"var_mu": f.var_mu[deaf].max(), "gain": f.probe.gain[deaf].max()}
    return found("active_unused", variables=deaf, **numbers)


def constant(f: Facts) -> Finding | None:
    """A mean that is not 0 and says nothing: KL paid for a constant."""
    wasted = 0.5 * f.mean.square()
    stuck = ~f.active & (wasted > 0.1)
    if not stuck.any():
        return None
    numbers: dict[str, Any] = {"mean": f.mean[stuck].abs().max(), "wasted": wasted[stuck].sum()}
    return found("constant_mean", variables=stuck, active=ACTIVE, **numbers)


def one_sided(f: Facts) -> Finding | None:
    """μ that is never negative."""
    if f.rows < 50 or not f.active.any() or not (f.least_mu >= 0).all():
        return None
    numbers: dict[str, Any] = {"least": f.least_mu.min(), "rows": f.rows, "mean": f.mean.max()}
    return found("mean_not_negative", LIKELY, **numbers)


def dead(f: Facts) -> Finding | None:
    """Some variables dead, others not: what the book is about."""
    if f.active.all() or not f.active.any():
        return None
    numbers: dict[str, Any] = {
        "all": len(f.kl),
        "kl": f.kl[~f.active].sum(),
        "linear": f.linear_words,
    }
    return found("dead", variables=~f.active, active=ACTIVE, **numbers)


def few_rows(f: Facts) -> Finding | None:
    """Too few rows for the estimates: with 500 a variance is known to 6 %."""
    if f.images >= 500:
        return None
    return found("few_rows", rows=f.images, error=100 * math.sqrt(2 / f.images))


def ceiling(f: Facts) -> Finding | None:
    """A mutual information that says nothing."""
    rows = len(f.kept[0])
    if f.decomposition is None or f.decomposition.mutual_information < 0.95 * math.log(rows):
        return None
    information = f.decomposition.mutual_information
    return found("information_ceiling", information=information, rows=rows, top=math.log(rows))
