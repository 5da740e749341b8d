"""A diagnosis, to read and to keep."""

from __future__ import annotations

import html
import json
import math
from dataclasses import asdict, dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from vaelib.diagnosis.facts import Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSION = 1  # of what `Diagnosis.to_dict` returns; a new field does not change it
WIDTH = 88  # of a line that is printed
HEADS = {"var_mu": "Var μ", "sigma2": "mean σ²", "sum": "sum", "kl": "KL", "gain": "gain"}
CRITERIA = ("active", "kl_active", "narrow", "used")


@dataclass(frozen=True)
class Diagnosis:
    """What `vaelib.diagnose` found out; print it, or show it in a notebook.

    Attributes
    ----------
    table : dict
        One list for each column, one entry for each variable: ``var_mu``, ``sigma2`` (mean σ²),
        ``sum`` of both, ``kl`` in nats per row, ``gain`` in nats per row with a decoder, and the
        verdicts: ``active`` (Var μ > 0.01 [Burda et al. 2016]), ``kl_active`` (KL > 0.01 nats),
        ``narrow`` (mean σ² < 0.95 [Wang and Ziyin 2022]), ``used`` (gain > 1 nat, this book).
    totals : dict
        ``rows``, ``kl``, ``mutual_information`` with ``information_error`` and
        ``information_ceiling``, ``marginal_kl`` (KL(Q(z) ‖ P)); with a decoder ``log_likelihood``
        at z = μ, ``without_code``, ``inference_gap``; with a loss ``beta``.
    findings : tuple of Finding
        The worst first; empty if nothing was found.
    """

    table: dict[str, list[Any]]
    totals: dict[str, Any]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def disagree(self) -> list[int]:
        """The variables of which the criteria do not say the same."""
        rows = zip(*(self.table[name] for name in CRITERIA if name in self.table), strict=True)
        return [j for j, verdicts in enumerate(rows) if len(set(verdicts)) > 1]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and words, with the ``version`` of this form."""
        return {
            "version": VERSION,
            "totals": _plain(self.totals),
            "table": _plain(self.table),
            "findings": [_plain(asdict(finding)) for finding in self.findings],
        }

    def to_json(self) -> str:
        """`to_dict` as JSON; what is not a number is null."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        return "\n".join([*self._headline(), "", *self._rows(), "", *self._found()])

    __repr__ = __str__

    def _headline(self) -> list[str]:
        t, n = self.totals, len(self.table["var_mu"])
        lines = [f"{n} variables, {t['rows']:,} rows: {sum(self.table['active'])} active"]
        if "used" in self.table:
            lines[0] += f", {sum(self.table['used'])} used"
        lines[0] += f"; KL {t['kl']:.2f} nats"
        if t.get("mutual_information") is not None:
            lines[0] += (
                f", of which {t['mutual_information']:.2f} ± {t['information_error']:.2f} "
                f"information (at most {t['information_ceiling']:.2f} can be seen)"
            )
        lines = wrap(lines[0], WIDTH)
        if t.get("inference_gap") is not None:
            lines.append(f"inference gap {t['inference_gap']:.2f} nats")
        if t.get("beta") is not None:
            lines.append(f"the loss implies β = {t['beta']:.3g}")
        if self.disagree:
            some = ", ".join(map(str, self.disagree[:8])) + (", …" if self.disagree[8:] else "")
            lines.append(f"the criteria do not agree on variables {some}")
        return lines

    def _rows(self) -> list[str]:
        names = [name for name in HEADS if name in self.table]
        lines = ["  ".join(["   z", *(f"{HEADS[name]:>8}" for name in names), "verdict"])]
        for j in range(len(self.table["var_mu"])):
            cells = [f"{_number(self.table[name][j]):>8}" for name in names]
            lines.append("  ".join([f"{j:>4}", *cells, self.verdict(j)]))
        return lines if len(lines) <= 41 else [*lines[:41], f"… and {len(lines) - 41} more"]

    def verdict(self, j: int) -> str:
        """One word or two on a variable."""
        used = self.table["used"][j] if "used" in self.table else None
        if not self.table["active"][j]:
            return "dead" if not used else "constant, used"
        return {None: "active", True: "active, used", False: "active, not used"}[used]

    def _found(self) -> list[str]:
        if not self.findings:
            return ["Nothing was found: no slip, no collapse, no doubt about the numbers."]
        lines = []
        for i, finding in enumerate(self.findings, 1):
            parts = (
                f"{finding.what} ({finding.sure}).",
                f"Evidence: {finding.evidence}.",
                f"{finding.to_do} See the chapter {finding.chapter}.",
            )
            for part, start in zip(parts, (f"{i}. ", "   ", "   "), strict=True):
                lines += wrap(part, WIDTH, initial_indent=start, subsequent_indent="   ")
        return lines

    def _repr_html_(self) -> str:
        names = [name for name in HEADS if name in self.table]
        head = "".join(f'<th scope="col">{HEADS[name]}</th>' for name in names)
        rows = "".join(
            f'<tr><th scope="row">{j}</th>'
            + "".join(f"<td>{_number(self.table[name][j])}</td>" for name in names)
            + f'<td style="text-align: left">{self.verdict(j)}</td></tr>'
            for j in range(len(self.table["var_mu"]))
        )
        items = "".join(
            f"<li><strong>{html.escape(f.what)}</strong> ({f.sure}).<br>{html.escape(f.evidence)}."
            f"<br><em>{html.escape(f.to_do)}</em></li>"
            for f in self.findings
        )
        found = f"<ol>{items}</ol>" if items else f"<p>{self._found()[0]}</p>"
        lines = "<br>".join(map(html.escape, self._headline()))
        return (
            f'<p>{lines}</p>{found}<table class="table"><thead><tr><th scope="col">z</th>{head}'
            f'<th scope="col" style="text-align: left">verdict</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )

    def plot(self) -> Figure:
        """Draw Var μ and σ² of each variable, sorted, against the law; and gain against KL."""
        import matplotlib.pyplot as plt

        order = sorted(range(len(self.table["var_mu"])), key=lambda j: -self.table["kl"][j])
        var_mu, sigma2 = ([self.table[name][j] for j in order] for name in ("var_mu", "sigma2"))
        gains = self.table.get("gain")
        figure, axes = plt.subplots(
            1, 2 if gains else 1, figsize=(8 if gains else 5, 3.2), squeeze=False, layout="tight"
        )
        left = axes[0, 0]
        left.bar(range(len(order)), var_mu, label="Var μ")
        left.bar(range(len(order)), sigma2, bottom=var_mu, alpha=0.4, label="mean σ²")
        left.axhline(1, color="black", lw=0.8, ls="--")
        left.set(xlabel="variables, by KL", ylabel="their sum is 1 by the law")
        left.set_xticks(range(len(order)) if len(order) <= 12 else [])
        if len(order) <= 12:
            left.set_xticklabels(map(str, order))
        left.legend()
        if gains:
            right = axes[0, 1]
            kl = self.table["kl"]
            seen = [[max(value, 1e-3) for value in values] for values in (kl, gains)]
            right.plot(*seen, "o", mfc="none")
            top = max([*kl, 1])
            right.plot([1e-3, top], [1e-3, top], color="black", lw=0.8, ls="--")
            right.set(xlabel="KL: price (nats)", ylabel="gain (nats)", xscale="log", yscale="log")
        return figure


def _number(value: Any) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:.1e}"


def _plain(value: Any) -> Any:
    """Only what JSON has: NaN and infinity become None."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
