"""Slips in what is handed over as μ and log σ²."""

from __future__ import annotations

import torch

from vaelib.diagnosis.facts import LIKELY, Facts, Finding
from vaelib.diagnosis.slips import evidence, middle, no_noise


def one_head(f: Facts) -> Finding | None:
    """μ and log σ² from the same layer."""
    mu, logvar = f.kept
    if not f.active.any() or not torch.allclose(mu, logvar, rtol=1e-4, atol=1e-6):
        return None
    return Finding(
        "same_head",
        "μ and log σ² are the same numbers",
        f"in all of {len(mu)} rows",
        "Give the encoder two last layers, or one of twice the width that is split in two.",
        "variational-autoencoder",
    )


def swapped(f: Facts) -> Finding | None:
    """(logvar, mu) handed over as (mu, logvar)."""
    mu, logvar = f.kept
    if f.probe is not None:
        better = f.probe.other_way - f.probe.whole
        if not (better > 5 and better > 0.05 * abs(f.probe.whole)):
            return None
        return Finding(
            "swapped",
            "μ and log σ² are swapped",
            f"decoded from what is reported as log σ², log P(x|z) is {better:.3g} nats higher",
            "Check the order in which encode returns them.",
            "sparsity",
        )
    law = logvar.var(0, correction=0) + mu.exp().mean(0)
    negative = mu.mean(0) < -0.5
    if not (negative.any() and (f.law - 1).abs().median() > 0.3 and middle(law - 1) < 0.15):
        return None
    if not (logvar.mean(0).abs() < 0.5 * logvar.std(0) + 0.2).float().mean() > 0.7:
        return None
    return Finding(
        "swapped",
        "μ and log σ² look swapped",
        f"Var of the second + mean exp of the first is {law.median():.2f} in the median, as the "
        f"law of variances has it; the other way round {f.law.median():.2g}",
        "Check the order in which encode returns them.",
        "sparsity",
        sure=LIKELY,
    )


def variance_as_logvar(f: Facts) -> Finding | None:
    """σ² handed over as log σ²: it is never negative."""
    if not (f.lowest >= 0).all():
        return None
    law = f.var_mu + f.logvar_mean
    dead = f.var_mu < 0.01
    is_variance = middle(law - 1) < 0.25 and (f.logvar_mean[dead] > 0.5).all()
    if is_variance:
        return Finding(
            "variance_as_logvar",
            "what is reported as log σ² is σ² itself",
            f"it is never negative ({f.lowest.min():.2g} at least), and Var μ + its mean is "
            f"{law.median():.2f} in the median",
            "Hand over its logarithm, or pass it as variance= (spread='variance' with encode).",
            "questions",
            sure=LIKELY,
        )
    if not f.speaking.any() or (f.highest.max() == 0 and no_noise(f) is not None):
        return None  # it went there of itself
    return Finding(
        "variance_at_least_one",
        "log σ² is never negative: no variable can have less noise than the prior",
        f"its smallest value is {f.lowest.min():.2g}, over all variables and rows; {evidence(f)}",
        "A ReLU, softplus or sigmoid behind the layer of log σ² does this, and a σ not learnt. "
        "Leave the layer linear, or take the logarithm of a softplus for log σ².",
        "questions",
        sure=LIKELY,
    )
