"""Slips in the noise: what the decoder was trained with is not what the encoder reports.

Two laws hold for a trained VAE. Rescaling a variable costs nothing but KL, so Var μ + mean σ² = 1
[Asperti 2019]. And σ² is what the decoder stands: to be drawn instead of being μ costs the variable
½ (1 − σ²) nats. If what is reported as log σ² is something else, both fail; and they hold again for
the σ² that was meant. That tells which slip it is.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vaelib.diagnosis.facts import CERTAIN, LIKELY, NAT, POSSIBLE, Facts, Finding, found

# What noise costs is off if it is so many times what the laws say. Correct networks have 0.8 to
# 1.3, after one epoch too.
TIMES = 1.8


def noise_ratio(f: Facts) -> float | None:
    """What noise costs the variables that speak, times ½ Σ (1 − σ²): the β that the codes imply."""
    if f.probe is None or not f.speaking.any():
        return None
    expected = 0.5 * f.positions * (1 - f.sigma2[f.speaking]).clamp(min=0).sum()
    return (f.probe.noise_cost[f.speaking].sum() / (expected + 0.01)).item()


def _surplus(f: Facts) -> float | None:
    """The same by the β of the loss: 1 if the noise of training is what the encoder reports."""
    ratio = noise_ratio(f)
    known = f.weight is not None and f.weight.beta > 0
    return ratio / f.weight.beta if ratio is not None and known and f.weight else ratio


def laws(f: Facts) -> str:
    """The law, and what noise costs, in words."""
    ratio, law = noise_ratio(f), f.law[f.speaking]
    words = f"Var μ + mean σ² is {law.min():.2f} to {law.max():.2f} in the variables that speak"
    if ratio is not None and f.probe is not None:
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
        reason = f"z = μ is worth {needs:.3g} nats to the decoder, and noise takes {lost:.3g} of it"
    elif (f.var_mu > 0.3).any():
        reason = f"Var μ is up to {f.var_mu.max():.2f} while the noise is that of the prior"
    else:
        return None
    sure = CERTAIN if f.probe is not None else LIKELY
    low, high = f.sigma2[loud].min(), f.sigma2[loud].max()
    return found("no_noise", sure, loud, low=low, high=high, reason=reason)


def draw_for_mean(f: Facts) -> Finding | None:
    """A draw of z handed over as μ: its variance is that of the prior, in dead variables too."""
    if f.moved is not None and (f.moved > 1e-6 * f.var_mu).any():
        times = (f.moved / 2 / f.sigma2).median()  # two draws differ by twice their variance
        reason = f"asked twice, the encoder gives other numbers; their variance is {times:.2g} σ²"
        return found("draw_for_mean", variables=f.moved > 1e-6 * f.var_mu, reason=reason)
    # Var μ is near 1 where σ² is small, and nowhere else; z is everywhere.
    alike = (f.var_mu - 1).abs() < 0.15
    if len(alike) < 3 or not alike.all() or not (f.sigma2 > 0.5).any():
        return None
    reason = (
        f"their variance is near 1 in all variables, where mean σ² is {f.sigma2.min():.2g} and "
        f"where it is {f.sigma2.max():.2g}: so it is with z, while Var μ is 1 − σ²"
    )
    return found("draw_for_mean", LIKELY, reason=reason)


def clamped(f: Facts) -> Finding | None:
    """A clamp or a tanh behind log σ²: several variables end at one value, and often."""
    logvar = f.kept[1]
    for ends, end, less in (
        (f.lowest, f.lowest.min(), "less"),
        (f.highest, f.highest.max(), "more"),
    ):
        there = (logvar - end).abs() < 0.02
        # Free variables end apart, and each with a thin tail.
        stops = ((ends - end).abs() < 0.02) & (there.double().mean(0) > 0.02)
        # One σ for all is no bound, and a variable that is silent for some images has σ² = 1 there.
        if stops.sum() < 3 or f.logvar_std.max() < 0.02 or end.abs() < 0.1:
            continue
        share = 100 * there[:, stops].double().mean()
        return found("clamped", LIKELY, stops, less=less, end=end, sigma2=end.exp(), share=share)
    return None


def log_sigma(f: Facts) -> Finding | None:
    """log σ in the place of log σ², in the sampler or in what is handed over."""
    surplus, speaks = _surplus(f), f.speaking
    if surplus is None or surplus < TIMES or int(speaks.sum()) < 3 or f.probe is None:
        return None
    cost, sigma2, sigma4 = f.probe.noise_cost[speaks], f.sigma2[speaks], f.sigma4[speaks]
    cost = cost.clamp(min=1e-3) / f.positions
    # What one variable's noise costs, times what it should: with σ², and with σ⁴ in its place.
    as_told = (cost / (0.5 * (1 - sigma2)).clamp(min=0.02)).log()
    squared = (cost * sigma2 / (0.5 * (1 - sigma4)).clamp(min=0.02)).log()
    # A weight of the KL or a noise of another size makes one factor for all variables.
    if squared.std() > 0.7 * as_told.std() or not 0.2 < squared.median().exp() < TIMES:
        return None
    span: dict[str, Any] = {"least": as_told.min().exp(), "most": as_told.max().exp()}
    times = squared.median().exp()
    return found("log_sigma", LIKELY, speaks, laws=laws(f), squared=times, **span)


def mean_not_priced(f: Facts) -> Finding | None:
    """Nothing holds μ, while σ² is as it should be: the KL lacks its μ²."""
    ratio, law, sigma2 = noise_ratio(f), f.law[f.speaking], f.sigma2[f.speaking]
    if not len(law) or law.median() < 3 or sigma2.median() < 0.1:
        return None
    if ratio is not None and not 1 / TIMES < ratio < TIMES:
        return None
    return found("mean_not_priced", LIKELY, laws=laws(f), sigma2=sigma2.median())


def other_noise(f: Facts) -> Finding | None:
    """The noise of training is not the one that the encoder reports, or β is not 1."""
    surplus = _surplus(f)
    if surplus is None or 1 / TIMES < surplus < TIMES or f.probe is None or f.one_sigma:
        return None
    cost = f.probe.noise_cost[f.speaking].sum().item()
    if max(cost, cost / surplus) < 0.3:
        return None
    if f.weight is not None:
        return found("other_noise", LIKELY, laws=laws(f), beta=f.weight.beta)
    if f.unit_unknown:
        return None
    less = "more" if surplus < 1 else "less"
    return found("weight_by_noise", POSSIBLE, laws=laws(f), beta=surplus, less=less)


def unfinished(f: Facts) -> Finding | None:
    """The sums are off, and the noise is right: more training brings them down."""
    ratio, surplus = noise_ratio(f), _surplus(f)
    off = f.speaking & ((f.law - 1).abs() > 0.15)
    right = surplus is None or 1 / TIMES < surplus < TIMES
    if not off.any() or not (right or f.one_sigma):
        return None
    cause, backing = "the training has not finished", ""
    if not right:
        cause += ", or one σ for all cannot do better"
    elif ratio is None:
        cause += ", or σ is not what it should be"
    else:
        backing = f"; to be drawn costs {ratio:.2g} times what the law says, so the noise is right"
    sure = LIKELY if ratio is not None else POSSIBLE
    low, high = f.law[off].min(), f.law[off].max()
    return found("unfinished", sure, off, cause=cause, low=low, high=high, backing=backing)
