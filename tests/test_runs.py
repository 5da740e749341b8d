"""The runs that come with the book: each is whole, under its right name, and what it says it is."""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
from conftest import BOOK

from vaelib import _store, encode_images, latent_statistics, load
from vaelib.experiment import DRAWS, Experiment, Run, measure

RUNS = sorted((BOOK / "runs").glob("*.safetensors"))
PER_VARIABLE = ("mu_variance", "mean_variance", "kl", "gain", "noisy_gain")
EVALUATED = ("log_likelihood", "log_likelihood_error", "frechet", "legibility")


@cache
def experiment_of(path: Path) -> Experiment:
    _, description = _store.read(path)
    return Experiment(**json.loads(description))


def kind_of(path: Path) -> str:
    return path.name.split(".")[1]


def shapes_of(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """What the measurements of an experiment are, each with its shape."""
    shapes: dict[str, tuple[int, ...]] = {"shape": (3,), "revived": ()}
    if experiment.model == "Classifier":
        return shapes | {"accuracy": ()}
    shapes |= dict.fromkeys(PER_VARIABLE, (experiment.latent,))
    shapes |= {"nats": (), "squared_error": ()}
    if experiment.model != "Autoencoder":
        shapes["elbo"] = ()
    if experiment.learned_variance:
        shapes["decoder_variance"] = ()
    if experiment.evaluation_samples:
        images = (experiment.evaluation_images,)
        shapes |= dict(zip(EVALUATED, (images, images, (), ()), strict=True))
    return shapes


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name.removesuffix(".safetensors"))
def test_a_stored_run_is_whole_and_has_its_right_name(path: Path) -> None:
    experiment = experiment_of(path)
    run = Run.read(path, experiment)
    assert path.name == f"{experiment.name}.{kind_of(path)}.safetensors"
    assert bool(run.weights) == (kind_of(path) == "run")
    assert {name: value.shape for name, value in run.measurements.items()} == shapes_of(experiment)
    assert not any(value.isnan().any() for value in run.measurements.values())
    assert bool(run.history) == (experiment.history and experiment.model != "Classifier")
    if run.history:
        filmed = {"film"} if experiment.filmed_images else set()
        assert run.history.keys() == {"step", *PER_VARIABLE, *filmed}
        for name in PER_VARIABLE:
            assert run.history[name].shape == (len(run.history["step"]), experiment.latent)
            assert not run.history[name].isnan().any()


@pytest.mark.parametrize(
    "path",
    [path for path in RUNS if experiment_of(path).evaluation_samples],
    ids=lambda path: path.name.removesuffix(".safetensors"),
)
def test_an_evaluation_is_possible(path: Path) -> None:
    experiment = experiment_of(path)
    said = Run.read(path, experiment).measurements
    likelihoods, legible = said["log_likelihood"].double(), said["legibility"] * DRAWS
    assert (said["log_likelihood_error"] >= 0).all()
    assert said["frechet"] > 0
    assert 0 <= legible <= DRAWS
    assert legible.round() == pytest.approx(legible.item(), abs=1e-6)
    # The ELBO of grey pixels is no bound for black and white ones.
    if not experiment.binarise:
        chance = likelihoods.std() / len(likelihoods) ** 0.5
        assert likelihoods.mean() > said["elbo"] - 4 * chance


def test_each_run_on_glyphs_has_its_like_on_mnist_and_kept_weights_are_kept_for_both() -> None:
    def without_dataset(name: str) -> Counter[tuple[str, str]]:
        found = [(kind_of(p), experiment_of(p)) for p in RUNS if experiment_of(p).dataset == name]
        # The film is for the built page, which shows MNIST.
        found = [(kind, experiment) for kind, experiment in found if not experiment.filmed_images]
        # Which variable is set free is the one that died: it differs between the datasets.
        changes = {"dataset": "mnist", "free_variable": None}
        return Counter((kind, str(Experiment(**vars(e) | changes))) for kind, e in found)

    mnist, glyphs = without_dataset("mnist"), without_dataset("glyphs")
    assert RUNS
    assert glyphs <= mnist
    assert {kind for kind, _ in (mnist - glyphs)} <= {"sweep"}


@pytest.mark.parametrize("position", [0.02, 0.5, 0.99])
def test_one_damaged_byte_of_a_stored_run_is_noticed(tmp_path: Path, position: float) -> None:
    content = bytearray(RUNS[0].read_bytes())
    content[int(position * len(content))] ^= 1
    damaged = tmp_path / RUNS[0].name
    damaged.write_bytes(content)
    with pytest.raises(_store.DamagedRunError, match=damaged.name):
        Run.read(damaged, experiment_of(RUNS[0]))


KEPT = [path for path in RUNS if kind_of(path) == "run"]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name.removesuffix(".run.safetensors"))
def test_the_weights_are_those_that_were_measured(path: Path) -> None:
    """A run's model, rebuilt and put in float64, gives the measurements stored beside it."""
    run = Run.read(path, experiment_of(path))
    data = load(run.experiment.dataset)
    if data.name != run.experiment.dataset:
        pytest.skip(f"{run.experiment.dataset} is not at hand: these weights cannot be tried on it")
    if run.experiment.model == "Classifier":
        # Its measurements were made in float64 too, so that not one of 10,000 images differs.
        found = measure(run.classifier(), data)["accuracy"]
        assert found.item() == run.measurements["accuracy"].item()
        assert found > 0.95
        return
    statistics = latent_statistics(*encode_images(run.model(), data.test_images))
    torch.testing.assert_close(statistics.mu_variance, run.statistics.mu_variance)
    torch.testing.assert_close(statistics.mean_variance, run.statistics.mean_variance)
    torch.testing.assert_close(statistics.kl, run.statistics.kl)
