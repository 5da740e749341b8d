"""The appendix on how this book is checked shows what was counted, and that is still true."""

import json
import sys
from typing import Any

import pytest
import yaml
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import figures


@pytest.fixture(scope="module")
def counted() -> dict[str, Any]:
    return json.loads(figures.FIGURES.read_text(encoding="utf-8"))


def test_the_page_is_made_of_what_was_counted(counted: dict[str, Any]) -> None:
    assert figures.PAGE.read_text(encoding="utf-8") == figures.page(counted), (
        "write it anew: .venv/bin/python tools/figures.py --again"
    )


def test_no_damage_went_unseen(counted: dict[str, Any]) -> None:
    assert all(row["unseen"] == 0 for row in counted["damage"])
    by_chance = (row for row in counted["damage"] if row["how"] in ("flipped", "truncated"))
    assert sum(row["tried"] for row in by_chance) >= 500


def test_mutants_are_killed_and_the_others_have_their_reasons(counted: dict[str, Any]) -> None:
    modules = counted["mutants"]["modules"]
    asked = {"objectives", "metrics", "theory", "models", "claims", "data", "experiment"}
    assert asked <= modules.keys()
    tried = sum(row["tried"] for row in modules.values())
    assert sum(row["unnoticed"] for row in modules.values()) <= 0.05 * tried
    listed = yaml.safe_load((ROOT / "tests" / "survivors.yml").read_text(encoding="utf-8"))
    assert sum(len(row["changes"]) for row in listed) == counted["mutants"]["listed"]
    assert all(row["reason"].strip() for row in listed)
