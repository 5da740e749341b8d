"""What concerns the whole model: broken codes, total collapse, the weight of the KL."""

from __future__ import annotations

import math
from typing import Any

from vaelib.diagnosis.facts import LIKELY, NAT, POSSIBLE, Facts, Finding, found

# A KL that weighs less is none, also where the unit is not known: βη² = η² = 0.003² is finer than
# one of 256 grey levels.
FREE = 1e-5


def broken(f: Facts) -> Finding | None:
    """NaN or infinity."""
    bad, worst = f.broken > 0, int(f.broken.max())
    if not bad.any():
        return None
    numbers: dict[str, Any] = {"all": len(bad), "worst": worst, "rows": f.rows + worst}
    return found("not_finite", variables=bad, **numbers)


def exploded(f: Facts) -> Finding | None:
    """log σ² so large that its exponential is near the end of float32."""
    far = (f.highest > 20) | (f.kl > 1e4)
    if not far.any():
        return None
    return found("exploded", variables=far, logvar=f.highest.max(), kl=f.kl.max())


def broken_output(f: Facts) -> Finding | None:
    """A decoder that returns NaN, or an outcome that it holds for impossible."""
    p = f.probe
    if p is None or p.broken == 0:
        return None
    return found("output_not_finite", bad=p.broken, rows=p.images)


def wrong_sign(f: Facts) -> Finding | None:
    """A loss that rewards a large KL."""
    w = f.weight
    if w is None or not (w.beta < 0 or w.fits < -0.5):
        return None
    return found("kl_sign", beta=w.beta)


def wrong_kl(f: Facts) -> Finding | None:
    """A loss with another KL than that of N(μ, σ²) to N(0, I)."""
    w = f.weight
    if w is None or w.beta < 0 or (w.beta == 0 and w.by_logvar == 0):
        return None
    ratio = w.by_logvar / w.beta if math.isfinite(w.by_logvar) and w.beta else 1.0
    if w.fits > 0.99 and 0.8 < ratio < 1.25:
        return None
    return found("kl_formula", LIKELY, beta=w.beta, by_logvar=w.by_logvar, fits=w.fits)


def other_likelihood(f: Facts) -> Finding | None:
    """A loss whose reconstruction term is not that of the likelihood."""
    w = f.weight
    # The same likelihood gives 1 but for rounding, in 48 correct networks; two sigmoids gave 0.3.
    if w is None or not w.fits_output < 0.98:
        return None
    return found("other_likelihood", LIKELY, cosine=w.fits_output)


def no_code_at_all(f: Facts) -> Finding | None:
    """Every variable dead, and why."""
    p = f.probe
    if f.active.any() or (p is not None and p.whole > p.without + NAT):
        return None
    beta = f.weight.beta if f.weight else math.nan
    numbers: dict[str, Any] = {"all": len(f.kl), "var_mu": f.var_mu.max(), "kl": f.kl.sum()}
    if beta > 2:
        return found("collapse_weight", beta=beta, **numbers)
    if f.linear_count == 0:
        return found("collapse_variance", water=f.water, **numbers)
    if p is not None and p.without > p.baseline + max(1.0, 0.05 * abs(p.baseline)):
        numbers |= {"without": p.without, "baseline": p.baseline}
        return found("collapse_decoder", LIKELY, **numbers)
    sure = LIKELY if f.linear_count else POSSIBLE
    return found("collapse_training", sure, linear=f.linear_words, **numbers)


def weight(f: Facts) -> Finding | None:
    """A β far from 1."""
    w = f.weight
    if w is None or w.beta < 0 or not f.active.any() or 0.66 < w.beta < 1.5 or f.unit_unknown:
        return None
    if w.beta == 0 and w.by_logvar != 0:
        return None
    return found("weight", beta=w.beta, active=int(f.active.sum()), all=len(f.kl))


def near_deterministic(f: Facts) -> Finding | None:
    """σ → 0: an autoencoder in all but name."""
    sharp, active = f.active & (f.sigma2 < 1e-3 * f.var_mu), int(f.active.sum())
    free, price = f.weight is not None and 0 < f.weight.beta < FREE, ""
    if not active or not (free or sharp.sum() * 2 > active):
        return None
    if free and f.weight is not None:  # σ² may still be on its way down
        sharp, price = f.active, f"; the loss implies β = {f.weight.beta:.2g}"
    scale, share = f.var_mu[f.active].mean().rsqrt(), (f.sigma2 / f.var_mu)[sharp].median()
    numbers: dict[str, Any] = {"active": active, "share": share, "scale": scale, "price": price}
    return found("near_deterministic", variables=sharp, **numbers)
