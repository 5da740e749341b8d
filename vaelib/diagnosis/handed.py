"""Slips in what is handed over as μ and log σ²."""

from __future__ import annotations

from typing import Any

import torch

from vaelib.diagnosis.facts import LIKELY, Facts, Finding, found
from vaelib.diagnosis.slips import laws, middle, no_noise


def one_head(f: Facts) -> Finding | None:
    """μ and log σ² from the same layer."""
    mu, logvar = f.kept
    if not f.active.any() or not torch.allclose(mu, logvar, rtol=1e-4, atol=1e-6):
        return None
    return found("same_head", rows=len(mu))


def swapped(f: Facts) -> Finding | None:
    """(logvar, mu) handed over as (mu, logvar)."""
    mu, logvar = f.kept
    if f.probe is not None:
        better = f.probe.other_way - f.probe.whole
        if not (better > 5 and better > 0.05 * abs(f.probe.whole)):
            return None
        reason = "decoded from what is reported as log σ², log P(x|z) is {:.3g} nats higher"
        return found("swapped", reason=reason.format(better))
    law = logvar.var(0, correction=0) + mu.exp().mean(0)
    negative = mu.mean(0) < -0.5
    if not (negative.any() and (f.law - 1).abs().median() > 0.3 and middle(law - 1) < 0.15):
        return None
    if not (logvar.mean(0).abs() < 0.5 * logvar.std(0) + 0.2).float().mean() > 0.7:
        return None
    reason = "the law of variances gives {:.2g} in the median, and {:.2f} the other way round"
    return found("swapped", LIKELY, reason=reason.format(f.law.median(), law.median()))


def variance_as_logvar(f: Facts) -> Finding | None:
    """σ² or σ handed over as log σ²: it is never negative."""
    if not (f.lowest >= 0).all():
        return None
    lowest, squares = f.lowest.min(), f.logvar_mean.square() + f.logvar_std.square()
    readings = {
        ("σ²", "variance", ""): f.var_mu + f.logvar_mean,
        ("σ", "std", " square"): f.var_mu + squares,
    }
    # The law of variances tells which of the two it is.
    (quantity, name, square), law = min(readings.items(), key=lambda item: middle(item[1] - 1))
    if middle(law - 1) < 0.25 and (f.logvar_mean[~f.active] > 0.5).all():
        words: dict[str, Any] = {"quantity": quantity, "name": name, "square": square}
        return found("variance_as_logvar", LIKELY, lowest=lowest, law=law.median(), **words)
    if not f.speaking.any() or (f.highest.max() == 0 and no_noise(f) is not None):
        return None  # it went there of itself
    return found("variance_at_least_one", LIKELY, lowest=lowest, laws=laws(f))
