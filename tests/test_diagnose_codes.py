"""Diagnosis in the page is the package's: the same numbers, the same findings, the same words."""

import ast
import inspect
import json
import math
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import DESK
from playwright.sync_api import Browser, Page
from test_explorables_data import STATIC, kept, tool

from vaelib import diagnose, diagnosis
from vaelib.diagnosis import facts, order

NAME = "diagnose-codes"
SCRIPT = (STATIC / f"{NAME}.js").read_text(encoding="utf-8")
Arrays = dict[str, np.ndarray]


def stub(folder: Path, name: str) -> Path:
    """A page with this explorable alone."""
    scripts = (f"{STATIC.as_uri()}/{file}" for file in ("core.js", f"{name}.data.js", f"{name}.js"))
    path = folder / f"{name}.html"
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><link rel="stylesheet" '
        f'href="{STATIC.as_uri()}/explorables.css"><section class="explorable" '
        f'data-explorable="{name}"><div class="explorable-stage"></div></section>'
        + "".join(f'<script src="{script}"></script>' for script in scripts),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    context.route(re.compile(r"^(https?|wss?):"), lambda route: route.abort())
    page = context.new_page()
    page.goto(stub(tmp_path_factory.mktemp("page"), NAME).as_uri())
    page.evaluate("window.it = document.querySelector('section').explorable")
    yield page
    context.close()


def answered(page: Page) -> dict[str, Any]:
    """What comes of a job: a diagnosis, or ``wrong``."""
    page.wait_for_function("!it.state().busy && (it.answer() || it.state().wrong)")
    return page.evaluate("it.answer()") or page.evaluate("it.state()")


def of_files(page: Page, *paths: Path) -> dict[str, Any]:
    page.evaluate("it.set({})")
    page.locator("input[type=file]").set_input_files(paths)
    return answered(page)


def the_same(found: dict[str, Any], expected: diagnosis.Diagnosis, within: float = 1e-6) -> None:
    right = expected.to_dict()
    assert [f["code"] for f in found["findings"]] == [f["code"] for f in right["findings"]]
    for mine, its in zip(found["findings"], right["findings"], strict=True):
        assert mine == its | {"variables": list(its["variables"])}
    assert found["version"] == right["version"]
    for part in ("totals", "table"):
        assert found[part].keys() == right[part].keys()
        for name, values in right[part].items():
            # What is not a number is null in the file that is saved.
            its = np.array(values, dtype=float)
            mine = np.array(found[part][name], dtype=float)
            finite = np.isfinite(its)
            assert (np.isfinite(mine) == finite).all(), name
            assert mine[finite] == pytest.approx(its[finite], rel=within, abs=within), name
    # Zero may come out on either side.
    words = " ".join(expected._headline()).replace("-0.00", "0.00")
    assert found["headline"].replace("-0.00", "0.00") == words


# --- twenty random inputs and some hostile ones ---------------------------------------------------


def random_codes(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes with variables of all sizes; some offsets, some with σ off the law."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows, latent = 2 + 173 * seed % 2_500, 1 + seed % 9
    size = 10 ** (0.8 * normal(latent) - 0.5)
    mu = size * normal(rows, latent) + (normal(latent) if seed % 3 == 0 else 0)
    logvar = -(1 + size**2).log() + 0.2 * normal(rows, latent) + (seed % 2) * normal(latent) / 2
    return mu, logvar


HOSTILE = {
    "NaN and infinity": lambda mu, v: (torch.where(mu > 2, math.nan, mu) / (mu > -3), v),
    "variance 0": lambda mu, v: (mu, torch.full_like(v, -math.inf)),
    "σ beyond float32": lambda mu, v: (mu, v + 800),
    "mean far from 0": lambda mu, v: (mu + 1e6, v - 20),
    "all the same": lambda mu, v: (torch.full_like(mu, 0.5), torch.full_like(v, -0.25)),
    "one row": lambda mu, v: (mu[:1], v[:1]),
    "nearly no variance": lambda mu, v: (mu * 1e-160, v * 0 - 700),
    "spatial": lambda mu, v: (mu[:1200].reshape(60, 5, 4, 5), v[:1200].reshape(60, 5, 4, 5) - 9),
    "swapped": lambda mu, v: (-1 - mu.abs(), 0.4 * mu),
}


def saved(folder: Path, way: int, arrays: Arrays) -> tuple[Path, Arrays]:
    """Arrays in one of many forms of .npz, and as they come out of it."""
    kinds = ("float64", "float32", ">f8", "float16")
    order = (np.ascontiguousarray, np.asfortranarray)[way // 4 % 2]
    arrays = {name: order(array).astype(kinds[way % 4]) for name, array in arrays.items()}
    path = folder / "codes.npz"
    (np.savez, np.savez_compressed)[way // 2 % 2](path, **arrays)
    return path, {name: np.asarray(array).astype(float) for name, array in arrays.items()}


SPREADS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "logvar": lambda logvar: logvar,
    "variance": lambda logvar: logvar.exp(),
    "std": lambda logvar: (logvar / 2).exp(),
}


@pytest.mark.parametrize("seed", range(20))
def test_random_codes_are_diagnosed_as_in_python(page: Page, tmp_path: Path, seed: int) -> None:
    kind = [*SPREADS][seed % 3]
    mu, logvar = random_codes(seed)
    path, arrays = saved(tmp_path, seed, {"mu": mu.numpy(), kind: SPREADS[kind](logvar).numpy()})
    the_same(of_files(page, path), diagnose(arrays["mu"], **{kind: arrays[kind]}))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_codes_are_diagnosed_as_in_python(page: Page, tmp_path: Path, name: str) -> None:
    mu, logvar = HOSTILE[name](*random_codes(13))
    path, arrays = saved(tmp_path, 0, {"mu": mu.numpy(), "logvar": logvar.numpy()})
    the_same(of_files(page, path), diagnose(**arrays))


# --- nothing is typed twice -----------------------------------------------------------------------


def numbers_of(function: Callable[..., Any]) -> set[float]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        float(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    }


def test_each_finding_has_the_numbers_of_its_function_in_python() -> None:
    """A threshold that is changed there has to be changed in the page."""
    looks = {look.__name__: look for look in order.ORDER}
    start = SCRIPT.index("  var findings = {")
    block = SCRIPT[start : SCRIPT.index("\n  };\n", start)]
    parts = dict(re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", block, re.MULTILINE | re.DOTALL))
    assert [*parts] == [*looks]  # in their order
    compared = 0
    for name, text in parts.items():
        text = re.sub(r'"[^"]*"|//.*', "", text)
        mine = {float(n) for n in re.findall(r"(?<![\w.\]])\d+(?:\.\d+)?(?:e-?\d+)?", text)}
        # Of places and of the correction of a variance.
        assert mine - {0, 1} <= numbers_of(looks[name]), name
        compared += len(mine - {0, 1})
    assert compared > 20


def test_words_names_and_constants_are_those_of_the_package() -> None:
    data = kept(NAME)
    assert data["texts"] == facts.TEXTS
    assert data["active"] == facts.ACTIVE
    assert data["explained"] == {code: list(codes) for code, codes in order.EXPLAINED.items()}
    assert data["order"] == [look.__name__ for look in order.ORDER]
    assert data["phrases"]["nothing"] == diagnosis.Diagnosis({}, {})._found()[0]


def test_a_phrase_is_found_by_its_words() -> None:
    def function(x: float, y: str) -> str:
        later = "or {:.1f} and {:g}"
        return f"of {x:.2f} there {y} {{all}}" if y else later.format(x, x)

    assert tool.phrase(function, "there") == "of {0:.2f} there {1} {all}"
    assert tool.phrase(function, "or ") == "or {0:.1f} and {1:g}"
    with pytest.raises(ValueError, match="unpack"):
        tool.phrase(function, "nowhere")


VALUES = [
    *(0.0, 0.125, 0.375, 2.5, 0.5, 1.5, 12345.0, 99999.5, 1e-5, 9.9995e-5, 1e22, 123456789.0),
    *(1e-300, 1.7e308, 0.1, 0.045, 1e16, 250.0, 999.95, 0.00025, -0.001, -2.5, math.inf, math.nan),
    *np.random.default_rng(0).lognormal(0, 8, 300).tolist(),
]


@pytest.mark.parametrize("spec", [".0f", ".2f", ".1g", ".2g", ".3g", "g", ".1e"])
def test_a_number_is_written_as_python_writes_it(page: Page, spec: str) -> None:
    found = page.evaluate(
        "([values, spec]) => values.map(value => it.machine.word(value, spec))", [VALUES, spec]
    )
    assert found == [format(value, spec) for value in VALUES]


def test_a_cell_of_the_table_is_as_in_python(page: Page) -> None:
    found = page.evaluate("values => values.map(value => it.machine.cell(value))", VALUES)
    assert found == [diagnosis.report._number(value) for value in VALUES]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 1001])
def test_random_numbers_are_pytorchs(page: Page, count: int) -> None:
    """So an estimate is no other number in the page."""
    for function, name in ((torch.randn, "normals"), (torch.rand, "uniform")):
        generator = torch.Generator().manual_seed(3)
        right = function(count, generator=generator, dtype=torch.float64)
        found = page.evaluate(
            """([n, name]) => {
                 const random = it.machine.random(3);
                 return name === "normals" ? [...random.normals(n)]
                                           : Array.from({length: n}, random.uniform);
               }""",
            [count, name],
        )
        assert found == pytest.approx(right.tolist(), abs=1e-14)


# --- other forms of input -------------------------------------------------------------------------

MU, LOGVAR = (part[:400, :3] for part in random_codes(14))


def text_of(separator: str, names: list[str] | None, point: str = ".", label: bool = False) -> str:
    rows = torch.cat([MU, LOGVAR], 1).tolist()
    lines = [separator.join(repr(value).replace(".", point) for value in row) for row in rows]
    if label:
        lines = [f"{i}{separator}{line}{separator}seven" for i, line in enumerate(lines)]
    head = [separator.join(names)] if names else []
    return "\n".join(head + lines) + "\n"


NAMES = [f"{name}_{j}" for name in ("mu", "logvar") for j in range(3)]
TEXTS = {
    "bare": text_of(",", None),
    "by spaces": text_of("  ", None),
    "by semicolons, with commas": text_of(";", NAMES, ","),
    "by tabs": text_of(
        "\t", [f"{name}[{j}]" for name in ("z_mean", "z_log_var") for j in range(3)]
    ),
    "with a label": text_of(",", ["", *NAMES, "label"], label=True),
    "numbered by pandas": text_of(",", [*map(str, range(6))]),
    "of savetxt": "# " + text_of(" ", NAMES),
    "of Windows": "\ufeff" + text_of(",", NAMES).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_table_of_text_is_read(page: Page, tmp_path: Path, name: str) -> None:
    expected = diagnose(MU, LOGVAR)
    path = tmp_path / "codes.csv"
    path.write_text(TEXTS[name], encoding="utf-8", newline="")
    the_same(of_files(page, path), expected)
    page.evaluate("it.set({})")
    page.evaluate("text => it.start({text})", TEXTS[name])
    the_same(answered(page), expected)


FORMS: dict[str, Arrays] = {
    "mu.npy and logvar.npy": {"mu": MU.numpy(), "logvar": LOGVAR.numpy()},
    "names of a library": {"run1_z_mean": MU.numpy(), "run1_z_log_var": LOGVAR.numpy()},
    "no names": {"a": MU.numpy(), "b": LOGVAR.numpy()},
    "both in one": {"codes": torch.stack([MU, LOGVAR]).numpy()},
    "side by side": {"codes": torch.cat([MU, LOGVAR], 1).numpy()},
}


@pytest.mark.parametrize("name", FORMS)
def test_arrays_of_numpy_are_paired(page: Page, tmp_path: Path, name: str) -> None:
    paths = []
    for stem, array in FORMS[name].items():
        paths.append(tmp_path / f"{stem}.npy")
        with paths[-1].open("wb") as file:
            # Each version of the format once.
            np.lib.format.write_array(file, array, version=[(1, 0), (2, 0), (3, 0)][len(paths) % 3])
    the_same(of_files(page, *paths), diagnose(MU, LOGVAR))


def zipped(path: Path, mend: Callable[[bytes], bytes] = lambda raw: raw) -> Path:
    np.savez(path, mu=MU.numpy(), logvar=LOGVAR.numpy())
    path.write_bytes(mend(path.read_bytes()))
    return path


def flipped(raw: bytes) -> bytes:
    place = 600  # among the numbers of the first array
    return raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :]


BAD: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "empty.csv": (lambda p: p.write_text(""), ["empty.csv", "empty file"]),
    "short.csv": (lambda p: p.write_text("1,2\n3\n"), ["short.csv, line 2", "expected 2", "got 1"]),
    "word.csv": (
        lambda p: p.write_text("mu_0,logvar_0\n1,2\n1,x\n"),
        ["word.csv, line 3, column 2", "“x”"],
    ),
    "odd.csv": (lambda p: p.write_text("1,2,3\n4,5,6\n"), ["3 columns", "mu_0"]),
    "alien.csv": (lambda p: p.write_text("a,b\n1,2\n"), ["alien.csv", "logvar", "a, b"]),
    "half.csv": (lambda p: p.write_text("mu_0,mu_1\n1,2\n"), ["only one array", "logvar"]),
    "uneven.csv": (
        lambda p: p.write_text("mu_0,mu_1,logvar_0\n1,2,3\n"),
        ["one shape", "(1, 2)", "(1, 1)"],
    ),
    "broken.csv": (lambda p: p.write_text("nan,1\ninf,2\n"), ["each row has NaN"]),
    "negative.csv": (lambda p: p.write_text("mu,std\n1,-2\n"), ["std", ">= 0", "-2"]),
    "three.npz": (
        lambda p: np.savez(p, a=MU.numpy(), b=MU.numpy(), c=MU.numpy()),
        ["three.npz", "expected arrays mu", "a, b, c"],
    ),
    "flat.npz": (lambda p: np.savez(p, mu=MU[:, 0], std=MU[:, 0]), ["one shape", "(400,)"]),
    "object.npz": (
        lambda p: np.savez(p, mu=np.array([None]), std=MU.numpy()),
        ["mu", "'|O'", "float32"],
    ),
    "cut.npz": (lambda p: zipped(p, lambda raw: raw[:900]), ["cut.npz", "without its end"]),
    "flipped.npz": (lambda p: zipped(p, flipped), ["flipped.npz, mu.npy", "damaged"]),
    "no.npz": (lambda p: p.write_text("1,2"), ["no.npz", "no zip"]),
    "cut.npy": (
        lambda p: (np.save(p, MU.numpy()), p.write_bytes(p.read_bytes()[:-100])),
        ["cut", "100 bytes", "missing"],
    ),
    "model.pt": (lambda p: p.write_bytes(b"PK\x03\x04"), ["model.pt", "np.savez"]),
    "picture.csv": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\0"), ["picture.csv"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_told_what_is_wrong_with_it(page: Page, tmp_path: Path, name: str) -> None:
    write, words = BAD[name]
    write(tmp_path / name)
    wrong = of_files(page, tmp_path / name)["wrong"]
    assert all(word in wrong for word in words), wrong
    assert page.get_by_role("alert").inner_text() == wrong
    assert not page.locator(".codes-result").is_visible()
    # And the next one is read.
    assert of_files(page, zipped(tmp_path / "good.npz"))["headline"]
    assert page.get_by_role("alert").inner_text() == ""


# --- what is seen ---------------------------------------------------------------------------------


def sampled() -> tuple[np.ndarray, np.ndarray]:
    data = kept(f"{NAME}-sample")
    mu, logvar = (
        tool.unpacked(data[part]).reshape(data["rows"], -1) * data["step"]
        for part in ("mu", "logvar")
    )
    return mu, logvar


SLIPS = {
    "as they are": lambda mu, logvar: (mu, logvar),
    "σ² for log σ²": lambda mu, logvar: (mu, np.exp(logvar)),
    "swapped": lambda mu, logvar: (logvar, mu),
    "from one layer": lambda mu, logvar: (mu, mu),
}


def test_the_books_own_codes_and_what_becomes_of_them(page: Page) -> None:
    page.evaluate("it.set({})")
    assert not page.get_by_role("group", name="hand them over").is_visible()
    page.get_by_role("button", name="own codes").click()
    faults = []
    for name, change in SLIPS.items():
        page.get_by_role("radio", name=name, exact=True).check()
        page.wait_for_function("name => it.state().slip === name && !it.state().busy", arg=name)
        expected = diagnose(*change(*sampled()))
        the_same(answered(page), expected)
        rows = page.locator(".codes-table tbody tr").all_inner_texts()
        right = [row.split() for row in expected._rows()[1:]]
        assert [row.split() for row in rows] == right
        items = page.locator(".codes-findings li").all_inner_texts()
        for finding, text in zip(expected.findings, items, strict=True):
            words = (finding.what, finding.sure, f"{finding.evidence}.", finding.to_do)
            assert all(word in text for word in words)
        faults.append([f.code for f in expected.findings if f.is_fault])
    # What the chapter says of them.
    assert faults == [[], ["variance_as_logvar"], [], ["same_head"]]


def test_the_reader_may_say_what_the_second_array_is(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    np.savez(path, mu=MU.numpy(), std=(LOGVAR / 2).exp().numpy())
    the_same(of_files(page, path), diagnose(MU, LOGVAR))
    group = page.get_by_role("group", name="the second array is")
    assert group.get_by_role("radio", name="σ", exact=True).is_checked()
    group.get_by_role("radio", name="σ²", exact=True).check()
    the_same(answered(page), diagnose(MU, variance=(LOGVAR / 2).exp()))


def test_what_is_pasted_is_diagnosed_and_the_diagnosis_saved(page: Page) -> None:
    page.evaluate("it.set({})")
    page.get_by_role("button", name="paste numbers").click()
    page.get_by_role("textbox").fill(TEXTS["bare"])
    page.get_by_role("button", name="diagnose these numbers").click()
    expected = diagnose(MU, LOGVAR)
    the_same(answered(page), expected)
    with page.expect_download() as download:
        page.get_by_role("button", name="save as JSON").click()
    saved = json.loads(download.value.path().read_text())
    assert saved.keys() == expected.to_dict().keys()
    assert [f["what"] for f in saved["findings"]] == [f.what for f in expected.findings]


def test_without_a_worker_the_page_computes_itself(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("window.Worker = function () { throw new Error('none'); };")
    page.goto(stub(tmp_path, NAME).as_uri())
    page.evaluate("window.it = document.querySelector('section').explorable")
    the_same(of_files(page, zipped(tmp_path / "codes.npz")), diagnose(MU, LOGVAR))
    context.close()


def test_a_file_that_is_dropped_is_read(page: Page) -> None:
    page.evaluate("it.set({})")
    page.evaluate(
        """text => {
             const given = new DataTransfer();
             given.items.add(new File([text], "codes.csv"));
             const drop = new DragEvent(
               "drop", { dataTransfer: given, bubbles: true, cancelable: true });
             document.querySelector(".codes-drop").dispatchEvent(drop);
             if (!drop.defaultPrevented) throw new Error("the browser would leave the page");
           }""",
        TEXTS["bare"],
    )
    the_same(answered(page), diagnose(MU, LOGVAR))
