"""What a stranger hands over cannot run code, and the workflows may do no more than they must.

Names and files of runs are tried in the tests of the laboratory, files of datasets in those of the
data.
"""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHAPTERS, ROOT

from vaelib.book import Claim, Verdict, show_tally, show_verdicts, table
from vaelib.book.claims import load_claims

# ---- nothing is executed ------------------------------------------------------------------------

# exec, eval, unfiltered archives, unsafe YAML and shells are rules of ruff; the rest we name.
RULES = "S102,S202,S301,S302,S307,S506,S602,S604,S605,S609,S612,TID251"
BANNED = (
    "pickle dill cloudpickle marshal shelve torch.load torch.save joblib.load joblib.dump "
    "pandas.read_pickle yaml.full_load yaml.unsafe_load subprocess.getoutput tempfile.mktemp"
)
BANNED_API = ",".join(f'"{name}".msg="it may run what it reads"' for name in BANNED.split())


def forbidden(*paths: object, source: str = "") -> list[str]:
    """What Python programs do that could run what they read, each with its place."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", RULES]
    command += ["--output-format=concise", "--quiet", "--target-version=py311"]
    command += [
        "--config",
        f"lint.flake8-tidy-imports.banned-api={{{BANNED_API}}}",
        *map(str, paths),
    ]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert done.returncode < 2, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "exec(text)",
        "import torch as t\nt.load(path, weights_only=True)",
        "from torch import load\nload(path)",
        "from joblib import dump as keep\nkeep(model, path)",
        "import os\nos.system(command)",
        "import yaml\nyaml.load(text, yaml.Loader)",
        "import yaml\nclass Mine(yaml.Loader):\n    pass\nyaml.load(text, Mine)",
        "import subprocess as s\ns.run(command, shell=True)",
        "import tarfile\ntarfile.open(path).extractall(folder)",
    ],
)
def test_what_is_forbidden_is_recognised(source: str) -> None:
    assert forbidden("-", source=source)


def test_no_program_and_no_chapter_runs_what_it_reads() -> None:
    found = forbidden(*(ROOT / name for name in ("vaelib", "tools", "book", ".ci", "benchmarks")))
    # Its loader is the safe one with one more check: see the test of what claims are.
    assert [line for line in found if "_NoDuplicates" not in line] == []
    for path in CHAPTERS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                magics = re.findall(r"^\s*[!%].*", "".join(cell["source"]), re.M)
                assert magics == [], "a shell command or a magic"


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
    path.write_text(
        f"a:\n  sentence: {text}\n  source: b\n  kind: after\n  accepted: [0, 1]\n  why: c\n"
    )
    with pytest.raises(yaml.YAMLError, match="constructor"):
        load_claims(path)
    assert not (tmp_path / "mark").exists()


def test_text_in_a_table_stays_text() -> None:
    hostile = "<script>alert(1)</script>"
    cells = {hostile: [hostile, "<img src=x onerror=alert(1)>"]}
    shown = table(cells, caption=hostile, name=f'"{hostile}')._repr_html_()
    assert not re.search(r"<(script|img)", shown)
    assert shown.startswith('<table class="table" id="&quot;')
    claim = Claim(
        f'"{hostile}', hostile, "this book", 0, 1, hostile, published=hostile, fails=hostile
    )
    verdict = Verdict(claim, "01", hostile, False, 1, "2", "2", "2")
    assert not re.search("<(script|img)", show_tally([verdict])._repr_html_())
    claim = replace(claim, id="id")
    shown = show_verdicts([replace(verdict, claim=claim)]).data
    assert not re.search(r"(?<!\\)<(script|img)", shown)


# ---- workflows ----------------------------------------------------------------------------------

READ = {"contents": "read"}
# What a job may do beyond reading the repository, and why.
EXTRA = {
    ("book.yml", "publish"): {"pages": "write", "id-token": "write"},  # to deploy the pages
    ("release.yml", "publish"): {"contents": "write"},  # to make the release
}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def workflow(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@each_workflow
def test_a_workflow_may_read_and_its_jobs_no_more_than_they_need(path: Path) -> None:
    assert workflow(path)["permissions"] == READ
    for name, job in workflow(path)["jobs"].items():
        assert job.get("permissions", READ) == EXTRA.get((path.name, name), READ)
        assert 0 < job["timeout-minutes"] <= 360


def test_every_extra_permission_is_still_needed() -> None:
    for file, name in EXTRA:
        assert name in workflow(ROOT / ".github" / "workflows" / file)["jobs"]


def test_every_action_is_pinned_to_one_commit_with_its_version_beside_it() -> None:
    lines = [line for path in WORKFLOWS for line in path.read_text("utf-8").splitlines()]
    uses = [line for line in lines if re.match(r"\s*(- )?uses:", line)]
    pins = {re.search(r"uses: ([\w./-]+)@([0-9a-f]{40}) # (v\d+(\.\d+)*)$", line) for line in uses}
    assert uses
    assert None not in pins
    assert len({pin[1] for pin in pins if pin}) == len({pin[0] for pin in pins if pin})


@each_workflow
def test_no_workflow_gives_secrets_to_strangers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # "on" is read as the boolean true.
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(workflow(path)[True])
    assert "secrets." not in text
    assert "self-hosted" not in text
    for name, job in workflow(path)["jobs"].items():
        trusted = (path.name, name) in EXTRA
        for step in job.get("steps", []):
            script = step.get("run", "")
            # What a stranger may write, say a branch's name, is no part of a script.
            assert "${{" not in script
            assert not (trusted and re.search(r"make|python|\.ci/", script))
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
                assert not trusted, "a job that may write runs no code of the project"
