"""On which datasets a claim rests is found in the code of its chapter."""

import re

import pytest
from conftest import BOOK

from vaelib.book import scoreboard
from vaelib.book.origins import EITHER, datasets_of_claims
from vaelib.data import NAMES

START = """
data = load("mnist")
SETS = ("mnist", "glyphs")
def trained(dataset, **changes):
    return sweep(Experiment(dataset=dataset, **changes).with_seeds(SEEDS))
def usual(dataset="mnist", **changes):
    return trained(dataset, epochs=10, **changes)
def small(**changes):
    return Experiment(latent=2, **changes).run()
both = {name: trained(name) for name in SETS}
settings = {"β = 2": {"beta": 2}}
"""
CASES = [
    # What is loaded: MNIST or what takes its place; the others are what they are called.
    ('claim("x", 1.0)', []),
    ('claim("x", f(data.test_images))', [EITHER]),
    ('claim("x", f(load("glyphs")))', ["glyphs"]),
    ('claim("x", f(load("tiles"), 2))', ["tiles"]),
    # What is trained.
    ('claim("x", Experiment(dataset=data.name).run())', [EITHER]),
    ('claim("x", Experiment(seed=1).run())', ["mnist"]),
    ('claim("x", Experiment(dataset="tiles").run())', ["tiles"]),
    ('claim("x", gather(trained("glyphs"), "elbo"))', ["glyphs"]),
    ('claim("x", gather(usual("tiles"), "elbo"))', ["tiles"]),
    ('r = {n: usual(**c) for n, c in settings.items()}\nclaim("x", r["β = 2"])', ["mnist"]),
    ('claim("x", small(seed=3))', ["mnist"]),
    ('claim("x", small(dataset="glyphs"))', ["glyphs"]),
    ('more = {"dataset": "glyphs"}\nclaim("x", small(**more))', ["glyphs"]),
    ('more = {"dataset": data.name}\nclaim("x", small(**more))', [EITHER]),
    # Parts of what both gave.
    ('claim("x", both)', ["glyphs", "mnist"]),
    ('claim("x", both["mnist"])', ["mnist"]),
    ('rows = {8: small(latent=8), 16: both["mnist"]}\nclaim("x", rows[8])', ["mnist"]),
    ('claim("x", both["glyphs"] - both["mnist"])', ["glyphs", "mnist"]),
    ('claim("x", both["mnist"] - mean(both))', ["glyphs", "mnist"]),
    ('rows = [r for r in both[data.name]]\nclaim("x", rows)', [EITHER]),
    ('claim("x", f(both, data.test_images))', ["glyphs", "mnist"]),
    ('claim("x", settings["mnist"])', []),
    # The last value counts, and what was changed in place.
    ('v = both["mnist"]\nv = 2\nclaim("x", v)', []),
    ('v = 2\nclaim("x", v)\nv = both', []),
    ('v = []\nv.append(both["glyphs"])\nclaim("x", v)', ["glyphs"]),
    ('v = {}\nv["a"] = both["glyphs"]\nclaim("x", v)', ["glyphs"]),
    ('v = 0\nv += both["glyphs"]\nclaim("x", v)', ["glyphs"]),
    ('v = []\nfor n in SETS:\n    v.append(both[n])\nclaim("x", v)', ["glyphs", "mnist"]),
    ('v = {}\ndef put(a):\n    v["a"] = a\nput(load("tiles"))\nclaim("x", v)', ["tiles"]),
    ('for n in SETS:\n    v.append(n)\nclaim("x", n)', ["glyphs", "mnist"]),
    ('print(both["glyphs"])\nclaim("x", print(1))', []),
    # Functions look for names where they are called; their own names are their own.
    ('def f():\n    return late\nlate = both["glyphs"]\nclaim("x", f())', ["glyphs"]),
    ('def f(both):\n    return 2 * both\nclaim("x", f(1))', []),
    ('claim("x", [data for data in (1, 2)])', []),
    # Several in one statement.
    ('claim("x", [load("mnist"), load("tiles")])', [EITHER, "tiles"]),
    ('claim("x", [load("mnist"), Experiment(dataset="tiles").run()])', [EITHER, "tiles"]),
    ('claim("x", [Experiment(seed=1).run(), load("tiles")])', ["mnist", "tiles"]),
    ('claim("x", both["mnist"] - mean(both["mnist"]))', ["mnist"]),
    ('v, w = [], []\nv.append(w.append(both["glyphs"]))\nclaim("x", v)', ["glyphs"]),
    # Where a set is named, what was loaded adds none.
    ('claim("x", f(data.test_images, both["glyphs"]))', ["glyphs"]),
    ('claim("x", f(data.test_images, both["mnist"]))', ["mnist"]),
    # Functions in functions.
    (
        'def f(n="mnist"):\n    def g():\n        return 1\n    return trained(n)\nclaim("x", f())',
        ["mnist"],
    ),
    (
        'def f(n="mnist"):\n    def g(m="mnist"):\n        return m\n    return trained(n)\n'
        'claim("x", f("tiles"))',
        ["tiles"],
    ),
    # A dataset that is given is not the default, even if nobody knows which it is.
    ('def f(n):\n    return Experiment(dataset=n)\nclaim("x", f(other))', []),
    ('def f(n):\n    return f(n - 1) if n else both["mnist"]\nclaim("x", f(3))', ["mnist"]),
]


@pytest.mark.parametrize(("code", "datasets"), CASES, ids=map(str, range(len(CASES))))
def test_datasets_are_found(code: str, datasets: list[str]) -> None:
    assert datasets_of_claims([START, code]) == {"x": frozenset(datasets)}


def test_each_claim_has_its_own() -> None:
    code = 'claim("a", both["mnist"])\nclaim("b", load("tiles").test_images)\nclaim("c", 0)'
    assert datasets_of_claims([START, code, 'claim("d", both)']) == {
        "a": {"mnist"},
        "b": {"tiles"},
        "c": frozenset(),
        "d": {"mnist", "glyphs"},
    }


def test_no_claim_of_the_book_rests_on_a_dataset_whose_runs_are_not_there() -> None:
    stored = {path.name.partition("-")[0] for path in (BOOK / "runs").glob("*.safetensors")}
    assert stored <= {*NAMES}
    verdicts = scoreboard()
    assert {name for verdict in verdicts for name in verdict.datasets} <= {*stored, EITHER}
    # A claim that says "both data sets" was measured on both.
    for verdict in verdicts:
        if re.search("both data ?sets|each data ?set", verdict.claim.sentence):
            assert verdict.sets == 2, verdict.claim.id
