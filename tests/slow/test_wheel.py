"""The wheel's core works with torch and numpy alone, and the other rooms say what they need.

The wheel is built in a fresh environment. Then, instead of installing torch once more, it is used
in the environment of the tests with all distributions hidden but torch, NumPy and what these two
require: an import of another fails as if it were not installed. So it is proved that nothing else
is imported; what other versions do, `make foreign` tries. Outside a checkout nothing is written but
into the user's cache.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]

Run = Callable[[str], subprocess.CompletedProcess[str]]

HIDE = """
import sys


class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *rest):
        if name.partition(".")[0] not in {hidden!r}:
            return self.finder.find_spec(name, *rest)


sys.meta_path[:] = map(Hiding, sys.meta_path)
"""

CORE = """
import sys, torch, vaelib
from vaelib import VAE, diagnose, elbo, encode_images, fit, latent_statistics
assert vaelib.__file__.startswith({place!r}), vaelib.__file__
images = torch.rand(64, 1, 28, 28)
model = VAE((1, 28, 28), (32,), 4)
fit(model, images, lambda x, epoch: -elbo(model, x).mean(), epochs=1, batch_size=32)
assert latent_statistics(*encode_images(model, images)).kl.isfinite().all()
whole = {{"encode": model.encode, "decode": model.decoder, "likelihood": model.likelihood}}
assert diagnose(data=images, **whole).findings
heavy = {{"joblib", "yaml", "IPython", "safetensors", "attrs", "matplotlib", "torchvision", "tqdm"}}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""


LAB = """
import vaelib
from vaelib.lab import Experiment
assert vaelib.__file__.startswith({place!r}), vaelib.__file__
Experiment(dataset="tiles", hidden=(4,), latent=2, epochs=1, images=100, history=False).run()
"""


def needed(name: str) -> set[str]:
    """A distribution and all that it requires, as installed here."""
    names, new = set(), {canonicalize_name(name)}
    while new:
        names |= new
        lines = [line for one in new for line in distribution(one).requires or ()]
        required = [Requirement(line) for line in lines]
        new = {
            canonicalize_name(one.name)
            for one in required
            if one.marker is None or one.marker.evaluate({"extra": ""})
        } - names
    return names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A copy, for setuptools leaves what it made in the folder, and puts it into the next wheel.
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "vaelib", project / "vaelib")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    pytest.importorskip("build", reason="the package build, which makes wheels, is not installed")
    command = [sys.executable, "-m", "build", "--wheel", str(project)]
    result = subprocess.run(command, capture_output=True, text=True)
    if "No matching distribution found for setuptools" in result.stdout + result.stderr:
        pytest.skip("a wheel is built with setuptools, and no package registry answers")
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = project.glob("dist/*.whl")
    return path


def installed(wheel: Path, place: Path) -> Run:
    """Run code where the wheel is unpacked, far from any checkout."""
    zipfile.ZipFile(wheel).extractall(place)

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code.format(place=str(place))]
        cache = str(place.with_name("cache"))
        environment = {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": cache}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run code where the wheel is installed and nothing else is but torch and numpy."""
    place = tmp_path_factory.mktemp("bare") / "site"
    run = installed(wheel, place)
    kept = needed("torch") | needed("numpy") | {"vaelib"}
    hidden = {
        module
        for module, owners in packages_distributions().items()
        if not kept & set(map(canonicalize_name, owners))
    }
    (place / "sitecustomize.py").write_text(HIDE.format(hidden=hidden))
    return run


def test_the_core_trains_and_measures(run: Run) -> None:
    result = run(CORE)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("room", ["lab", "book"])
def test_the_other_rooms_say_what_they_need(run: Run, room: str) -> None:
    last = run(f"import vaelib.{room}").stderr.splitlines()[-1]
    error = rf"\w+Error: vaelib\.{room} needs \w+.*: "
    assert re.fullmatch(rf"{error}pip install 'vaelib\[{room}\]'", last), last


def test_a_run_of_ones_own_goes_to_the_cache_and_not_among_the_packages(
    wheel: Path, tmp_path: Path
) -> None:
    run = installed(wheel, tmp_path / "site")
    before = sorted(tmp_path.rglob("*"))
    result = run(LAB)
    assert result.returncode == 0, result.stderr
    new = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()]
    assert [path.parent for path in new] == [tmp_path / "cache" / "vaelib" / "runs"]


def test_the_wheel_has_all_modules_and_nothing_else(wheel: Path) -> None:
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert files == {
        str(path.relative_to(ROOT))
        for path in (ROOT / "vaelib").rglob("*")
        if path.suffix in (".py", ".toml")
    }
