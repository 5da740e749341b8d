"""How many claims hold: the headline of the scoreboard, and a mark for each claim."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from .scoreboard import Verdict


@dataclass(frozen=True)
class Tally:
    """How many claims hold, in all and in each chapter; one mark for each claim.

    Attributes
    ----------
    verdicts : tuple of Verdict
        What is counted.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def sentences(self) -> tuple[str, str]:
        """The headline, and what else there is to count."""
        failed = [verdict for verdict in self.verdicts if not verdict.holds]
        fail = "fails" if len(failed) == 1 else "fail"
        parts = [f"{len(failed)} {fail}, and the page says why." if failed else "None fails."]
        for kind, words in (
            ("before", "whose interval was set before the runs"),
            ("after", "set with the data in view"),
        ):
            if of_kind := [v for v in self.verdicts if v.claim.kind == kind]:
                hold = sum(verdict.holds for verdict in of_kind)
                parts.append(f"Of the {len(of_kind)} {words}, {hold} hold.")
        if identities := sum(v.claim.kind == "identity" for v in self.verdicts):
            parts.append(
                f"The other {identities} are identities: they test the code, not the world."
            )
        if on_data := [v.sets for v in self.verdicts if v.sets]:
            one, more = sum(n == 1 for n in on_data), sum(n > 1 for n in on_data)
            parts.append(f"{more} were measured on two sets of images, {one} on one.")
        headline = f"{len(self.verdicts) - len(failed)} of {len(self.verdicts)} claims hold."
        return headline, " ".join(parts)

    @property
    def chapters(self) -> dict[str, list[Verdict]]:
        """The verdicts of each chapter, by its title."""
        groups: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            groups.setdefault(verdict.title, []).append(verdict)
        return groups

    def __repr__(self) -> str:
        marks = {
            title: "".join(verdict.mark for verdict in group)
            for title, group in self.chapters.items()
        }
        width = max(map(len, marks))
        lines = [f"{title.ljust(width)}  {line}" for title, line in marks.items()]
        return "\n".join([" ".join(self.sentences), *lines])

    def _repr_html_(self) -> str:
        headline, rest = self.sentences
        rows = "".join(
            f'<tr><th scope="row">{html.escape(title)}</th><td>'
            f"{''.join(_mark(verdict) for verdict in group)}</td></tr>"
            for title, group in self.chapters.items()
        )
        return (
            f'<div class="tally"><p><strong>{headline}</strong> {rest}</p>'
            f"<table><tbody>{rows}</tbody></table></div>"
        )


def _mark(verdict: Verdict) -> str:
    """The mark of one claim; that of a failed one leads to its row."""
    if verdict.holds:
        return f"<span>{verdict.mark}</span>"
    key = html.escape(verdict.claim.id)
    return (
        f'<a href="#verdict-{key}" title="{key} fails" aria-label="{key} fails">{verdict.mark}</a>'
    )


def show_tally(verdicts: Iterable[Verdict]) -> Tally:
    """Show how many claims hold, with one mark for each."""
    return Tally(tuple(verdicts))
