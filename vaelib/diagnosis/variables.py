"""What single variables do, and how far the estimates can be trusted."""

from __future__ import annotations

import math

from vaelib.diagnosis.facts import ACTIVE, LIKELY, NAT, Facts, Finding, listed, which


def lagging(f: Facts) -> Finding | None:
    """The encoder is behind its decoder."""
    p = f.probe
    if p is None or not math.isfinite(p.gap):
        return None
    kl = f.kl.sum().item()
    if not (p.gap > 2 and p.gap > 0.5 * kl and p.kl_then > 1.3 * kl):
        return None
    return Finding(
        "lagging_encoder",
        "the encoder is behind its decoder, which could use codes that the encoder does not find",
        f"a few gradient steps on μ and σ of each image add {p.gap:.3g} nats of ELBO, and the KL "
        f"goes from {kl:.3g} to {p.kl_then:.3g}",
        "Take more steps of the encoder for each of the decoder, above all early [He et al. 2019], "
        "or a larger encoder.",
        "hysteresis",
        sure=LIKELY,
    )


def redundant(f: Facts) -> Finding | None:
    """Each alone dispensable, together not."""
    p = f.probe
    if p is None:
        return None
    alone = p.gain[p.quiet].clamp(min=0).sum().item()
    active = f.active & p.quiet
    if not (int(active.sum()) >= 2 and p.quiet_together > 3 and p.quiet_together > 3 * alone):
        return None
    return Finding(
        "redundant",
        f"{int(active.sum())} variables are dispensable one by one, and not together: they say the "
        "same",
        f"each is worth less than {NAT:g} nat, their sum is {alone:.2g}; replaced together they "
        f"cost {p.quiet_together:.3g} nats; variables {listed(active)}",
        "Do not remove them by their gains alone. Dropout on z and free bits lead there.",
        "bug-or-feature",
        variables=which(active),
    )


def idle(f: Facts) -> Finding | None:
    """Active, and the decoder does not listen."""
    p = f.probe
    if p is None:
        return None
    deaf = f.active & (p.gain < NAT)
    if not deaf.any() or (p.quiet_together > 3 and p.quiet_together > 3 * p.gain[p.quiet].sum()):
        return None
    return Finding(
        "active_unused",
        f"{int(deaf.sum())} variables are active but not used: the encoder speaks, the decoder "
        "hardly listens",
        f"Var μ up to {f.var_mu[deaf].max():.2g}, gain at most {p.gain[deaf].max():.2g} nats; "
        f"variables {listed(deaf)}",
        "Count used variables by the gain and not by Var μ. If training goes on, these die.",
        "sparsity",
        is_fault=False,
        variables=which(deaf),
    )


def constant(f: Facts) -> Finding | None:
    """A mean that is not 0 and says nothing: KL paid for a constant."""
    wasted = 0.5 * f.mean.square()
    stuck = ~f.active & (wasted > 0.1)
    if not stuck.any():
        return None
    return Finding(
        "constant_mean",
        f"{int(stuck.sum())} variables are constant, and not at 0",
        f"mean μ up to {f.mean[stuck].abs().max():.2g} with Var μ below {ACTIVE:g}: "
        f"{wasted[stuck].sum():.2g} nats of KL for what never changes; variables {listed(stuck)}",
        "They are dead, though with 0 in their place the likelihood falls: the decoder takes them "
        "for a bias. Measure gains by the mean. More training ends it.",
        "sparsity",
        variables=which(stuck),
    )


def one_sided(f: Facts) -> Finding | None:
    """μ that is never negative."""
    if f.rows < 50 or not f.active.any() or not (f.least_mu >= 0).all():
        return None
    return Finding(
        "mean_not_negative",
        "μ is never negative, in no variable: half of the prior is out of reach",
        f"its smallest value is {f.least_mu.min():.2g} over {f.rows:,} rows, and its mean up to "
        f"{f.mean.max():.2g}, for which the KL charges",
        "A ReLU, softplus or sigmoid behind the layer of μ does this. Leave that layer linear.",
        "variational-autoencoder",
        sure=LIKELY,
    )


def dead(f: Facts) -> Finding | None:
    """Some variables dead, others not: what the book is about."""
    if f.active.all() or not f.active.any():
        return None
    silent = ~f.active
    count = ""
    if f.linear_count is not None:
        count = f"; a linear VAE on these data would keep {f.linear_count}"
    return Finding(
        "dead",
        f"{int(silent.sum())} of {len(silent)} variables are dead",
        f"Var μ below {ACTIVE:g}, KL {f.kl[silent].sum():.2g} nats in all{count}; variables "
        f"{listed(silent)}",
        "No harm: the model takes what it can use. If you want more of them, start with a small β "
        "and raise it, or take fewer layers.",
        "bug-or-feature",
        is_fault=False,
        variables=which(silent),
    )


def few_rows(f: Facts) -> Finding | None:
    """Too few rows for the estimates."""
    if f.images >= 500:
        return None
    return Finding(
        "few_rows",
        f"{f.images} rows are few",
        f"a variance is known to {100 * math.sqrt(2 / f.images):.0f} % at best",
        "Take 1,000 rows or more, in random order.",
        "sparsity",
        is_fault=False,
    )


def ceiling(f: Facts) -> Finding | None:
    """A mutual information that says nothing."""
    d = f.decomposition
    if d is None:
        return None
    top = math.log(len(f.kept[0]))
    if d.mutual_information < 0.95 * top:
        return None
    return Finding(
        "information_ceiling",
        "the mutual information is at its ceiling and says nothing",
        f"{d.mutual_information:.3g} nats of log {len(f.kept[0]):,} = {top:.3g} that can be seen",
        "The true value is this or more, at most the KL. With more rows the ceiling rises slowly.",
        "marginal-posterior",
        is_fault=False,
    )
