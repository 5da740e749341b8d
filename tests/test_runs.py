"""The runs that come with the book: each is whole, under its right name, and what it says it is."""

import json
from pathlib import Path

import pytest
import torch
from conftest import BOOK

from vaelib import _store
from vaelib.experiment import Experiment, Run

RUNS = sorted((BOOK / "runs").glob("*.safetensors"))


def experiment_of(path: Path) -> Experiment:
    _, description = _store.read(path)
    return Experiment(**json.loads(description))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name.removesuffix(".safetensors"))
def test_a_stored_run_is_whole_and_has_its_right_name(path: Path) -> None:
    experiment = experiment_of(path)
    run = Run.read(path, experiment)
    kind = path.name.split(".")[1]
    assert path.name == f"{experiment.name}.{kind}.safetensors"
    assert bool(run.weights) == (kind == "run")
    for name, values in {**run.history, **run.measurements}.items():
        assert not values.isnan().any(), name
    looks = len(run.history["step"])
    for name in ("mu_variance", "mean_variance", "kl", "gain", "noisy_gain"):
        assert run.history[name].shape == (looks, experiment.latent)
        assert run.measurements[name].shape == (experiment.latent,)


def test_both_datasets_have_the_same_experiments() -> None:
    def without_dataset(name: str) -> list[str]:
        found = [experiment_of(p) for p in RUNS if p.name.startswith(name)]
        # Which variable is set free is the one that died: it differs between the datasets.
        return sorted(
            str(Experiment(**{**vars(e), "dataset": "mnist", "free_variable": None})) for e in found
        )

    assert without_dataset("mnist") == without_dataset("glyphs")
    assert RUNS


@pytest.mark.parametrize("position", [0.02, 0.5, 0.99])
def test_one_damaged_byte_of_a_stored_run_is_noticed(tmp_path: Path, position: float) -> None:
    content = bytearray(RUNS[0].read_bytes())
    content[int(position * len(content))] ^= 1
    damaged = tmp_path / RUNS[0].name
    damaged.write_bytes(content)
    with pytest.raises(_store.DamagedRunError, match=damaged.name):
        Run.read(damaged, experiment_of(RUNS[0]))


def test_the_weights_are_those_that_were_measured() -> None:
    """A run's model, rebuilt and put in float64, gives the statistics stored beside it."""
    from vaelib import encode_images, latent_statistics, load

    for path in RUNS:
        experiment = experiment_of(path)
        if path.name.endswith(".run.safetensors") and experiment.dataset == "glyphs":
            run = Run.read(path, experiment)
            images = load("glyphs").test_images
            found = latent_statistics(*encode_images(run.model(), images))
            torch.testing.assert_close(found.mu_variance, run.statistics.mu_variance)
            torch.testing.assert_close(found.mean_variance, run.statistics.mean_variance)
            torch.testing.assert_close(found.kl, run.statistics.kl)
