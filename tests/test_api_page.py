"""The API page has an entry for every public name of the package."""

import re
from importlib import import_module

import pytest
from browser import HTML
from bs4 import BeautifulSoup


@pytest.fixture(scope="module")
def page():
    return BeautifulSoup((HTML / "api.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("room", ["vaelib", "vaelib.lab", "vaelib.book"])
def test_every_public_name_has_an_entry_that_says_something(page, room):
    public = {
        name
        for name, thing in vars(import_module(room)).items()
        if name[0] != "_"
        and (name.isupper() or getattr(thing, "__module__", "").startswith("vaelib"))
    }
    section = page.find(id=room.replace(".", "-"))
    entries = {
        entry["id"]: entry.find_next_sibling("dd").get_text(strip=True)
        for entry in section.find_all("dt", id=re.compile(rf"^{room}\.\w+$"))
    }
    assert entries.keys() == {f"{room}.{name}" for name in public}
    assert all(entries.values())
