"""Which variables of somebody's VAE are dead, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaelib.diagnosis import findings, handed, slips, variables
from vaelib.diagnosis.codes import Tally
from vaelib.diagnosis.facts import ACTIVE, NAT, Facts
from vaelib.diagnosis.facts import Finding as Finding
from vaelib.diagnosis.foreign import Batch, Foreign
from vaelib.diagnosis.probes import Prober
from vaelib.diagnosis.report import Diagnosis as Diagnosis
from vaelib.diagnosis.sampling import read, shown
from vaelib.diagnosis.weights import implied_weight
from vaelib.estimates import marginal_decomposition
from vaelib.likelihoods import Gaussian
from vaelib.theory import principal_components

ORDER = (
    findings.broken,
    findings.wrong_sign,
    findings.exploded,
    handed.one_head,
    handed.swapped,
    handed.variance_as_logvar,
    slips.no_noise,
    findings.no_code_at_all,
    findings.wrong_kl,
    slips.log_sigma,
    slips.mean_not_priced,
    findings.weight,
    findings.near_deterministic,
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
    **dict.fromkeys((*NOISE, "log_sigma", "mean_not_priced"), (*MISFIT, *FOLLOWS)),
    "variance_as_logvar": ("no_noise", *MISFIT, *FOLLOWS),
    **dict.fromkeys(MISFIT, FOLLOWS),
    **dict.fromkeys(COLLAPSE, FOLLOWS),
    "kl_sign": ("exploded", "kl_formula", "weight", *MISFIT, *FOLLOWS),
    "kl_formula": ("log_sigma", "mean_not_priced", *MISFIT, *FOLLOWS),
    "weight": ("log_sigma", *MISFIT, "lagging_encoder", "unfinished"),
    "near_deterministic": (*MISFIT, "unfinished"),
}


def diagnose(
    mu: Any = None,
    logvar: Any = None,
    *,
    variance: Any = None,
    std: Any = None,
    encode: Callable[..., Any] | None = None,
    decode: Callable[..., Any] | None = None,
    data: Any = None,
    likelihood: Any = None,
    loss: Callable[..., Any] | None = None,
    spread: str = "logvar",
    prior: tuple[float, float] = (0.0, 1.0),
    progress: bool = False,
) -> Diagnosis:
    """Say which latent variables of a VAE are dead, what else is wrong with it, and why.

    From codes: ``diagnose(mu, logvar)``. From a model: ``diagnose(encode=model.encode,
    decode=model.decode, data=loader, likelihood="bernoulli", loss=...)``; what is left out is not
    looked at. The model is called in evaluation mode and left as it was. Shown in the chapter *Your
    own VAE*.

    Parameters
    ----------
    mu, logvar : Tensor or array (n, latent) or (n, channels, ...)
        Means and log-variances of Q(z|x), of any float type, on any device. Spatial codes are
        taken channel by channel, over all positions. ``variance`` or ``std`` may be given instead.
    encode : callable
        Takes a batch and returns (mu, logvar), a torch Normal, or an object with fields of these
        names: those of diffusers, pythae and scvi-tools are known. If it returns a pair whose
        second is a variance or a standard deviation, say so with ``spread``.
    decode : callable
        Takes z and returns the output, or a torch distribution of x. A function with more arguments
        that have no default gets what comes with x in a batch: labels or conditions.
    data : Tensor, array, tuple of these, Dataset or DataLoader
        What is encoded; bytes are divided by 255. Batches may be (x, labels, ...).
    likelihood : str, likelihood or callable
        What the output means: "bernoulli" (probabilities), "bernoulli_logits", "gaussian" (means,
        variance 1), a likelihood of vaelib such as ``Gaussian(0.1)``, or a function of
        (output, x) that returns log P(x|z).
    loss : callable
        Your loss as ``loss(x, output, mu, logvar)``, one number: tells which β it implies.
    spread : {"logvar", "variance", "std"}
        What the second of a pair from ``encode`` is.
    prior : (float, float)
        Mean and standard deviation of the prior of each variable.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Diagnosis
    """
    given = {"logvar": logvar, "variance": variance, "std": std}
    named = [name for name, value in given.items() if value is not None]
    tally = Tally(_checked_prior(prior))
    model, probed = None, []
    if mu is not None:
        of_a_model = (encode, decode, data, likelihood, loss)
        if any(part is not None for part in of_a_model) or len(named) != 1:
            raise TypeError("diagnose: expected mu with one of logvar, variance and std; or encode")
        tally.add_arrays(mu, given[named[0]], named[0])
    else:
        if encode is None or data is None or named:
            raise TypeError("diagnose: expected mu and logvar, or encode and data")
        if loss is not None and decode is None:
            raise TypeError("loss: expected decode and likelihood with it")
        model = Foreign(encode, decode, likelihood, spread)
        with model.evaluating():
            probed = read(model, data, tally, progress)
    facts = _facts(tally)
    if model is not None and decode is not None:
        with model.evaluating():
            _probe(facts, model, probed, tally, loss, progress)
    found = [finding for look in ORDER if (finding := look(facts)) is not None]
    explained = {code for finding in found for code in EXPLAINED.get(finding.code, ())}
    found = [finding for finding in found if finding.code not in explained]
    found.sort(key=lambda finding: not finding.is_fault)  # stable
    return Diagnosis(_table(facts, tally), _totals(facts), tuple(found))


def _checked_prior(prior: tuple[float, float]) -> tuple[float, float]:
    mean, std = (float(value) for value in prior)
    if not (math.isfinite(mean) and 0 < std < math.inf):
        raise ValueError(f"prior: expected a mean and a standard deviation > 0, got {prior}")
    return mean, std


def _facts(tally: Tally) -> Facts:
    if tally.rows == 0:
        raise ValueError("mu and logvar: expected finite numbers, each row has NaN or infinity")
    n, (mean, std) = tally.rows, tally.prior
    assert tally.kept is not None
    mu, logvar = tally.kept[1:]
    logvar_mean = tally.logvar / n - 2 * math.log(std)
    facts = Facts(
        images=tally.images,
        rows=n,
        positions=tally.positions,
        broken=tally.broken,
        mean=(tally.mean - mean) / std,
        least_mu=(tally.least_mu - mean) / std,
        var_mu=tally.squares / n / std**2,
        sigma2=tally.sigma2 / n / std**2,
        sigma4=tally.sigma4 / n / std**4,
        kl=tally.kl / n * tally.positions,
        logvar_mean=logvar_mean,
        logvar_std=(tally.logvar2 / n - (tally.logvar / n).square()).clamp(min=0).sqrt(),
        lowest=tally.lowest - 2 * math.log(std),
        highest=tally.highest - 2 * math.log(std),
        kept=(mu, logvar),
    )
    if tally.positions == 1 and len(mu) > 1 and logvar.abs().max() <= 700:
        facts.decomposition = marginal_decomposition(mu, logvar, torch.Generator().manual_seed(0))
    return facts


def _probe(
    facts: Facts,
    model: Foreign,
    probed: list[Batch],
    tally: Tally,
    loss: Callable[..., Any] | None,
    progress: bool,
) -> None:
    prober = Prober(model, probed, tally.mean)
    facts.probe = prober.probe(NAT, shown(range(len(tally.mean)), "variables", progress))
    facts.probe.gap, facts.probe.kl_then = prober.gap(tally.prior)
    output = model.output(probed[0], prober.codes[0][0])
    if loss is not None and isinstance(output, Tensor):
        x, (mu, logvar) = probed[0][0], prober.codes[0]
        mu, logvar = (model.as_own(part, probed[0]) for part in (mu, logvar))
        facts.weight = implied_weight(loss, model.likelihood, x, output, mu, logvar)
    facts.unit_unknown = model.likelihood == "gaussian"
    eta2 = _decoder_variance(model.likelihood)
    x = torch.cat([batch[0] for batch in probed])
    if x[0].numel() <= 5_000 and len(x) > 1 and x.is_floating_point():
        beta = facts.weight.beta if facts.weight and facts.weight.beta > 0 else 1.0
        if eta2 is not None:
            facts.water = beta * eta2
            spectrum = principal_components(x.cpu()).eigenvalues
            facts.linear_count = int((spectrum > facts.water)[: len(facts.kl)].sum())


def _decoder_variance(likelihood: Any) -> float | None:
    if likelihood == "gaussian":
        return 1.0
    return float(likelihood.variance) if isinstance(likelihood, Gaussian) else None


def _table(facts: Facts, tally: Tally) -> dict[str, list[Any]]:
    std = tally.prior[1]
    table: dict[str, list[Any]] = {
        "var_mu": (facts.var_mu * std**2).tolist(),
        "sigma2": (facts.sigma2 * std**2).tolist(),
        "sum": (facts.law * std**2).tolist(),
        "kl": facts.kl.tolist(),
        "active": (facts.var_mu > ACTIVE).tolist(),
        "kl_active": (facts.kl > 0.01).tolist(),
        "narrow": (facts.sigma2 < 0.95).tolist(),
    }
    if facts.probe is not None:
        table["gain"] = facts.probe.gain.tolist()
        table["used"] = (facts.probe.gain > NAT).tolist()
    return table


def _totals(facts: Facts) -> dict[str, Any]:
    totals: dict[str, Any] = {"rows": facts.images, "kl": facts.kl.sum().item()}
    if (d := facts.decomposition) is not None:
        totals["mutual_information"] = d.mutual_information.item()
        totals["information_error"] = d.information_error.item()
        totals["information_ceiling"] = math.log(len(facts.kept[0]))
        totals["marginal_kl"] = d.marginal_kl.item()
    if (p := facts.probe) is not None:
        totals["log_likelihood"], totals["without_code"] = p.whole, p.without
        totals["inference_gap"] = p.gap
    if facts.weight is not None:
        totals["beta"] = facts.weight.beta
    return totals
