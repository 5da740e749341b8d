"""Which finding comes first, and which are the consequence of another."""

from __future__ import annotations

from vaelib.diagnosis import findings, handed, slips, variables
from vaelib.diagnosis.facts import Facts, Finding

ORDER = (
    findings.broken,
    findings.broken_output,
    findings.wrong_sign,
    findings.exploded,
    handed.one_head,
    slips.draw_for_mean,
    findings.other_likelihood,
    handed.swapped,
    handed.variance_as_logvar,
    slips.no_noise,
    findings.no_code_at_all,
    findings.wrong_kl,
    slips.log_sigma,
    slips.mean_not_priced,
    findings.weight,
    findings.near_deterministic,
    slips.clamped,
    slips.other_noise,
    variables.lagging,
    variables.redundant,
    variables.one_sided,
    variables.constant,
    variables.idle,
    slips.unfinished,
    variables.dead,
    variables.ceiling,
    variables.few_rows,
)
# What follows from a slip in the noise, or from no code at all, is not a finding of its own.
FOLLOWS = ("lagging_encoder", "unfinished", "active_unused")
NOISE = ("same_head", "swapped", "variance_as_logvar", "variance_at_least_one", "no_noise")
COLLAPSE = ("collapse_weight", "collapse_variance", "collapse_decoder", "collapse_training")
MISFIT = ("other_noise", "weight_by_noise")
EXPLAINED = {
    **dict.fromkeys((*NOISE, "log_sigma", "mean_not_priced", "clamped"), (*MISFIT, *FOLLOWS)),
    "same_head": ("draw_for_mean", *MISFIT, *FOLLOWS),
    "draw_for_mean": (*NOISE[1:], "log_sigma", "mean_not_priced", *MISFIT, *FOLLOWS),
    "other_likelihood": ("swapped", "log_sigma", "weight", *MISFIT, *FOLLOWS),
    "variance_as_logvar": ("no_noise", "clamped", *MISFIT, *FOLLOWS),
    "variance_at_least_one": ("clamped", *MISFIT, *FOLLOWS),
    **dict.fromkeys(MISFIT, FOLLOWS),
    **dict.fromkeys(COLLAPSE, FOLLOWS),
    "kl_sign": ("exploded", "kl_formula", "weight", *MISFIT, *FOLLOWS),
    "kl_formula": ("log_sigma", "mean_not_priced", *MISFIT, *FOLLOWS),
    "weight": ("log_sigma", *MISFIT, "lagging_encoder", "unfinished"),
    "near_deterministic": (*MISFIT, "unfinished"),
}


def findings_in(facts: Facts) -> tuple[Finding, ...]:
    """All findings, faults first, without those that another explains."""
    found = [finding for look in ORDER if (finding := look(facts)) is not None]
    explained = {code for finding in found for code in EXPLAINED.get(finding.code, ())}
    found = [finding for finding in found if finding.code not in explained]
    return tuple(sorted(found, key=lambda finding: not finding.is_fault))  # stable
