"""Claims on the page: lines that can be linked to, and how many there are.

``{ref}`text <claim-ID>``` leads to the line of a chapter that checks the claim. The output of a
cell that checks several claims is split into its lines, and each becomes a target. A claim line is
recognised by its cell's tag and by its id: verdict · id · sentence.

``{{ claims }}`` is the number of claims in ``claims.yml``; ``{{ failing }}`` of those known
to fail, ``{{ before }}`` of those whose interval was set before the runs, ``{{ identities }}`` of
those that test the code.
"""

import re
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

CLAIM_LINE = re.compile(r"^[✓✗] .* · ([\w.-]+) · ")


class ClaimAnchors(SphinxTransform):
    """Make every claim line a target."""

    # Before the standard domain collects the targets of a page (850).
    default_priority = 800

    def apply(self) -> None:
        """Split the claim cells' outputs."""
        for cell in self.document.findall(nodes.container):
            if "tag_nbval-check-output" in cell["classes"]:
                for block in list(cell.findall(nodes.literal_block)):
                    if "stream" in block["classes"]:
                        block.replace_self([self.line(block, text) for text in lines(block)])

    def line(self, block: nodes.literal_block, text: str) -> nodes.literal_block:
        """One line of a block, as a block of its own with the claim's name."""
        result = nodes.literal_block(text, text, **block.attributes)
        result.source, result.line = block.source, block.line
        if claim := CLAIM_LINE.match(text):
            result["classes"] = [*block["classes"], "claim"] + ["fails"] * text.startswith("✗")
            result["names"] = [f"claim-{claim[1]}"]
            self.document.note_explicit_target(result, result)
        return result


def lines(block: nodes.literal_block) -> list[str]:
    """The lines of a block of text that are not empty."""
    return [line for line in block.astext().splitlines() if line.strip()]


def count_claims(app: Sphinx, config: Config) -> None:
    """Make the numbers known to MyST."""
    rows = yaml.safe_load(Path(app.srcdir, "claims.yml").read_text(encoding="utf-8")).values()
    config.myst_substitutions["claims"] = len(rows)
    config.myst_substitutions["failing"] = sum(bool(row.get("fails")) for row in rows)
    for name, kind in (("before", "before"), ("identities", "identity")):
        config.myst_substitutions[name] = sum(row["kind"] == kind for row in rows)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform and the count."""
    app.add_transform(ClaimAnchors)
    app.connect("config-inited", count_claims, priority=400)  # before MyST reads its options
    return {"parallel_read_safe": True, "parallel_write_safe": True}
