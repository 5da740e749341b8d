"""Slips in the noise: what the decoder was trained with is not what the encoder reports.

Two laws hold for a trained VAE. Rescaling a variable costs nothing but KL, so Var μ + mean σ² = 1
[Asperti 2019]. And σ² is what the decoder stands: to be drawn instead of being μ costs the variable
½ (1 − σ²) nats. If what is reported as log σ² is something else, both fail; and they hold again for
the σ² that was meant. That tells which slip it is.
"""

from __future__ import annotations

from torch import Tensor

from vaelib.diagnosis.facts import CERTAIN, LIKELY, NAT, POSSIBLE, Facts, Finding, which

# What noise costs is off if it is so many times what the laws say. Correct networks have 0.8 to
# 1.3, after one epoch too.
TIMES = 1.8


def noise_ratio(f: Facts) -> float | None:
    """What noise costs the variables that speak, times ½ Σ (1 − σ²): the β that the codes imply."""
    if f.probe is None or not f.speaking.any():
        return None
    expected = 0.5 * (1 - f.sigma2[f.speaking]).clamp(min=0).sum()
    return (f.probe.noise_cost[f.speaking].sum() / (expected + 0.01)).item()


def _surplus(f: Facts) -> float | None:
    """The same by the β of the loss: 1 if the noise of training is what the encoder reports."""
    ratio = noise_ratio(f)
    known = f.weight is not None and f.weight.beta > 0
    return ratio / f.weight.beta if ratio is not None and known and f.weight else ratio


def evidence(f: Facts) -> str:
    """The law, and what noise costs, in words."""
    ratio = noise_ratio(f)
    law = f.law[f.speaking]
    words = f"Var μ + mean σ² is {law.min():.2f} to {law.max():.2f} in the variables that speak"
    if ratio is not None:
        assert f.probe is not None
        cost = f.probe.noise_cost[f.speaking].sum()
        words += f"; drawing them costs {cost:.3g} nats, {ratio:.2g} times what the law says"
    return words


def middle(values: Tensor) -> float:
    """How far the middle of some values is from 0."""
    return values.abs().median().item()


def no_noise(f: Facts) -> Finding | None:
    """z = μ in training: log σ² is free, goes to 0 and stays there."""
    loud = f.active if f.probe is None else f.active | (f.probe.gain > NAT)
    idle = (f.sigma2 > 0.8) & (f.logvar_std < 0.3)
    if not loud.any() or not idle[loud].float().mean() > 0.8:
        return None
    if f.probe is not None:
        # A right network just begun has σ² near 1 too, but no decoder that hangs on μ.
        needs = f.probe.whole - f.probe.without
        lost = f.probe.whole - f.probe.drawn
        if needs < 5 or lost < 0.5 * needs:
            return None
        evidence = (
            f"z = μ is worth {needs:.3g} nats to the decoder, and noise takes {lost:.3g} of them"
        )
    elif not (f.var_mu > 0.3).any():
        return None
    else:
        evidence = f"Var μ is up to {f.var_mu.max():.2f} while the noise is that of the prior"
    return Finding(
        "no_noise",
        "the variables speak with σ² = 1, the same for each image: in training there was no noise, "
        "or none that counts",
        f"mean σ² {f.sigma2[loud].min():.2f} to {f.sigma2[loud].max():.2f} in {int(loud.sum())} "
        f"variables; {evidence}",
        "Train with z = μ + σ ε, ε ~ N(0, 1) for each image and variable. See that the sampler "
        "uses σ = exp(½ logvar), and that it is not switched off by eval().",
        "vicious-cycle",
        sure=CERTAIN if f.probe is not None else LIKELY,
        variables=which(loud),
    )


def log_sigma(f: Facts) -> Finding | None:
    """log σ in the place of log σ², in the sampler or in what is handed over."""
    surplus, speaks = _surplus(f), f.speaking
    if surplus is None or surplus < TIMES or int(speaks.sum()) < 3 or f.probe is None:
        return None
    cost, sigma2, sigma4 = f.probe.noise_cost[speaks], f.sigma2[speaks], f.sigma4[speaks]
    cost = cost.clamp(min=1e-3)
    # What one variable's noise costs, times what it should: with σ², and with σ⁴ in its place.
    as_told = (cost / (0.5 * (1 - sigma2)).clamp(min=0.02)).log()
    squared = (cost * sigma2 / (0.5 * (1 - sigma4)).clamp(min=0.02)).log()
    # A weight of the KL or a noise of another size makes one factor for all variables.
    if squared.std() > 0.7 * as_told.std() or not 0.2 < squared.median().exp() < TIMES:
        return None
    return Finding(
        "log_sigma",
        "what is reported as log σ² is log σ: in training the noise was exp(logvar) and not "
        "exp(½ logvar)",
        f"{evidence(f)}, from {as_told.min().exp():.2g} to {as_told.max().exp():.2g} times in "
        f"single variables; with σ⁴ for σ² it is {squared.median().exp():.2g} times",
        "In the sampler take std = exp(0.5 * logvar). If the encoder means log σ, put 2 log σ into "
        "the KL, and hand it over as std=exp(…).",
        "questions",
        sure=LIKELY,
        variables=which(speaks),
    )


def mean_not_priced(f: Facts) -> Finding | None:
    """Nothing holds μ, while σ² is as it should be: the KL lacks its μ²."""
    ratio, law = noise_ratio(f), f.law[f.speaking]
    if not len(law) or law.median() < 3 or f.sigma2[f.speaking].median() < 0.1:
        return None
    if ratio is not None and not 1 / TIMES < ratio < TIMES:
        return None
    return Finding(
        "mean_not_priced",
        "σ² is in the price and μ is not: the KL seems to lack its μ²",
        f"{evidence(f)}; the mean σ² is {f.sigma2[f.speaking].median():.2g}",
        "The KL is ½ Σ (μ² + σ² − log σ² − 1).",
        "kl-derived",
        sure=LIKELY,
    )


def other_noise(f: Facts) -> Finding | None:
    """The noise of training is not the one that the encoder reports, or β is not 1."""
    surplus = _surplus(f)
    if surplus is None or 1 / TIMES < surplus < TIMES or f.probe is None:
        return None
    cost = f.probe.noise_cost[f.speaking].sum().item()
    if max(cost, cost / surplus) < 0.3:
        return None
    if f.weight is not None:
        return Finding(
            "other_noise",
            "the noise of training is not the one that the encoder reports",
            f"{evidence(f)}, where the loss asks for {f.weight.beta:.2g}",
            "Compare the sampler with what encode returns: N(0, 1) noise, one draw for each image "
            "and variable, times exp(½ logvar).",
            "questions",
            sure=LIKELY,
        )
    if f.unit_unknown:
        return None
    less = "more" if surplus < 1 else "less"
    return Finding(
        "weight_by_noise",
        f"the KL was weighed as if with β = {surplus:.2g}, or the noise of training was {less} "
        "than the encoder reports",
        evidence(f),
        "Pass loss= to tell the two apart. β is not 1 if one of the two terms is a mean over "
        "pixels, variables or twice over the batch; the noise should be N(0, 1) exp(½ logvar).",
        "questions",
        sure=POSSIBLE,
    )


def unfinished(f: Facts) -> Finding | None:
    """The sums are off, and the noise is right: more training brings them down."""
    ratio = noise_ratio(f)
    off = (f.law - 1).abs() > 0.15
    off &= f.speaking
    surplus = _surplus(f)
    if not off.any() or (surplus is not None and not 1 / TIMES < surplus < TIMES):
        return None
    cause, backing = "the training has not finished, or σ is not what it should be", ""
    advice = (
        "Train on and look again: the sums come to 1, while those of a slip stay where they are."
    )
    if ratio is None:
        advice += " With decode and data the diagnosis tells the two apart."
    else:
        cause = "the training has not finished"
        backing = f"; to be drawn costs {ratio:.2g} times what the law says, so the noise is right"
    return Finding(
        "unfinished",
        f"{cause}: {int(off.sum())} variables are off the law of variances",
        f"Var μ + mean σ² from {f.law[off].min():.2f} to {f.law[off].max():.2f}{backing}",
        advice,
        "kl-derived",
        sure=LIKELY if ratio is not None else POSSIBLE,
        is_fault=False,
        variables=which(off),
    )
