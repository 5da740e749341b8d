"""What concerns the whole model: broken codes, total collapse, the weight of the KL."""

from __future__ import annotations

import math

from vaelib.diagnosis.facts import LIKELY, NAT, POSSIBLE, Facts, Finding, listed, which


def broken(f: Facts) -> Finding | None:
    """NaN or infinity."""
    bad = f.broken > 0
    if not bad.any():
        return None
    return Finding(
        "not_finite",
        f"{int(bad.sum())} of {len(bad)} variables have codes that are NaN or infinite",
        f"{int(f.broken.max())} of {f.rows + int(f.broken.max())} rows at most, variables "
        f"{listed(bad)}",
        "Lower the learning rate, clip the gradient, or keep log σ² in a range such as −30 to 20. "
        "All numbers here leave these rows out.",
        "questions",
        variables=which(bad),
    )


def exploded(f: Facts) -> Finding | None:
    """log σ² so large that its exponential is near the end of float32."""
    far = (f.highest > 20) | (f.kl > 1e4)
    if not far.any():
        return None
    return Finding(
        "exploded",
        f"the codes of {int(far.sum())} variables explode",
        f"log σ² up to {f.highest.max():.3g}, KL up to {f.kl.max():.3g} nats, variables "
        f"{listed(far)}",
        "A KL with the wrong sign does this, or too large a learning rate. Check the sign, then "
        " lower the rate or clip log σ².",
        "questions",
        variables=which(far),
    )


def wrong_sign(f: Facts) -> Finding | None:
    """A loss that rewards a large KL."""
    w = f.weight
    if w is None or not (w.beta < 0 or (w.fits < -0.5)):
        return None
    return Finding(
        "kl_sign",
        "the loss rewards the KL instead of charging it",
        f"weight of the KL by the gradient of the loss: {w.beta:.3g}",
        "Change its sign: the loss is −log P(x|z) + KL.",
        "kl-derived",
    )


def wrong_kl(f: Facts) -> Finding | None:
    """A loss with another KL than that of N(μ, σ²) to N(0, I)."""
    w = f.weight
    if w is None or w.beta < 0 or (w.beta == 0 and w.by_logvar == 0):
        return None
    ratio = w.by_logvar / w.beta if math.isfinite(w.by_logvar) and w.beta else 1.0
    if w.fits > 0.99 and 0.8 < ratio < 1.25:
        return None
    return Finding(
        "kl_formula",
        "the KL in the loss is not that of N(μ, exp(logvar)) to N(0, I)",
        f"by μ it has the weight {w.beta:.3g}, by log σ² {w.by_logvar:.3g}; cosine with the right "
        f"gradient {w.fits:.2f}",
        "It is ½ Σ (μ² + σ² − log σ² − 1). Look for log σ in the place of log σ², a missing term, "
        "or a missing half. Free bits and other priors show here too, and then it is meant so.",
        "kl-derived",
        sure=LIKELY,
    )


def no_code_at_all(f: Facts) -> Finding | None:
    """Every variable dead, and why."""
    p = f.probe
    if f.active.any() or (p is not None and p.whole > p.without + NAT):
        return None
    beta = f.weight.beta if f.weight else math.nan
    evidence = f"largest Var μ {f.var_mu.max():.2g}, KL {f.kl.sum():.2g} nats in all"
    what = f"total collapse: none of the {len(f.kl)} variables says anything"
    if beta > 2:
        return Finding(
            "collapse_weight",
            what + ", and the loss weighs the KL far too much",
            f"{evidence}; the loss implies β = {beta:.3g}",
            "Sum log P(x|z) over pixels and the KL over variables, and take the same mean over the "
            "batch of both. A mean over the pixels divides by their number: that is the β.",
            "questions",
        )
    if f.linear_count == 0:
        return Finding(
            "collapse_variance",
            what + ", as the optimum has it: the decoder's variance stands above the spectrum",
            f"{evidence}; βη² = {f.water:.3g} is above every eigenvalue of the data",
            "Lower η² (a decoder that learns its variance finds the mean squared error) or β, or "
            "scale the data.",
            "linear-case",
        )
    if p is not None and p.without > p.baseline + max(1.0, 0.05 * abs(p.baseline)):
        return Finding(
            "collapse_decoder",
            what + ", and the decoder does well without one",
            f"{evidence}; log P(x) without z is {p.without:.4g} nats, that of the best constant "
            f"output {p.baseline:.4g}",
            "The decoder sees what it should learn through z: its own past outputs or a condition. "
            "Weaken or hide that, or charge the KL less at first.",
            "questions",
            sure=LIKELY,
        )
    count = (
        ""
        if f.linear_count is None
        else f"; a linear VAE on these data would keep {f.linear_count}"
    )
    return Finding(
        "collapse_training",
        what + ", though the data have something to say",
        evidence + count,
        "Pass loss= to see which β it implies. If that is 1: does the gradient reach the encoder "
        "(no detach between encoder and decoder)? Start with a small β and raise it.",
        "hysteresis",
        sure=LIKELY if f.linear_count else POSSIBLE,
    )


def weight(f: Facts) -> Finding | None:
    """A β far from 1."""
    w = f.weight
    if w is None or w.beta < 0 or not f.active.any() or 0.66 < w.beta < 1.5 or f.unit_unknown:
        return None
    if w.beta == 0 and w.by_logvar != 0:
        return None
    large = w.beta > 1
    return Finding(
        "weight",
        f"the loss weighs the KL with β = {w.beta:.3g}",
        f"gradient of the loss by μ {w.beta:.3g} times that of the KL, where log P(x|z) has 1; "
        f"{int(f.active.sum())} of {len(f.kl)} variables are active",
        (
            "If you did not choose it: a mean over pixels divides log P(x|z) by their number. "
            if large
            else "If you did not choose it: the KL is divided once too often, by the batch or by "
            "the number of variables. "
        )
        + "Sum both, then take the mean over the batch of both.",
        "questions",
        is_fault=not 0.1 < w.beta < 10,
    )


def near_deterministic(f: Facts) -> Finding | None:
    """σ → 0: an autoencoder in all but name."""
    sharp = f.active & (f.sigma2 < 1e-3 * f.var_mu)
    if not (f.active.any() and sharp.sum() * 2 > f.active.sum()):
        return None
    scale = 1 / f.var_mu[f.active].mean().sqrt()
    return Finding(
        "near_deterministic",
        f"{int(sharp.sum())} of {int(f.active.sum())} active variables hardly have any noise: this "
        "is an autoencoder in all but name",
        f"σ² is {(f.sigma2 / f.var_mu)[sharp].median():.1g} of Var μ in the median",
        "The KL weighs next to nothing, as in the first stage of latent diffusion. Then multiply "
        f"the codes by {scale:.3g} to give them unit variance. If you meant a VAE, raise β to 1. "
        "KL near 0 and Var μ + σ² = 1 are no criteria here.",
        "questions",
        variables=which(sharp),
    )
