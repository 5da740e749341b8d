"""The runs that come with the book: each is whole, under its right name, and what it says it is."""

import sys
from collections import Counter
from functools import cache
from pathlib import Path

import attrs
import pytest
import torch
from conftest import BOOK, ROOT

from vaelib import encode_images, latent_statistics, load
from vaelib.lab import Experiment, Run, store
from vaelib.lab.measurements import PRIOR_DRAWS, measure

sys.path.insert(0, str(ROOT / "tools"))
import explorables

RUNS = sorted((BOOK / "runs").glob("*.safetensors"))
KEPT = [path for path in RUNS if path.name.endswith(".run.safetensors")]
PER_VARIABLE = ("var_mu", "mean_sigma2", "kl", "gain", "noisy_gain")
EVALUATED = ("log_likelihood", "log_likelihood_error", "frechet", "confident_share")


@cache
def read(path: Path) -> Run:
    return Run.read(path, Experiment.from_canonical(store.read(path)[1]))


def kind_of(path: Path) -> str:
    return path.name.split(".")[1]


def shapes_of(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """What the measurements of an experiment are, each with its shape."""
    several = (experiment.revive_count,) if experiment.revive_count > 1 else ()
    shapes: dict[str, tuple[int, ...]] = {"shape": (3,), "revived": several}
    if experiment.model == "Classifier":
        return shapes | {"accuracy": ()}
    shapes |= dict.fromkeys(PER_VARIABLE, (experiment.latent,))
    shapes |= {"reconstruction_nats": (), "squared_error": ()}
    if experiment.model != "Autoencoder":
        shapes["elbo"] = ()
    if experiment.beta_path:
        at_ends = (len(experiment.beta_path), experiment.latent)
        names = ("rung_var_mu", "rung_mean_sigma2", "rung_kl", "rung_gain")
        shapes |= {**dict.fromkeys(names, at_ends), "rung_elbo": at_ends[:1]}
    if experiment.learn_variance:
        shapes["decoder_variance"] = ()
    if experiment.beyond_test:
        shapes |= {"training_elbo": (), "noisy_squared_error": ()}
    if experiment.evaluation_samples:
        images = (experiment.evaluation_images,)
        shapes |= dict(zip(EVALUATED, (images, images, (), ()), strict=True))
    return shapes


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name.removesuffix(".safetensors"))
def test_a_stored_run_is_whole_and_has_its_right_name(path: Path) -> None:
    run = read(path)
    experiment, measured = run.experiment, run.measurements
    assert path.name == f"{experiment.name}.{kind_of(path)}.safetensors"
    assert bool(run.weights) == (kind_of(path) == "run")
    assert {name: value.shape for name, value in measured.items()} == shapes_of(experiment)
    assert bool(run.history) == (experiment.history and experiment.model != "Classifier")
    if run.history:
        snapshots = {"snapshots"} if experiment.snapshots else set()
        assert run.history.keys() == {"step", *PER_VARIABLE, *snapshots}
        times = len(run.history["step"])
        assert {run.history[name].shape for name in PER_VARIABLE} == {(times, experiment.latent)}
    for value in (*measured.values(), *run.history.values()):
        assert not value.isnan().any()
    if experiment.evaluation_samples:
        confident = measured["confident_share"].item() * PRIOR_DRAWS
        assert confident == pytest.approx(round(confident), abs=1e-6)
        assert 0 <= confident <= PRIOR_DRAWS
        assert (measured["log_likelihood_error"] >= 0).all()
        assert measured["frechet"] > 0
        # The ELBO of grey pixels is no bound for black and white ones.
        if not experiment.binarise:
            likelihoods = measured["log_likelihood"].double()
            chance = likelihoods.std() / len(likelihoods) ** 0.5
            assert likelihoods.mean() > measured["elbo"] - 4 * chance


def test_each_run_on_glyphs_has_its_like_on_mnist_and_kept_weights_are_kept_for_both() -> None:
    def without_dataset(name: str) -> Counter[tuple[str, Experiment]]:
        runs = [(kind_of(path), read(path).experiment) for path in RUNS]
        # What the built page alone shows, it shows on MNIST. Which variable is set free is the one
        # that died: it differs between the datasets. So does where their spectra have a gap.
        gaps = {2.25: 2.0}
        return Counter(
            (
                kind,
                attrs.evolve(
                    experiment,
                    dataset="mnist",
                    free_variable=None,
                    decoder_variance=gaps.get(
                        experiment.decoder_variance, experiment.decoder_variance
                    ),
                ),
            )
            for kind, experiment in runs
            if experiment.dataset == name
            and not (kind == "run" and experiment in shown - {Experiment()})
        )

    shown = {experiment for _, experiment in explorables.SIXTEEN.values()} | {explorables.FILMED}
    mnist, glyphs = without_dataset("mnist"), without_dataset("glyphs")
    assert glyphs
    assert glyphs <= mnist
    assert {kind for kind, _ in (mnist - glyphs)} <= {"sweep"}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name.removesuffix(".run.safetensors"))
def test_the_weights_are_those_that_were_measured(path: Path) -> None:
    """A run's model, rebuilt and put in float64, gives the measurements stored beside it."""
    run = read(path)
    data = load(run.experiment.dataset)
    if data.name != run.experiment.dataset:
        pytest.skip(f"{run.experiment.dataset} is not here: these weights cannot be tried on it")
    if run.experiment.model == "Classifier":
        # Its measurements were made in float64 too, so that not one of 10,000 images differs.
        accuracy = measure(run.classifier(), data)["accuracy"]
        assert torch.equal(accuracy, run.measurements["accuracy"])
        assert accuracy > 0.95
        return
    statistics = latent_statistics(*encode_images(run.model(), data.test_images))
    for name in ("var_mu", "mean_sigma2", "kl"):
        torch.testing.assert_close(getattr(statistics, name), run.measurements[name])
