"""What a stranger hands over cannot run code, nor write outside its folder.

Nothing of the project unpickles, evaluates or shells out; names of runs stay in the folder of the
runs; files and archives are checked before they are opened; the workflows may do no more than they
must.
"""

import ast
import hashlib
import io
import json
import pickle
import re
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import CHAPTERS, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import datasets

import vaelib.reproduce
from vaelib import Claim, Experiment, Run, Verdict, _store, data, load, show_verdicts, table
from vaelib.claims import load_claims
from vaelib.experiment import runs_folder

few = settings(deadline=None, max_examples=100, database=None)

# ---- no file is executed ------------------------------------------------------------------------

FORBIDDEN_MODULES = {"pickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp"),
    *("torch.load", "torch.save", "joblib.load", "joblib.dump", "pandas.read_pickle"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all"),
    *("numpy.fromregex", "subprocess.getoutput", "subprocess.getstatusoutput"),
}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}


def forbidden(source: str) -> list[str]:
    """What a Python source does that could run what it reads: each with its line."""
    tree = ast.parse(source)
    full_names: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
            full_names |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            full_names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        else:
            continue
        found += [
            f"{node.lineno}: import {module}"
            for module in modules
            if module.partition(".")[0] in FORBIDDEN_MODULES
        ]

    def named(node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{named(node.value)}.{node.attr}"
        return full_names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"

    safe = SAFE_LOADERS | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and SAFE_LOADERS & set(map(named, node.bases))
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = named(node.func)
        options = {option.arg: option.value for option in node.keywords}
        loader = options.get("Loader") or next(iter(node.args[1:2]), None)
        if (
            name in FORBIDDEN_CALLS
            or (name == "yaml.load" and (loader is None or named(loader) not in safe))
            or (name in ("numpy.load", "numpy.save", "numpy.savez") and "allow_pickle" in options)
            or (name.endswith((".extractall", ".extract")) and "filter" not in options)
            or ("shell" in options and ast.unparse(options["shell"]) != "False")
        ):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from pickle import loads", "import dill as d", "import pickle as p"),
        *("eval('1')", "exec(text)", "compile(text, '', 'exec')", "__import__(name)"),
        *("import torch\ntorch.load(path)", "import torch as t\nt.load(path, weights_only=True)"),
        *("from torch import load\nload(path)", "import torch\ntorch.save(model, path)"),
        *("import numpy as np\nnp.load(path, allow_pickle=True)", "import joblib\njoblib.load(p)"),
        *("from joblib import dump as keep\nkeep(model, path)", "import os\nos.system(command)"),
        *("import yaml\nyaml.load(text)", "import yaml\nyaml.load(text, yaml.Loader)"),
        *("import yaml\nyaml.load(text, Loader=yaml.FullLoader)", "import yaml\nyaml.full_load(t)"),
        "import yaml\nclass Mine(yaml.Loader):\n    pass\nyaml.load(text, Mine)",
        *("import subprocess\nsubprocess.run(command, shell=True)", "tar.extractall(folder)"),
        "import subprocess as s\ns.Popen(command, shell=chosen)",
    ],
)
def test_what_is_forbidden_is_recognised(source: str) -> None:
    assert forbidden(source)


@pytest.mark.parametrize(
    "source",
    [
        *(
            "model.eval()",
            "re.compile(pattern)",
            "json.load(file)",
            "from vaelib import load\nload(n)",
        ),
        "import yaml\nyaml.safe_load(text)\nyaml.load(text, yaml.SafeLoader)",
        "import yaml\nclass Strict(yaml.SafeLoader):\n    pass\nyaml.load(text, Strict)",
        "import subprocess\nsubprocess.run([program, argument], shell=False)",
        "import numpy as np\nnp.load(path)\ntar.extractall(folder, filter='data')",
    ],
)
def test_what_is_harmless_is_not(source: str) -> None:
    assert forbidden(source) == []


PROGRAMS = sorted(
    path
    for folder in ("vaelib", "tools", "book/_ext", ".ci", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_program_runs_what_it_reads(path: Path) -> None:
    assert forbidden(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_chapter_runs_what_it_reads(path: Path) -> None:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert not re.search(r"^\s*[!%]", source, re.M), "a shell command or a magic"
            assert forbidden(source) == []


# ---- names and files of runs --------------------------------------------------------------------

HOSTILE_NAMES = (
    *(
        "../outside",
        "../../etc/x",
        "/etc/x",
        "a/b",
        "a/../../b",
        "..",
        ".",
        "",
        " ",
        "~/x",
        "~root",
    ),
    *(
        "a\\..\\b",
        "C:\\x",
        "a\0b",
        "a\nb",
        "mnist\n",
        "a b",
        "$HOME",
        "`id`",
        ".hidden",
        "*",
        "x" * 300,
    ),
    *(None, 3, b"mnist", ["mnist"], Path("mnist")),
)


# Needs the patch dataset-names: Experiment took any text for the name of a dataset.
@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
def test_a_dataset_name_that_could_leave_the_folder_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^dataset: expected .*, got "):
        Experiment(dataset=name)


@few
@given(
    name=st.text(max_size=20) | st.text(st.sampled_from("ab./\\~-_ \0"), max_size=12),
    seed=st.integers(),
)
def test_whatever_an_experiment_says_its_file_is_in_the_folder(name: str, seed: int) -> None:
    try:
        found = Experiment(dataset=name, seed=seed).name
    except ValueError as error:
        assert str(error).startswith("dataset: expected")  # noqa: PT017
        return
    assert (runs_folder() / found).resolve().parent == runs_folder().resolve()
    assert not found.startswith(".")


@pytest.mark.parametrize("weights", [True, False])
def test_a_run_outside_its_folder_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: bool
) -> None:
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "a" / "runs"))
    (tmp_path / "a" / "runs").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"^dataset: "):
        Experiment(dataset="../../stolen", epochs=1).run(weights=weights)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "runs"]


def linked(tmp_path: Path, exists: bool) -> tuple[Path, Path]:
    outside, link = tmp_path / "outside", tmp_path / "runs" / "x.run.safetensors"
    link.parent.mkdir()
    if exists:
        outside.write_text("precious")
    link.symlink_to(outside)
    return outside, link


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_in_the_folder_is_replaced_and_what_it_points_to_stays(
    tmp_path: Path, exists: bool
) -> None:
    outside, link = linked(tmp_path, exists)
    _store.write(link, {"a": torch.ones(2)}, "{}")
    assert not link.is_symlink()
    assert outside.exists() == exists
    assert not exists or outside.read_text() == "precious"


def test_a_link_in_a_locks_place_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(
        dataset="tiles", hidden=(2,), latent=1, images=10, epochs=1, history=False
    )
    outside = tmp_path / "outside"
    outside.write_text("precious")
    monkeypatch.delenv("VAELIB_TRAIN", raising=False)
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").mkdir()
    for kind in ("run", "sweep"):
        name = f".{experiment.name}.{kind}.safetensors.lock"
        (tmp_path / "runs" / name).symlink_to(outside)
    monkeypatch.setattr(data, "SPLIT", (30, 10))
    data._tiles.cache_clear()
    try:
        experiment.run()
    except OSError as error:
        assert experiment.name in str(error)  # noqa: PT017
    finally:
        data._tiles.cache_clear()
    assert outside.read_text() == "precious"


class Bomb:
    """What pickle makes a program do when it reads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def sealed(header: bytes, body: bytes = b"") -> bytes:
    """A file with the right digest, whatever is in it."""
    start = b'{"__metadata__":{"run":"'
    content = len(start + header).to_bytes(8, "little") + start + b"0" * 64 + header + body
    return content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1)


def test_a_pickle_in_a_runs_place_is_not_executed(tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "mark"))
    for content in (bomb, sealed(b' {}"}}', bomb), sealed(b" " + bomb)):
        (tmp_path / "x.run.safetensors").write_bytes(content)
        with pytest.raises(_store.DamagedRunError, match=r"x\.run\.safetensors"):
            Run.read(tmp_path / "x.run.safetensors", Experiment())
    assert not (tmp_path / "mark").exists()


# Needs the patch reproduce-descriptions: the error did not name the file, and a run under another
# name, or one that points outside, was taken.
@pytest.mark.parametrize(
    "description",
    [
        *("", "not JSON", "[]", "3", "null", '{"unknown":1}', '{"epochs":"many"}', '{"epochs":-1}'),
        *('{"dataset":"../../outside"}', '{"dataset":"/outside"}', '{"seed":8}', "[" * 100_000),
    ],
    ids=lambda text: text[:30],
)
def test_a_strangers_run_that_describes_no_experiment_of_its_name_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, description: str
) -> None:
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    path = tmp_path / f"{Experiment(seed=7).name}.run.safetensors"
    _store.write(path, {"a": torch.ones(2)}, description)
    with pytest.raises(_store.DamagedRunError, match=re.escape(str(path))):
        vaelib.reproduce.stored_experiments()
    with pytest.raises(_store.DamagedRunError, match=re.escape(str(path))):
        Experiment(seed=7).run()
    assert list(tmp_path.iterdir()) == [path]


# ---- archives of datasets -----------------------------------------------------------------------

NOBODY = "http://127.0.0.1:9/"  # the discard port: refuses at once


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it and no network."""
    monkeypatch.delenv("VAELIB_DATASET", raising=False)
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for source in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(source, "mirrors", [NOBODY])
    monkeypatch.setattr(datasets.CIFAR10, "url", NOBODY + "cifar-10-python.tar.gz")
    return tmp_path


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    (home / "server").mkdir()
    handler = partial(Quiet, directory=home / "server")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def member(name: str, content: bytes = b"owned", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for field, value in changes.items():
        setattr(entry, field, value)
    return entry, content if entry.isreg() else b""


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("../../../../outside")],
        [member("/outside-{home}")],
        [member("cifar-10-batches-py/../../outside")],
        [
            member("door", b"", type=tarfile.SYMTYPE, linkname="{home}"),
            member("door/outside"),
        ],
        [member("outside", b"", type=tarfile.LNKTYPE, linkname="{home}/precious")],
    ],
    ids=["up", "far up", "absolute", "through", "symlink", "hard link"],
)
def test_an_archive_from_a_stranger_is_not_even_unpacked(
    home: Path, address: str, monkeypatch: pytest.MonkeyPatch, members: Any
) -> None:
    (home / "precious").write_text("precious")
    archive = home / "server" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for entry, content in members:
            entry.name = entry.name.replace("/outside-{home}", f"{home}/outside")
            entry.linkname = entry.linkname.replace("{home}", str(home))
            tar.addfile(entry, io.BytesIO(content))
    opened: list[object] = []
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda *a, **_: opened.append(a))
    monkeypatch.setattr(datasets.CIFAR10, "url", address + archive.name)
    with pytest.raises(FileNotFoundError, match=r"^cifar10 is not in .* cannot be downloaded: "):
        load("cifar10")
    assert opened == []
    assert list((home / "data").iterdir()) == []
    assert {path.name for path in home.iterdir()} <= {"data", "precious", "server"}


CIFAR_FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]


@pytest.mark.parametrize("swapped", CIFAR_FILES)
@pytest.mark.parametrize("complete", [True, False], ids=["complete", "one missing"])
def test_no_batch_is_unpickled_before_its_digest_is_known_to_be_the_publishers(
    home: Path, monkeypatch: pytest.MonkeyPatch, swapped: str, complete: bool
) -> None:
    """CIFAR-10 is pickled by its publisher: what is not exactly his is never opened."""
    folder = home / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    sums = []
    for file in CIFAR_FILES:
        batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "label_names": ["a"]}
        content = pickle.dumps(batch, protocol=2)
        sums.append([file, hashlib.md5(content, usedforsecurity=False).hexdigest()])
        bomb = pickle.dumps(Bomb(home / "mark"))
        (folder / file).write_bytes(bomb if file == swapped else content)
    if not complete:
        (folder / next(file for file in CIFAR_FILES if file != swapped)).unlink()
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:6])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums[6][1]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    data._stored.cache_clear()
    with pytest.raises(ValueError, match=rf"{re.escape(swapped)}: expected md5 .*altered"):
        load("cifar10")
    assert not (home / "mark").exists()


# ---- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object/new:os.system ['touch {mark}']",
    ],
)
def test_claims_are_data_not_programs(tmp_path: Path, value: str) -> None:
    path = tmp_path / "claims.yml"
    text = value.format(mark=tmp_path / "mark")
    path.write_text(f"a:\n  sentence: {text}\n  source: b\n  accepted: [0, 1]\n  why: c\n")
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        load_claims(path)
    assert not (tmp_path / "mark").exists()


def test_text_in_a_table_stays_text() -> None:
    hostile = "<script>alert(1)</script>"
    shown = table({hostile: [hostile, "<img src=x onerror=alert(1)>"]})._repr_html_()
    assert not re.search(r"<(script|img)", shown)
    said = Claim("id", hostile, "this book", 0, 1, hostile, published=hostile, fails=hostile)
    verdict = Verdict(said, "01", "Title", False, 1, "2", "2", "2")
    shown = show_verdicts([verdict]).data
    assert not re.search(r"(?<!\\)<(script|img)", shown)


# ---- workflows ----------------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
READ = {"contents": "read"}
# What a job may do beyond reading the repository, and why.
EXTRA = {
    ("book.yml", "publish"): {"pages": "write", "id-token": "write"},  # to deploy the pages
    ("release.yml", "publish"): {"contents": "write"},  # to make the release
}
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def workflow(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return workflow(path)["jobs"]


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    return job.get("steps", [])


def test_there_are_workflows() -> None:
    assert "book.yml" in {path.name for path in WORKFLOWS}


@each_workflow
def test_a_workflow_may_read_and_its_jobs_no_more_than_they_need(path: Path) -> None:
    assert workflow(path)["permissions"] == READ
    for name, job in jobs(path).items():
        assert job.get("permissions", READ) == EXTRA.get((path.name, name), READ)


def test_every_extra_permission_is_still_needed() -> None:
    for file, name in EXTRA:
        assert name in jobs(ROOT / ".github" / "workflows" / file)


@each_workflow
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    for job in jobs(path).values():
        for used in [step["uses"] for step in steps(job) if "uses" in step] + (
            [job["uses"]] if "uses" in job else []
        ):
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", used), used
    # So that a reader sees which version that is.
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*(- )?uses:", line):
            assert re.search(r"@[0-9a-f]{40} # v\d+(\.\d+)*$", line), line


def test_the_same_action_is_the_same_commit_everywhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    pins = set(re.findall(r"uses: ([\w./-]+)@(\w+) # (\S+)", text))
    assert len({action for action, _, _ in pins}) == len(pins)


@each_workflow
def test_no_workflow_gives_secrets_to_strangers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # "on" is read as the boolean true.
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(workflow(path)[True])
    assert "secrets." not in text
    assert "self-hosted" not in text
    for name, job in jobs(path).items():
        trusted = EXTRA.get((path.name, name))
        for step in steps(job):
            # What a stranger may write, say a branch's name, is no part of a script.
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
                assert not trusted, "a job that may write runs no code of the project"
        if trusted:
            assert not [
                step for step in steps(job) if re.search(r"make|python|\.ci/", step.get("run", ""))
            ]
        assert 0 < job["timeout-minutes"] <= 360
