"""The built pages show what roles and tables mean, and the scoreboard leads to every claim.

Needs `make book` (`make test` sees to it).
"""

import re
from pathlib import Path

import pytest
import yaml
from browser import HTML, PAGES
from conftest import BOOK

pytestmark = pytest.mark.skipif(not PAGES, reason="the book is not built: make book")


def raw(page: str) -> list[str]:
    """What a page shows of MyST that nothing has understood; code may show it."""
    text = re.sub(r"<(pre|code|script|style)\b.*?</\1>", "", page, flags=re.S)
    text = re.sub(r"<[^>]*>", "", text)
    return re.findall(r"\{(?:ref|cite|term|numref|eq)[:\w]*\}|\|[-—]+\||:::", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_page_shows_raw_myst(path: Path) -> None:
    assert raw(path.read_text(encoding="utf-8")) == []


def test_raw_myst_is_noticed() -> None:
    assert raw("<p>this book · {ref}<code>x</code></p><p>|—|—|</p><p>:::{exercise}</p>") == [
        "{ref}",
        "|—|",
        ":::",
    ]


def test_the_scoreboard_links_to_every_claim() -> None:
    links = re.findall(
        r'href="([^"#]*)#claim-([^"]+)"', (HTML / "scoreboard.html").read_text(encoding="utf-8")
    )
    assert {claim for _, claim in links} == set(
        yaml.safe_load((BOOK / "claims.yml").read_text(encoding="utf-8"))
    )
    for page, claim in set(links):
        assert f'id="claim-{claim}"' in (HTML / (page or "scoreboard.html")).read_text("utf-8")
