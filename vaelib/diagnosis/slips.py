"""Slips in the noise: what the decoder was trained with is not what the encoder reports.

Two laws hold for a trained VAE. Rescaling a variable costs nothing but KL, so Var μ + mean σ² = 1
[Asperti 2019]. And σ² is what the decoder stands: to be drawn instead of being μ costs the variable
½ (1 − σ²) nats. If what is reported as log σ² is something else, both fail; and they hold again for
the σ² that was meant. That tells which slip it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelib.diagnosis.findings import CERTAIN, LIKELY, Facts, Finding, listed

# A sum is off if it differs from 1 by this. In correct networks that have finished training it
# differs by less than 0.1; after one epoch by 0.5 and more, but unlike a slip does.
OFF = 0.1
# The cost of noise is off if it is so many times what the law says. Correct networks of all lengths
# of training have 0.6 to 1.6.
TIMES = 2.5


def noise_ratio(f: Facts) -> float | None:
    """What noise costs the variables that speak, times what it should cost."""
    if f.probe is None or not f.speaking.any():
        return None
    expected = 0.5 * (1 - f.sigma2[f.speaking]).clamp(min=0).sum()
    return (f.probe.noise_cost[f.speaking].sum() / (expected + 0.05)).item()


def _suspicious(f: Facts) -> bool:
    """Whether the decoder cannot stand the noise; by the sums alone where there is no decoder."""
    ratio = noise_ratio(f)
    if ratio is not None:
        return ratio > TIMES
    return bool(((f.law[f.speaking] - 1).abs() > OFF).float().mean() > 0.7)


def _evidence(f: Facts) -> str:
    ratio = noise_ratio(f)
    law = f.law[f.speaking]
    words = f"Var μ + mean σ² is {law.min():.2f} to {law.max():.2f} in the variables that speak"
    if ratio is not None:
        assert f.probe is not None
        cost = f.probe.noise_cost[f.speaking].sum()
        words += f"; drawing them costs {cost:.3g} nats, {ratio:.2g} times what the law says"
    return words


def _spread(values: Tensor) -> float:
    """How far the middle of some values is from 0."""
    return values.abs().median().item()


def one_head(f: Facts) -> Finding | None:
    """μ and log σ² from the same layer."""
    mu, logvar = f.kept
    if not torch.allclose(mu, logvar, rtol=1e-4, atol=1e-6):
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
    law = logvar.var(0, correction=0) + mu.exp().mean(0)
    negative = mu.mean(0) < -0.5
    if not (negative.any() and (f.law - 1).abs().median() > 0.3 and _spread(law - 1) < 0.15):
        return None
    if not (logvar.mean(0).abs() < 0.5 * logvar.std(0) + 0.2).float().mean() > 0.7:
        return None
    return Finding(
        "swapped",
        "μ and log σ² look swapped",
        f"Var of the second + mean exp of the first is {law.median():.2f} in the median, as the law "
        f"of variances has it; the other way round {f.law.median():.2g}",
        "Check the order in which encode returns them.",
        "sparsity",
        sure=LIKELY,
    )


def variance_as_logvar(f: Facts) -> Finding | None:
    """σ² handed over as log σ²: it is never negative."""
    if not (f.lowest >= 0).all() or f.highest.max() == 0:
        return None
    law = f.var_mu + f.logvar_mean
    dead = f.var_mu < 0.01
    is_variance = _spread(law - 1) < 0.25 and (f.logvar_mean[dead] > 0.5).all()
    if is_variance:
        return Finding(
            "variance_as_logvar",
            "what is reported as log σ² is σ² itself",
            f"it is never negative ({f.lowest.min():.2g} at least), and Var μ + its mean is "
            f"{law.median():.2f} in the median; {_evidence(f)}",
            "Hand over its logarithm, or pass it as variance= (spread='variance' with encode).",
            "questions",
            sure=LIKELY,
        )
    return Finding(
        "variance_at_least_one",
        "log σ² is never negative: no variable can have less noise than the prior",
        f"its smallest value is {f.lowest.min():.2g}, over all variables and rows; {_evidence(f)}",
        "A ReLU, softplus or sigmoid behind the layer of log σ² does this. Leave the layer linear, or "
        "take log of softplus and call it log σ².",
        "questions",
        sure=LIKELY,
    )


def no_noise(f: Facts) -> Finding | None:
    """z = μ in training: log σ² is free, goes to 0 and stays there."""
    idle = (f.sigma2 > 0.8) & (f.logvar_std < 0.3) & (f.var_mu > 0.01)
    loud = f.var_mu > 0.01
    if not loud.any() or not idle[loud].float().mean() > 0.8:
        return None
    if f.probe is not None:
        # A right network just begun has σ² near 1 too, but no decoder that hangs on μ.
        needs = f.probe.whole - f.probe.without
        lost = f.probe.whole - f.probe.drawn
        if needs < 5 or lost < 0.5 * needs:
            return None
        evidence = f"z = μ is worth {needs:.3g} nats to the decoder, and noise takes {lost:.3g} of them"
    elif not (f.var_mu > 0.3).any():
        return None
    else:
        evidence = f"Var μ is up to {f.var_mu.max():.2f} while the noise is that of the prior"
    return Finding(
        "no_noise",
        "the variables speak with σ² = 1, the same for each image: z was not sampled in training",
        f"mean σ² {f.sigma2[loud].min():.2f} to {f.sigma2[loud].max():.2f} in {int(loud.sum())} "
        f"variables; {evidence}",
        "Train with z = μ + σ ε, ε ~ N(0, 1) for each image and variable. See that the sampler uses "
        "σ = exp(½ logvar), and that it is not switched off by eval().",
        "vicious-cycle",
        sure=CERTAIN if f.probe is not None else LIKELY,
        variables=tuple(loud.nonzero().flatten().tolist()),
    )


def log_sigma(f: Facts) -> Finding | None:
    """log σ in the place of log σ², in the sampler or in what is handed over."""
    speaks = f.speaking
    if not speaks.any() or not _suspicious(f):
        return None
    # In the sampler alone the law becomes 2 Var μ + mean σ² = 1, in both it is that of σ⁴.
    sampler = 2 * f.var_mu + f.sigma2 - 1
    handed = f.var_mu + f.sigma4 - 1
    usual = _spread(f.law[speaks] - 1)
    best = min(_spread(sampler[speaks]), _spread(handed[speaks]))
    enough = int(speaks.sum()) >= 3
    if f.probe is None:
        if not (enough and best < 0.04 and usual > 2.5 * best):
            return None
    else:
        # With the noise squared, is the cost what it should be? In units of the law.
        squared = 0.5 * (1 - f.sigma4[speaks]).sum()
        cost = (f.probe.noise_cost * f.sigma4 / f.sigma2)[speaks].sum() / squared
        if not (0.2 < cost < 1.7):
            return None
    which = "z = μ + exp(logvar) ε" if _spread(sampler[speaks]) < _spread(handed[speaks]) else "log σ"
    return Finding(
        "log_sigma",
        "what is reported as log σ² is log σ: in training the noise was exp(logvar) and not "
        "exp(½ logvar)",
        f"{_evidence(f)}; with σ⁴ in the place of σ² both laws are met far better (it looks like "
        f"{which})",
        "In the sampler take std = exp(0.5 * logvar). If the encoder means log σ, put 2 log σ into "
        "the KL, and hand it over as std=exp(…).",
        "questions",
        sure=CERTAIN if f.probe is not None else LIKELY,
        variables=tuple(speaks.nonzero().flatten().tolist()),
    )


def other_noise(f: Facts) -> Finding | None:
    """The decoder cannot stand the noise that the encoder reports, and no known slip explains it."""
    ratio = noise_ratio(f)
    if ratio is None or ratio < TIMES or f.probe is None:
        return None
    if f.probe.noise_cost[f.speaking].sum() < 2:
        return None
    return Finding(
        "other_noise",
        "the decoder was not trained with the noise that the encoder reports",
        f"{_evidence(f)}; variables {listed(f.speaking)}",
        "Compare the sampler with what encode returns: N(0, 1) noise, one draw for each image and "
        "variable, times exp(½ logvar).",
        "questions",
        sure=LIKELY,
        variables=tuple(f.speaking.nonzero().flatten().tolist()),
    )


def unfinished(f: Facts) -> Finding | None:
    """The sums are off, and the noise is right: more training brings them down."""
    ratio = noise_ratio(f)
    off = (f.law - 1).abs() > 0.15
    off &= f.speaking
    if not off.any() or (ratio is not None and ratio > TIMES):
        return None
    backing = "" if ratio is None else f"; noise costs {ratio:.2g} times what the law says, as it should"
    return Finding(
        "unfinished",
        f"the training has not finished: {int(off.sum())} variables are off the law of variances",
        f"Var μ + mean σ² from {f.law[off].min():.2f} to {f.law[off].max():.2f}{backing}",
        "Train on and look again: the sums come to 1, while those of a slip stay where they are.",
        "kl-derived",
        sure=LIKELY,
        is_fault=False,
        variables=tuple(off.nonzero().flatten().tolist()),
    )
