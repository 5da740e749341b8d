"""Experiments and their runs: identity, storing and loading, and what each field does to training.

The oracle of training is `reference`: the loop written out once more, from the documentation.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import termios
import types
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import vaelib.experiment
import vaelib.reproduce
from vaelib import (
    VAE,
    Autoencoder,
    Classifier,
    ConvVAE,
    Experiment,
    ImageData,
    LinearVAE,
    Run,
    classifier_experiment,
    image_features,
    latent_statistics,
    reconstruction_gain,
    sweep,
)
from vaelib._store import DamagedRunError
from vaelib.experiment import (
    MissingRunError,
    _at_home,
    _train_in_worker,
    runs_folder,
    train,
    train_all,
    watched_steps,
)

few = settings(deadline=None, max_examples=40, database=None)


def make_data(name="tiny", n=40, shape=(1, 3, 4)):
    generator = torch.Generator().manual_seed(0)
    factors = torch.rand(2 * n, 2, generator=generator)
    pattern = torch.rand(2, shape[0] * shape[1] * shape[2], generator=generator)
    pixels = (factors @ pattern / 2).clamp(0, 1)
    images = (pixels * 255).to(torch.uint8).reshape(2 * n, *shape)
    labels = (3 * factors[:, 0]).to(torch.int64)
    return ImageData(
        name=name,
        train_images=images[:n],
        train_labels=labels[:n],
        test_images=images[n:],
        test_labels=labels[n:],
    )


SMALL = Experiment(
    dataset="tiny",
    hidden=(6,),
    latent=3,
    initialisation="torch",
    epochs=4,
    batch_size=16,
    learning_rate=1e-2,
    seed=3,
)


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty run store, and data small enough to train on at once."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("VAELIB_RUNS", str(folder))
    monkeypatch.delenv("VAELIB_TRAIN", raising=False)
    monkeypatch.setattr(vaelib.experiment, "load", make_data)
    return folder


@pytest.fixture
def no_training(monkeypatch):
    def fail(*_args, **_kwargs):
        pytest.fail("trained, though the run is stored")

    def forbid():
        monkeypatch.setattr(vaelib.experiment, "fit", fail)

    return forbid


@pytest.fixture
def trained(monkeypatch):
    """The experiments that are trained from here on, in that order."""
    original, seen = vaelib.experiment.train, []

    def counting(experiment, *args, **kwargs):
        seen.append(experiment)
        return original(experiment, *args, **kwargs)

    monkeypatch.setattr(vaelib.experiment, "train", counting)
    return seen


def same_tensors(a, b):
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- identity -----------------------------------------------------------------------------------


def test_the_canonical_form_says_only_what_differs_from_the_defaults():
    assert Experiment().canonical == "{}"
    assert Experiment(dataset="mnist", beta=1, seed=0, hidden=[256, 64, 32, 24]).canonical == "{}"
    experiment = Experiment(seed=2, beta=0.5, hidden=[8, 4], revive_epochs=[1, 3], model="VAE")
    assert experiment.canonical == '{"beta":0.5,"hidden":[8,4],"revive_epochs":[1,3],"seed":2}'
    assert Experiment(**json.loads(experiment.canonical)) == experiment


def test_names_are_pinned_so_that_stored_runs_stay_found():
    # The digest is that of sha256sum, e.g. of: printf '{}' | sha256sum
    assert Experiment().name == "mnist-vae16-seed0-44136fa355b3"
    assert Experiment().canonical == "{}"
    text = '{"dataset":"glyphs","initialisation":"torch","latent":2,"model":"Autoencoder","seed":7}'
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    experiment = Experiment(
        dataset="glyphs", initialisation="torch", latent=2, model="Autoencoder", seed=7
    )
    assert experiment.canonical == text
    assert experiment.name == f"glyphs-autoencoder2-seed7-{digest}"


def test_the_newer_fields_have_names_too():
    experiment = Experiment(free_bits=0.1, history=False, evaluation_samples=200, epochs=10)
    text = '{"epochs":10,"evaluation_samples":200,"free_bits":0.1,"history":false}'
    assert experiment.canonical == text
    assert Experiment(**json.loads(text)) == experiment
    # What a field leaves as it is, it does not name.
    same = {"importance_samples": 1, "latent_dropout": 0, "binarise": False, "activation": "relu"}
    assert dataclasses.replace(experiment, **same).canonical == text


def test_the_classifiers_are_pinned_because_every_evaluation_needs_theirs():
    assert classifier_experiment("mnist").name == "mnist-classifier32-seed0-0906ab9bfd0b"
    assert classifier_experiment("glyphs").name == "glyphs-classifier32-seed0-50362d6c0983"


def test_the_defaults_are_pinned_because_the_canonical_form_omits_them():
    # A default that changes would silently make another experiment of every stored run.
    assert dataclasses.asdict(Experiment()) == {
        "dataset": "mnist",
        "model": "VAE",
        "hidden": (256, 64, 32, 24),
        "latent": 16,
        "likelihood": "bernoulli",
        "decoder_variance": 1.0,
        "learned_variance": False,
        "initialisation": "glorot",
        "activation": "relu",
        "beta": 1.0,
        "beta_warmup": 0,
        "sample_from_epoch": 0,
        "free_variable": None,
        "revive_epochs": None,
        "importance_samples": 1,
        "free_bits": 0.0,
        "latent_dropout": 0.0,
        "binarise": False,
        "epochs": 20,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "final_learning_rate": None,
        "precision": "float32",
        "images": None,
        "history": True,
        "filmed_images": 0,
        "evaluation_samples": 0,
        "evaluation_images": 2_000,
        "seed": 0,
    }


OTHER = {
    "dataset": "glyphs",
    "model": "Autoencoder",
    "hidden": (8,),
    "latent": 4,
    "likelihood": "gaussian",
    "decoder_variance": 0.5,
    "learned_variance": True,
    "initialisation": "torch",
    "activation": "tanh",
    "beta": 2.0,
    "beta_warmup": 3,
    "sample_from_epoch": 2,
    "free_variable": 0,
    "revive_epochs": (1, 2),
    "importance_samples": 5,
    "free_bits": 0.1,
    "latent_dropout": 0.2,
    "binarise": True,
    "epochs": 9,
    "batch_size": 64,
    "learning_rate": 0.1,
    "final_learning_rate": 1e-4,
    "precision": "bfloat16",
    "images": 500,
    "history": False,
    "filmed_images": 3,
    "evaluation_samples": 200,
    "evaluation_images": 100,
    "seed": 1,
}
# A Bernoulli likelihood has no variance to learn.
NEEDS = {"learned_variance": {"likelihood": "gaussian"}}


def test_every_field_counts_in_the_name():
    assert OTHER.keys() == {field.name for field in dataclasses.fields(Experiment)}
    changes = [{name: OTHER[name]} | NEEDS.get(name, {}) for name in OTHER]
    experiments = [Experiment(), *(Experiment(**fields) for fields in changes)]
    digests = {e.name.rpartition("-")[2] for e in experiments}
    assert len(digests) == len(experiments)
    assert len(set(experiments)) == len(experiments)


@few
@given(
    hidden=st.lists(st.integers(1, 500), max_size=4),
    latent=st.integers(1, 99),
    beta=st.floats(0, 1e6),
    learning_rate=st.floats(0, 1, exclude_min=True),
    seed=st.integers(0, 2**31),
    images=st.none() | st.integers(1, 60000),
    free=st.booleans(),
)
def test_the_canonical_form_reads_back_as_the_experiment(
    hidden, latent, beta, learning_rate, seed, images, free
):
    experiment = Experiment(
        hidden=hidden,
        latent=latent,
        beta=beta,
        learning_rate=learning_rate,
        seed=seed,
        images=images,
        free_variable=latent - 1 if free else None,
    )
    again = Experiment(**json.loads(experiment.canonical))
    assert again == experiment
    assert again.name == experiment.name
    assert again.canonical == experiment.canonical


def test_equal_experiments_have_one_name():
    assert Experiment(beta=2) == Experiment(beta=2.0)
    assert Experiment(beta=2).name == Experiment(beta=2.0).name


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("model", "GAN"),
        ("model", "vae"),
        ("latent", 0),
        ("latent", -1),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("images", 0),
        ("beta", -0.1),
        ("beta", float("nan")),
        ("beta_warmup", -1),
        ("sample_from_epoch", -1),
        ("free_variable", 16),
        ("free_variable", -1),
        ("revive_epochs", (3, 3)),
        ("revive_epochs", (4, 2)),
        ("revive_epochs", (-1, 2)),
        ("revive_epochs", (1, 21)),
        ("importance_samples", 0),
        ("free_bits", -0.1),
        ("free_bits", float("nan")),
        ("latent_dropout", -0.1),
        ("latent_dropout", 1.0),
        ("latent_dropout", float("nan")),
        ("final_learning_rate", 0.0),
        ("evaluation_samples", -1),
        ("evaluation_images", 0),
    ],
)
def test_a_bad_experiment_is_an_error_that_names_the_argument(argument, value):
    with pytest.raises(ValueError, match=rf"^{argument}: expected .*, got .*"):
        Experiment(**{argument: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"beta": 2.0},
        {"beta_warmup": 1},
        {"sample_from_epoch": 1},
        {"free_variable": 0},
        {"revive_epochs": (0, 1)},
        {"free_bits": 0.1},
        {"latent_dropout": 0.1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_belongs_to_the_elbo_is_an_error_with_importance_samples(changes):
    assert small(**changes).importance_samples == 1
    with pytest.raises(ValueError, match=r"^importance_samples: the IWAE bound has none of beta,"):
        small(**changes, importance_samples=2)


def test_importance_samples_go_with_all_that_is_not_of_the_elbo():
    fields = {"binarise": True, "likelihood": "gaussian", "learned_variance": True}
    assert small(importance_samples=2, evaluation_samples=9, **fields).importance_samples == 2


def test_revival_may_last_to_the_end():
    assert Experiment(revive_epochs=(0, 20)).revive_epochs == (0, 20)


@pytest.mark.parametrize(
    "changes", [{"likelihood": "poisson"}, {"initialisation": "he"}, {"hidden": (0,)}]
)
def test_a_bad_architecture_is_an_error_before_anything_is_stored(runs, changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        small(**changes).run()
    assert not runs.exists()


def test_experiments_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.seed = 9


# ---- building -----------------------------------------------------------------------------------


def test_the_seed_alone_decides_the_first_weights():
    torch.manual_seed(1)
    first = SMALL.build((1, 3, 4))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = SMALL.build((1, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert same_tensors(first.state_dict(), second.state_dict())
    third = small(seed=4).build((1, 3, 4))
    assert not torch.equal(first.mu.weight, third.mu.weight)


def test_the_model_is_the_one_described():
    experiment = small(likelihood="gaussian", decoder_variance=0.3, initialisation="glorot")
    model = experiment.build((2, 3, 4))
    assert type(model) is VAE
    assert (model.shape, model.hidden, model.latent) == ((2, 3, 4), (6,), 3)
    assert (model.likelihood, model.decoder_variance) == ("gaussian", 0.3)
    assert model.initialisation == "glorot"
    assert type(small(model="Autoencoder").build((1, 3, 4))) is Autoencoder


@pytest.mark.parametrize("kind", [ConvVAE, LinearVAE, Classifier])
def test_each_model_is_built_with_its_shape_and_size(kind):
    fields = {"hidden": (4, 6)} if kind is ConvVAE else {"hidden": ()}
    if kind is LinearVAE:
        fields |= {"likelihood": "gaussian", "learned_variance": True, "decoder_variance": 0.3}
    model = small(model=kind.__name__, **fields).build((1, 4, 4))
    assert type(model) is kind
    assert model.shape == (1, 4, 4)
    if kind is Classifier:
        assert model.head.in_features == 3
    else:
        assert (model.hidden, model.latent) == (fields["hidden"], 3)
    if kind is LinearVAE:
        assert model.decoder_variance.item() == pytest.approx(0.3)


def test_the_activation_is_that_of_all_hidden_layers():
    model = small(activation="tanh").build((1, 3, 4))
    x = torch.rand(5, 1, 3, 4)
    hidden = torch.tanh(x.flatten(1) @ model.encoder[0].weight.T + model.encoder[0].bias)
    mu = hidden @ model.mu.weight.T + model.mu.bias
    torch.testing.assert_close(model.encode(x)[0], mu)
    back = torch.tanh(mu @ model.decoder[0].weight.T + model.decoder[0].bias)
    logits = back @ model.decoder[2].weight.T + model.decoder[2].bias
    torch.testing.assert_close(model.decode(mu).flatten(1), logits.sigmoid())


# ---- what training does -------------------------------------------------------------------------


def reference(experiment, data):
    """Train as the documentation of `Experiment` says, sharing nothing but the model's layers."""
    model = experiment.build(tuple(data.train_images.shape[1:]))
    images = data.train_images[: experiment.images].float() / 255
    order = torch.Generator().manual_seed(experiment.seed)
    noise = torch.Generator().manual_seed(experiment.seed)
    adam = torch.optim.Adam(model.parameters(), lr=experiment.learning_rate)
    revived = -1
    for epoch in range(experiment.epochs):
        if experiment.final_learning_rate:
            fall = experiment.final_learning_rate / experiment.learning_rate
            done = epoch / (experiment.epochs - 1)
            adam.param_groups[0]["lr"] = experiment.learning_rate * fall**done
        if experiment.revive_epochs and epoch == experiment.revive_epochs[0]:
            with torch.no_grad():
                mu, _ = model.encode(data.test_images.float() / 255)
            revived = int(mu.numpy().var(axis=0).argmin())
        index = torch.randperm(len(images), generator=order)
        for start in range(0, len(images), experiment.batch_size):
            batch = index[start : start + experiment.batch_size]
            adam.zero_grad()
            if experiment.model == "Classifier":
                chances = model(images[batch]).softmax(1)
                right = chances[torch.arange(len(batch)), data.train_labels[batch]]
                loss = -right.log().mean()
            else:
                loss = reference_loss(experiment, model, images[batch], epoch, revived, noise)
            loss.backward()
            adam.step()
    return model, revived


def reference_loss(experiment, model, x, epoch, revived, noise):
    if experiment.binarise:
        x = torch.bernoulli(x, generator=noise)
    mu, logvar = model.encode(x)
    if experiment.importance_samples > 1:
        shape = (experiment.importance_samples, *mu.shape)
        sigma = logvar.exp().sqrt()
        z = mu + sigma * torch.randn(shape, generator=noise)
        log_prior = torch.distributions.Normal(0, 1).log_prob(z).sum(2)
        log_posterior = torch.distributions.Normal(mu, sigma).log_prob(z).sum(2)
        fits = torch.stack([reference_fit(experiment, model, x, draw) for draw in z])
        return -(fits + log_prior - log_posterior).exp().mean(0).log().mean()
    if experiment.model == "Autoencoder":
        return -reference_fit(experiment, model, x, mu).mean()
    z, cost = mu, 0
    if epoch >= experiment.sample_from_epoch:
        z = mu + logvar.exp().sqrt() * torch.randn(mu.shape, generator=noise)
    if experiment.latent_dropout or experiment.free_bits:  # both draw, with 0 as the chance
        z = z * (torch.rand(z.shape, generator=noise) >= experiment.latent_dropout)
    for j in range(experiment.latent):
        weight = experiment.beta
        if epoch < experiment.beta_warmup:
            weight = experiment.beta * epoch / experiment.beta_warmup
        if j == experiment.free_variable:
            weight = 0.0
        if j == revived and experiment.revive_epochs[0] <= epoch < experiment.revive_epochs[1]:
            weight = 0.0
        kl = ((mu[:, j] ** 2 + logvar[:, j].exp() - logvar[:, j] - 1) / 2).mean()
        cost = cost + weight * kl.clamp(min=experiment.free_bits)
    return cost - reference_fit(experiment, model, x, z).mean()


def reference_fit(experiment, model, x, z):
    output, flat = model.decoder(z), x.flatten(1)
    if experiment.likelihood == "bernoulli":
        return (flat * F.logsigmoid(output) + (1 - flat) * F.logsigmoid(-output)).sum(1)
    if experiment.likelihood == "continuous_bernoulli":
        return torch.distributions.ContinuousBernoulli(logits=output).log_prob(flat).sum(1)
    variance = torch.tensor(experiment.decoder_variance)
    if experiment.learned_variance:
        variance = model.log_decoder_variance.exp()
    return torch.distributions.Normal(output, variance.sqrt()).log_prob(flat).sum(1)


FIELDS = {
    "nothing": {},
    "hidden": {"hidden": (5, 4)},
    "latent": {"latent": 2},
    "likelihood": {"likelihood": "gaussian", "decoder_variance": 0.1},
    "initialisation": {"initialisation": "glorot"},
    "beta": {"beta": 3.0},
    "beta 0": {"beta": 0.0},
    "beta_warmup": {"beta_warmup": 3, "beta": 2.0},
    "beta_warmup longer than training": {"beta_warmup": 9},
    "sample_from_epoch": {"sample_from_epoch": 2},
    "never sampled": {"sample_from_epoch": 4},
    "free_variable": {"free_variable": 1},
    "first variable free": {"free_variable": 0},
    "revive_epochs": {"revive_epochs": (1, 3)},
    "revived from the start": {"revive_epochs": (0, 2)},
    "all at once": {
        "beta": 2.0,
        "beta_warmup": 2,
        "sample_from_epoch": 1,
        "free_variable": 0,
        "revive_epochs": (2, 3),
    },
    "epochs": {"epochs": 2},
    "batch_size": {"batch_size": 7},
    "learning_rate": {"learning_rate": 3e-3},
    "images": {"images": 20},
    "seed": {"seed": 4},
    "Autoencoder": {"model": "Autoencoder"},
    "importance_samples": {"importance_samples": 4},
    "two importance_samples": {"importance_samples": 2},
    "importance_samples, gaussian": {
        "importance_samples": 3,
        "likelihood": "gaussian",
        "decoder_variance": 0.2,
        "binarise": True,
    },
    "free_bits": {"free_bits": 0.01},
    "free_bits and beta": {"free_bits": 0.02, "beta": 3.0, "free_variable": 2},
    "free_bits and beta_warmup": {"free_bits": 0.02, "beta_warmup": 3},
    "latent_dropout": {"latent_dropout": 0.4},
    "latent_dropout without noise": {"latent_dropout": 0.4, "sample_from_epoch": 4},
    "latent_dropout and free_bits": {"latent_dropout": 0.2, "free_bits": 0.01},
    "binarise": {"binarise": True},
    "final_learning_rate": {"final_learning_rate": 1e-4},
    "final_learning_rate, two epochs": {"final_learning_rate": 1e-4, "epochs": 2},
    "learned_variance": {
        "likelihood": "gaussian",
        "learned_variance": True,
        "decoder_variance": 0.05,
    },
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
    "activation": {"activation": "tanh"},
    "ConvVAE": {"model": "ConvVAE", "hidden": (4, 6)},
    "LinearVAE": {"model": "LinearVAE", "hidden": (), "likelihood": "gaussian"},
    "Classifier": {"model": "Classifier", "hidden": ()},
}


@pytest.fixture(scope="module")
def plain_weights():
    return train(SMALL, make_data()).weights


@pytest.mark.parametrize("changes", FIELDS.values(), ids=FIELDS)
def test_each_field_changes_training_as_documented(changes, plain_weights):
    experiment, data = small(**changes), make_data()
    if experiment.model == "ConvVAE":
        data = make_data(shape=(1, 4, 4))  # which two halves divide
    run = train(experiment, data)
    model, revived = reference(experiment, data)
    expected = model.state_dict()
    assert run.weights.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(run.weights[name], value, rtol=1e-3, atol=2e-5)
    assert run.measurements["revived"] == revived
    differs = any(
        name not in run.weights
        or run.weights[name].shape != value.shape
        or (run.weights[name] - value).abs().max() > 1e-3
        for name, value in plain_weights.items()
    )
    assert differs == bool(changes)


def test_the_variable_to_revive_is_chosen_once_even_if_it_is_the_first():
    run = train(small(revive_epochs=(1, 4), batch_size=8), make_data())
    model, revived = reference(run.experiment, make_data())
    assert run.measurements["revived"] == revived == 0
    # By the end another one has the least variance: chosen anew, it would be that one.
    assert run.history["mu_variance"][-1].argmin() != 0
    for name, value in model.state_dict().items():
        torch.testing.assert_close(run.weights[name], value, rtol=1e-3, atol=2e-5)


def test_what_is_free_is_used_where_no_variable_could_pay():
    strict, lenient = (
        train(small(beta=20.0, epochs=60, free_bits=b), make_data()).measurements["kl"]
        for b in (0.0, 0.5)
    )
    assert strict.max() < 0.01
    assert 0.2 < lenient.max() < 0.6


def test_the_freed_variable_is_the_one_that_has_no_kl():
    runs = [
        train(small(free_variable=j, epochs=15, learning_rate=3e-2), make_data())
        for j in (None, 0, 2)
    ]
    plain, first, last = (run.measurements["kl"] for run in runs)
    assert first[0] > plain[0] + 0.1
    assert last[2] > plain[2] + 0.1


def test_the_same_seed_gives_the_same_run_to_the_last_bit():
    torch.manual_seed(1)
    first = train(SMALL, make_data())
    torch.manual_seed(2)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    second = train(SMALL, make_data())
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    for part in ("weights", "history", "measurements"):
        assert same_tensors(getattr(first, part), getattr(second, part))


def test_threads_are_given_back_after_a_failure(monkeypatch):
    seen = []

    def fail(*_args, **_kwargs):
        seen.append(torch.get_num_threads())
        raise RuntimeError("stop")

    monkeypatch.setattr(vaelib.experiment, "fit", fail)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="stop"):
            train(SMALL, make_data())
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_training_that_diverges_stores_nothing(runs):
    with pytest.raises(ValueError, match="expected"):
        small(learning_rate=1e30).run()
    assert not runs.exists() or not list(runs.iterdir())


# ---- what a run keeps ---------------------------------------------------------------------------


@few
@given(epochs=st.integers(1, 30), steps=st.integers(1, 500))
def test_the_watched_steps_go_from_first_to_last(epochs, steps):
    watched = sorted(watched_steps(epochs, steps))
    assert watched[0] == 0
    assert watched[-1] == epochs * steps
    assert {epoch * steps for epoch in range(epochs + 1)} <= set(watched)
    assert {1, steps} <= set(watched)
    assert len(watched) <= 18 + 2 * epochs


@few
@given(epochs=st.integers(1, 40), steps=st.integers(1, 500))
def test_up_to_40_epochs_the_history_looks_twice_in_each(epochs, steps):
    halves = {half * steps // 2 for half in range(2 * epochs + 1)}
    early = {int(step) for step in np.geomspace(1, steps, 16)}
    assert watched_steps(epochs, steps) == halves | early


@few
@given(epochs=st.integers(41, 2_000), steps=st.integers(1, 500))
def test_beyond_40_epochs_80_looks_are_evenly_spaced(epochs, steps):
    watched = sorted(watched_steps(epochs, steps))
    assert (watched[0], watched[-1]) == (0, epochs * steps)
    assert len(watched) <= 81 + 16
    gaps = np.diff([step for step in watched if step >= steps])
    assert gaps.max() <= epochs * steps / 80 + 1
    # The first gap may be shorter: the early steps end within it. So may be that of a step each.
    assert gaps[1:].min() >= max(1, epochs * steps / 80 - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "Autoencoder"},
        {"likelihood": "gaussian", "learned_variance": True, "decoder_variance": 0.1},
        {"beta": 2.0, "beta_warmup": 2, "sample_from_epoch": 1},
        {"free_variable": 1, "binarise": True, "activation": "tanh"},
        {"revive_epochs": (1, 3), "batch_size": 17},
    ],
)
def test_the_gradient_by_hand_trains_as_autograd_does(changes, monkeypatch):
    by_hand = train(small(**changes), make_data())
    monkeypatch.setattr(vaelib.experiment, "elbo_gradient", None)
    monkeypatch.setattr(Experiment, "_by_hand", False)
    by_autograd = train(small(**changes), make_data())
    for name, value in by_hand.weights.items():
        torch.testing.assert_close(value, by_autograd.weights[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"free_bits": 0.1}, {"latent_dropout": 0.5}, {"importance_samples": 2}]
)
def test_what_the_gradient_by_hand_does_not_know_is_left_to_autograd(changes, monkeypatch):
    monkeypatch.setattr(vaelib.experiment, "elbo_gradient", None)
    train(small(**changes), make_data())
    with pytest.raises(TypeError):
        train(SMALL, make_data())


@pytest.mark.parametrize("model", ["VAE", "Autoencoder"])
def test_bfloat16_trains_nearly_the_same_network(model, monkeypatch):
    monkeypatch.setattr("vaelib.gradients.LARGE", 0)
    plain, rough = (
        train(small(model=model, precision=p), make_data()) for p in ("float32", "bfloat16")
    )
    differ = [(rough.weights[name] - value).abs().max() for name, value in plain.weights.items()]
    assert 0 < max(differ) < 0.1
    assert {value.dtype for value in rough.weights.values()} == {torch.float32}


def test_bfloat16_is_an_error_where_it_is_not_known():
    for change in (
        {"model": "LinearVAE", "hidden": (), "likelihood": "gaussian"},
        {"free_bits": 1},
    ):
        with pytest.raises(ValueError, match=r"^precision: ") as caught:
            small(precision="bfloat16", **change)
        assert str(caught.value).partition(": ")[2] == (
            "bfloat16 is for dense networks trained on the ELBO as it is, "
            "without importance samples, free bits or dropout"
        )
    with pytest.raises(ValueError, match=r"^precision: expected one of float32, bfloat16"):
        small(precision="float16")


def test_a_model_where_the_images_are_is_not_copied():
    model = SMALL.build((1, 3, 4))
    assert _at_home(model) is model


def test_on_a_device_of_its_own_the_same_is_trained(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain, asked = train(SMALL, make_data()), train(SMALL, make_data(), device="auto")
    assert same_tensors(plain.weights, asked.weights)
    with pytest.raises(RuntimeError, match="nowhere"):
        train(SMALL, make_data(), device="nowhere")


@pytest.mark.parametrize(
    ("asked", "there_is_one", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", False, "cuda")],
)
def test_the_device_asked_for_is_the_one_trained_on(asked, there_is_one, expected, monkeypatch):
    data, generator, seen = make_data(), torch.Generator(), []

    def fit(*_args, device, **_options):
        seen.append(device)
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there_is_one)
    monkeypatch.setattr(torch, "Generator", lambda _device: generator)
    monkeypatch.setattr(vaelib.experiment, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, data, device=asked)
    assert seen == [expected]


def test_training_is_silent_unless_asked(capsys):
    train(small(epochs=1), make_data())
    assert capsys.readouterr() == ("", "")
    train(small(epochs=1), make_data(), progress=True)
    assert SMALL.dataset in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_trains_much_the_same_network():
    plain, there = train(SMALL, make_data()), train(SMALL, make_data(), device="cuda")
    assert {value.device.type for value in there.weights.values()} == {"cpu"}
    gap = plain.measurements["elbo"] - there.measurements["elbo"]
    assert gap.abs() < 0.5


def test_training_imports_no_compiler_no_torchvision_and_no_matplotlib():
    # They take up to 150 MB and more than a second, in every process of a sweep.
    code = """
import sys, torch, vaelib
from vaelib.experiment import train
images = torch.randint(0, 256, (40, 1, 3, 4), dtype=torch.uint8)
labels = torch.zeros(40, dtype=torch.int64)
data = vaelib.ImageData("tiny", images, labels, images, labels)
train(vaelib.Experiment(dataset="tiny", hidden=(6,), latent=3, epochs=2, batch_size=16), data)
heavy = ("torch._dynamo", "sympy", "torchvision", "matplotlib")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_a_history_all_else_is_the_same():
    with_history, without = (train(small(history=h), make_data()) for h in (True, False))
    assert without.history == {}
    assert with_history.history
    assert same_tensors(without.weights, with_history.weights)
    assert same_tensors(without.measurements, with_history.measurements)


@pytest.mark.parametrize("changes", [{}, {"batch_size": 100}, {"epochs": 1}, {"images": 1}])
def test_the_history_has_a_row_for_each_watched_step(changes):
    experiment = small(**changes)
    history = train(experiment, make_data()).history
    steps = -(-(experiment.images or 40) // experiment.batch_size)
    assert history["step"].tolist() == sorted(watched_steps(experiment.epochs, steps))
    names = {"step", "mu_variance", "mean_variance", "kl", "gain", "noisy_gain"}
    assert history.keys() == names
    for name in names - {"step"}:
        assert history[name].shape == (len(history["step"]), 3)
        assert history[name].dtype == torch.float32
        assert history[name].isfinite().all()


def test_the_history_starts_at_the_first_weights_and_ends_at_the_last():
    data = make_data()
    run = train(SMALL, data)
    x = data.test_images.float() / 255
    for row, model in [(0, SMALL.build((1, 3, 4))), (-1, run.model().float())]:
        mu, logvar = (t.detach() for t in model.encode(x))
        for name, value in [
            ("mu_variance", mu.numpy().var(axis=0)),
            ("mean_variance", logvar.exp().numpy().mean(axis=0)),
            ("kl", ((mu**2 + logvar.exp() - logvar - 1) / 2).numpy().mean(axis=0)),
        ]:
            torch.testing.assert_close(
                run.history[name][row], torch.as_tensor(value), rtol=1e-4, atol=1e-6
            )
        gain = reconstruction_gain(model.requires_grad_(False), data.test_images)
        torch.testing.assert_close(run.history["gain"][row], gain, rtol=1e-4, atol=1e-5)


def test_filmed_images_are_the_reconstructions_of_the_moment_and_change_nothing_else():
    data = make_data()
    plain, filmed = train(SMALL, data), train(small(filmed_images=3), data)
    film = filmed.history.pop("film")
    assert same_tensors(plain.history, filmed.history)
    assert same_tensors(plain.weights, filmed.weights)
    assert film.shape == (len(filmed.history["step"]), 3, *data.test_images.shape[1:])
    assert film.dtype == torch.uint8
    x = data.test_images[:3].float() / 255
    for row, model in [(0, SMALL.build((1, 3, 4))), (-1, filmed.model().float())]:
        pixels = model.decode(model.encode(x)[0]).detach()
        assert (film[row] - 255 * pixels).abs().max() <= 0.501


def test_filmed_pixels_beyond_black_and_white_are_black_and_white():
    data = make_data()
    thrown_about = {"likelihood": "gaussian", "learning_rate": 1.0, "epochs": 1, "batch_size": 10}
    run = train(small(filmed_images=40, **thrown_about), data)
    pixels = run.model().decode(run.model().encode(data.test_images.double() / 255)[0])
    assert pixels.min() < -0.01
    assert pixels.max() > 1.01
    film = run.history["film"][-1].double()
    assert (film - (255 * pixels.clamp(0, 1)).round()).abs().max() <= 1
    assert film[pixels > 1.01].unique().tolist() == [255]
    assert film[pixels < -0.01].unique().tolist() == [0]


def test_a_film_needs_a_history():
    with pytest.raises(ValueError, match=r"^filmed_images: "):
        small(filmed_images=3, history=False)


def test_the_measurements_are_those_of_the_trained_model_in_float64():
    data = make_data()
    run = train(small(likelihood="gaussian", decoder_variance=0.1), data)
    model, x = run.model(), data.test_images.double() / 255
    mu, logvar = model.encode(x)
    said = run.measurements
    torch.testing.assert_close(said["mu_variance"], mu.var(0, correction=0))
    torch.testing.assert_close(said["mean_variance"], logvar.exp().mean(0))
    torch.testing.assert_close(said["kl"], ((mu**2 + logvar.exp() - logvar - 1) / 2).mean(0))
    normal = torch.distributions.Normal(model.decode(mu), 0.1**0.5)
    nats = -normal.log_prob(x).sum((1, 2, 3)).mean()
    torch.testing.assert_close(said["nats"], nats)
    torch.testing.assert_close(said["squared_error"], (model.decode(mu) - x).square().mean())
    for j in range(3):
        z = mu.clone()
        z[:, j] = 0
        without = torch.distributions.Normal(model.decode(z), 0.1**0.5).log_prob(x)
        torch.testing.assert_close(said["gain"][j], -nats - without.sum((1, 2, 3)).mean())
    noise = torch.Generator().manual_seed(0)
    noisy_gain = reconstruction_gain(model, data.test_images, noise)
    torch.testing.assert_close(said["noisy_gain"], noisy_gain)
    assert not torch.equal(said["noisy_gain"], said["gain"])
    noise = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = torch.distributions.Normal(model.decode(mu + (logvar / 2).exp() * noise), 0.1**0.5)
    elbo = drawn.log_prob(x).sum((1, 2, 3)).mean() - said["kl"].sum()
    torch.testing.assert_close(said["elbo"], elbo)
    assert said["shape"].tolist() == [1, 3, 4]
    for name in ("mu_variance", "gain", "noisy_gain", "nats", "elbo", "squared_error"):
        assert said[name].dtype == torch.float64
    statistics = latent_statistics(mu, logvar)
    torch.testing.assert_close(run.statistics.law, statistics.law)
    assert torch.equal(run.statistics.kl, run.measurements["kl"])
    assert run.statistics.active().tolist() == statistics.active().tolist()


def test_a_deterministic_autoencoder_has_no_elbo():
    run = train(small(model="Autoencoder"), make_data())
    assert "elbo" not in run.measurements
    assert torch.isposinf(run.measurements["kl"]).all()
    assert torch.equal(run.measurements["gain"], run.measurements["noisy_gain"])


def test_a_learned_variance_is_among_the_measurements():
    gaussian = {"likelihood": "gaussian", "decoder_variance": 0.05}
    run = train(small(**gaussian, learned_variance=True), make_data())
    learned = run.measurements["decoder_variance"]
    torch.testing.assert_close(learned, run.weights["log_decoder_variance"].double().exp())
    assert abs(learned - 0.05) > 1e-4
    assert "decoder_variance" not in train(small(**gaussian), make_data()).measurements


def test_a_classifier_has_an_accuracy_and_no_latent_variables():
    data = make_data()
    run = train(small(model="Classifier", hidden=(), latent=8, epochs=100), data)
    assert run.history == {}
    assert run.measurements.keys() == {"shape", "accuracy", "revived"}
    with torch.no_grad():
        answers = run.classifier()(data.test_images.double() / 255).argmax(1)
    accuracy = (answers.numpy() == data.test_labels.numpy()).mean()
    assert run.measurements["accuracy"].item() == pytest.approx(accuracy)
    assert accuracy > 0.8  # the best single answer is right for about a third
    assert {value.dtype for value in run.classifier().state_dict().values()} == {torch.float64}
    assert not run.classifier().training


def test_a_classifier_is_no_autoencoder_and_the_other_way_round():
    says = r"^model: this run trained a classifier; use classifier\(\)"
    with pytest.raises(ValueError, match=says):
        train(small(model="Classifier", hidden=()), make_data()).model()
    says = r"^model: this run trained an autoencoder; use model\(\)"
    with pytest.raises(ValueError, match=says):
        train(SMALL, make_data()).classifier()


def test_image_features_are_those_of_the_last_hidden_layer():
    judge = small(model="Classifier", hidden=(), latent=5).build((1, 3, 4))
    images = torch.randint(256, (1_100, 1, 3, 4), dtype=torch.uint8)
    found = image_features(judge, images)
    assert found.shape == (1_100, 5)
    pixels = images.float() / 255
    torch.testing.assert_close(image_features(judge, pixels), found)
    with torch.no_grad():
        torch.testing.assert_close(judge(pixels), judge.head(found))
    assert found.min() == 0
    assert image_features(judge.double(), images).dtype == torch.float64
    torch.testing.assert_close(image_features(judge, pixels), image_features(judge, images))


# ---- evaluation ---------------------------------------------------------------------------------


@pytest.fixture
def sure_judge(runs, monkeypatch):
    """A classifier that has learned enough of the small data to be sure of some images."""
    judge = small(model="Classifier", hidden=(), latent=6, epochs=45, history=False)
    monkeypatch.setattr(vaelib.experiment, "classifier_experiment", lambda dataset: judge)
    return judge


@pytest.mark.parametrize(
    "changes",
    [{}, {"binarise": True}, {"importance_samples": 3}, {"likelihood": "gaussian"}],
    ids=str,
)
def test_an_evaluation_gives_what_its_documentation_says(sure_judge, changes):
    """Against the same draws, with torch.distributions and NumPy in the place of the package."""
    experiment = small(evaluation_samples=60, evaluation_images=7, **changes)
    run = experiment.run()
    data, judge = make_data(), sure_judge.run().classifier().float()
    model = experiment.build((1, 3, 4))
    model.load_state_dict(run.weights)
    noise = torch.Generator().manual_seed(0)
    said = run.measurements
    with torch.no_grad():
        x = data.test_images[[0, 5, 10, 15, 20, 25, 30]].float() / 255
        if experiment.binarise:
            x = torch.bernoulli(x, generator=noise)
        mu, logvar = model.encode(x)
        sigma = logvar.exp().sqrt()
        z = mu + sigma * torch.randn(60, 7, 3, generator=noise)
        log_prior = torch.distributions.Normal(0, 1).log_prob(z).sum(2)
        log_posterior = torch.distributions.Normal(mu, sigma).log_prob(z).sum(2)
        log_fit = torch.stack([reference_fit(experiment, model, x, draw) for draw in z])
        weights = (log_fit + log_prior - log_posterior).double().exp().numpy()
        expected = np.log(weights.mean(0))
        error = weights.std(0) / weights.mean(0) / np.sqrt(60)
        np.testing.assert_allclose(said["log_likelihood"], expected, rtol=1e-4)
        np.testing.assert_allclose(said["log_likelihood_error"], error, rtol=1e-2, atol=1e-5)

        draws = model.decode(torch.randn(10_000, 3, generator=noise)).clamp(0, 1)
        sure = judge(draws).softmax(1).amax(1) > 0.9
        a = judge.features(draws).double().numpy()
        b = judge.features(data.test_images.float() / 255).double().numpy()
    assert said["legibility"].item() == pytest.approx(sure.double().mean().item(), abs=2e-4)
    assert 0 < said["legibility"] < 1
    crossed = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real.clip(0)
    moments = np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * np.sqrt(crossed).sum()
    distance = np.square(a.mean(0) - b.mean(0)).sum() + moments
    assert said["frechet"].item() == pytest.approx(distance, rel=1e-3)
    assert said["frechet"].dtype == torch.float64
    assert distance > 0.01


def test_an_evaluation_changes_nothing_else(sure_judge):
    plain, evaluated = (train(small(evaluation_samples=k), make_data()) for k in (0, 5))
    assert same_tensors(plain.weights, evaluated.weights)
    assert same_tensors(plain.history, evaluated.history)
    added = {"log_likelihood", "log_likelihood_error", "frechet", "legibility"}
    assert evaluated.measurements.keys() - plain.measurements.keys() == added
    both = {name: evaluated.measurements[name] for name in plain.measurements}
    assert same_tensors(plain.measurements, both)
    # There are only 40 test images, fewer than the 2,000 that were asked for.
    assert evaluated.measurements["log_likelihood"].shape == (40,)


def test_a_deterministic_autoencoder_is_not_evaluated(runs):
    run = train(small(model="Autoencoder", evaluation_samples=5), make_data())
    assert "log_likelihood" not in run.measurements


def test_an_evaluation_trains_and_keeps_its_classifier(runs, no_training):
    judge = classifier_experiment("tiny")
    small(evaluation_samples=5).run(weights=False)
    assert f"{judge.name}.run.safetensors" in files(runs)
    no_training()
    assert judge.run().classifier().head.in_features == 32


def test_a_sweep_trains_the_classifier_once_before_all_that_need_it(runs, trained):
    experiments = [small(seed=seed, evaluation_samples=5) for seed in range(3)]
    sweep(experiments, jobs=1)
    assert trained == [classifier_experiment("tiny"), *experiments]
    sweep([small(seed=9, evaluation_samples=5)], jobs=1)
    assert trained[4:] == [small(seed=9, evaluation_samples=5)]


def test_a_classifier_whose_measurements_alone_are_kept_is_trained_again(runs, trained):
    judge = classifier_experiment("tiny")
    judge.run(weights=False)
    trained.clear()
    sweep([small(evaluation_samples=5)], jobs=1)
    assert trained == [judge, small(evaluation_samples=5)]


def test_the_model_of_a_run_is_float64_frozen_and_the_weights_are_float32():
    run = train(SMALL, make_data())
    assert {value.dtype for value in run.weights.values()} == {torch.float32}
    model = run.model()
    assert not model.training
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float64
        assert torch.equal(value, run.weights[name].double())
    assert not any(p.requires_grad for p in model.parameters())


# ---- storing and loading ------------------------------------------------------------------------


def test_a_run_is_trained_once_and_loaded_from_then_on(runs, no_training):
    first = SMALL.run()
    assert files(runs) == [f"{SMALL.name}.run.safetensors"]
    no_training()
    second = SMALL.run()
    for part in ("weights", "history", "measurements"):
        assert same_tensors(getattr(first, part), getattr(second, part))
        assert getattr(first, part)
    assert first.experiment == second.experiment == SMALL
    assert same_tensors(first.model().state_dict(), second.model().state_dict())


def test_a_training_shows_a_bar_with_the_name_of_the_run(runs, capfd):
    SMALL.run()
    assert SMALL.name in capfd.readouterr().err
    SMALL.run()
    assert capfd.readouterr().err == ""


def test_a_run_is_trained_on_the_device_that_was_asked_for(runs):
    with pytest.raises(RuntimeError, match="nowhere"):
        SMALL.run(device="nowhere")


def test_another_experiment_is_another_run(runs):
    SMALL.run()
    other = small(seed=4).run()
    assert len(files(runs)) == 2
    assert not torch.equal(other.weights["mu.weight"], SMALL.run().weights["mu.weight"])


def test_training_can_be_forbidden(runs, monkeypatch):
    monkeypatch.setenv("VAELIB_TRAIN", "never")
    for attempt in (SMALL.run, lambda: SMALL.run(weights=False), lambda: sweep([SMALL], jobs=1)):
        with pytest.raises(MissingRunError) as error:
            attempt()
        assert SMALL.name in str(error.value)
        assert SMALL.canonical in str(error.value)
        assert str(runs) in str(error.value)
    assert not runs.exists()
    monkeypatch.delenv("VAELIB_TRAIN")
    SMALL.run()
    monkeypatch.setenv("VAELIB_TRAIN", "never")
    assert SMALL.run().weights


def test_a_run_under_another_name_does_not_fit(runs, no_training):
    SMALL.run()
    other = small(seed=4)
    stored = runs / f"{SMALL.name}.run.safetensors"
    moved = stored.rename(runs / f"{other.name}.run.safetensors")
    content = moved.read_bytes()
    no_training()
    with pytest.raises(DamagedRunError) as error:
        other.run()
    assert str(moved) in str(error.value)
    assert SMALL.canonical in str(error.value)
    assert other.canonical in str(error.value)
    assert moved.read_bytes() == content


@pytest.mark.parametrize("position", [0, 8, 40, -200, -1])
def test_an_altered_run_is_an_error_and_is_not_trained_over(runs, no_training, position):
    SMALL.run()
    path = runs / f"{SMALL.name}.run.safetensors"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    no_training()
    for attempt in (SMALL.run, lambda: SMALL.run(weights=False), lambda: sweep([SMALL], jobs=1)):
        with pytest.raises(DamagedRunError, match=SMALL.name):
            attempt()
    assert path.read_bytes() == content


def test_measurements_suffice_where_no_weights_are_wanted(runs, no_training):
    SMALL.run(weights=False)
    assert files(runs) == [f"{SMALL.name}.sweep.safetensors"]
    full = SMALL.run()
    assert full.weights
    assert files(runs) == [f"{SMALL.name}.run.safetensors", f"{SMALL.name}.sweep.safetensors"]
    no_training()
    light = SMALL.run(weights=False)
    assert light.weights == {}
    assert same_tensors(light.measurements, full.measurements)
    assert same_tensors(light.history, full.history)
    says = r"^weights: this run kept its measurements only; use run\(weights=True\)$"
    with pytest.raises(ValueError, match=says):
        light.model()


def test_a_full_run_serves_where_measurements_suffice(runs, no_training):
    SMALL.run()
    no_training()
    assert SMALL.run(weights=False).measurements["kl"].shape == (3,)
    assert len(sweep([SMALL], jobs=1)) == 1
    assert files(runs) == [f"{SMALL.name}.run.safetensors"]


def test_data_that_stand_in_for_others_are_not_trained_on(runs, monkeypatch):
    monkeypatch.setattr(vaelib.experiment, "load", lambda name: make_data("glyphs"))
    says = "dataset: expected tiny, but glyphs takes its place on this machine; "
    with pytest.raises(ValueError, match=rf"^{says}write dataset=load\(\.\.\.\)\.name$"):
        SMALL.run()
    assert not runs.exists()


def test_the_runs_of_the_book_are_the_default_store(monkeypatch, tmp_path):
    monkeypatch.delenv("VAELIB_RUNS", raising=False)
    assert runs_folder().parts[-2:] == ("book", "runs")
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    assert runs_folder() == tmp_path


def test_write_and_read(tmp_path):
    run = Run(
        SMALL,
        {"step": torch.tensor([0, 1])},
        {"nats": torch.tensor(2.5, dtype=torch.float64)},
        {"mu.weight": torch.ones(2, 2)},
    )
    run.write(tmp_path / "x")
    again = Run.read(tmp_path / "x", SMALL)
    for part in ("weights", "history", "measurements"):
        assert same_tensors(getattr(run, part), getattr(again, part))


# ---- sweeps -------------------------------------------------------------------------------------


def test_a_sweep_keeps_measurements_only_and_answers_in_order(runs, no_training):
    experiments = [small(seed=seed) for seed in (5, 1, 3)]
    results = sweep(experiments, jobs=1)
    assert [run.experiment for run in results] == experiments
    assert all(run.weights == {} for run in results)
    assert files(runs) == sorted(f"{e.name}.sweep.safetensors" for e in experiments)
    for experiment, run in zip(experiments, results, strict=True):
        alone = train(experiment, make_data())
        assert same_tensors(alone.measurements, run.measurements)
        assert same_tensors(alone.history, run.history)
    no_training()
    again = sweep(reversed(experiments), jobs=1)
    assert [run.experiment for run in again] == experiments[::-1]


def test_a_stopped_sweep_goes_on_where_it_was(runs, trained, monkeypatch):
    experiments = [small(seed=seed) for seed in range(4)]
    train_and_count = vaelib.experiment.train

    def stopping(experiment, *args, **kwargs):
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train_and_count(experiment, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(vaelib.experiment, "train", stopping)
        with pytest.raises(KeyboardInterrupt):
            sweep(experiments, jobs=1)
    assert len(files(runs)) == 2
    results = sweep(experiments, jobs=1)
    assert trained == experiments
    assert [run.experiment.seed for run in results] == [0, 1, 2, 3]


def test_an_experiment_named_twice_is_trained_once(runs, trained):
    results = sweep((e for e in [SMALL, small(seed=4), SMALL]), jobs=1)
    assert trained == [SMALL, small(seed=4)]
    assert [run.experiment.seed for run in results] == [3, 4, 3]


def test_a_sweep_side_by_side_stores_every_run_and_answers_in_order(runs):
    experiments = [small(seed=seed) for seed in range(3)]
    with joblib.parallel_config(backend="threading"):
        results = sweep(experiments, jobs=2)
    assert [run.experiment for run in results] == experiments
    assert files(runs) == sorted(f"{e.name}.sweep.safetensors" for e in experiments)


# Not strict: threads race, and once in a while nobody loses.
def test_models_built_by_threads_at_once_have_the_weights_of_their_seeds():
    wanted = [small(hidden=(60,) * 6, seed=seed) for seed in range(40)]
    alone = [e.build((1, 3, 4)).state_dict() for e in wanted]
    parallel = joblib.Parallel(n_jobs=4, backend="threading")
    together = parallel(joblib.delayed(e.build)((1, 3, 4)) for e in wanted)
    assert all(same_tensors(a, b.state_dict()) for a, b in zip(alone, together, strict=True))


def test_what_was_stored_meanwhile_is_not_trained_again(runs, no_training):
    SMALL.run(weights=False)
    (stored,) = runs.iterdir()
    before = stored.stat().st_mtime_ns
    no_training()
    train_all([SMALL], weights=False, jobs=1)
    assert stored.stat().st_mtime_ns == before


def test_a_sweep_leaves_the_settings_of_its_caller_alone(runs, monkeypatch):
    runs.parent.mkdir(exist_ok=True)
    monkeypatch.chdir(runs.parent)
    monkeypatch.setenv("VAELIB_RUNS", runs.name)
    settings = dict(os.environ)
    sweep([SMALL], jobs=1)
    assert os.environ == settings
    assert files(runs) == [f"{SMALL.name}.sweep.safetensors"]


def test_a_worker_stores_where_its_caller_does(runs, monkeypatch):
    """A worker has a working directory and settings of its own."""
    monkeypatch.chdir(runs.parent)
    monkeypatch.setenv("VAELIB_RUNS", "elsewhere")
    monkeypatch.setenv("VAELIB_DATASET", "mnist")
    caller = {"VAELIB_RUNS": "relative", "VAELIB_DATASET": "glyphs"}
    _train_in_worker(SMALL, weights=False, settings=caller, folder=runs)
    assert files(runs) == [f"{SMALL.name}.sweep.safetensors"]
    assert os.environ["VAELIB_DATASET"] == "glyphs"
    assert not (runs.parent / "elsewhere").exists()


def test_on_a_terminal_a_sweep_shows_how_far_it_is_and_the_time_left(runs, monkeypatch):
    leader, follower = pty.openpty()
    os.set_blocking(leader, False)
    termios.tcsetwinsize(leader, (24, 80))

    def shown():
        parts = []
        with contextlib.suppress(BlockingIOError):
            while True:
                parts.append(os.read(leader, 10_000))
        return b"".join(parts).decode()

    with os.fdopen(follower, "w", encoding="utf-8") as terminal:
        assert terminal.isatty()
        monkeypatch.setattr("sys.stderr", terminal)
        sweep([SMALL, small(seed=4)], jobs=1)
        bar = shown()
        assert "| 0/2 [00:00<?," in bar
        # The time it took < the time left, and how fast.
        assert re.search(r"\| 2/2 \[\d\d:\d\d<00:00, +[\d.]+(run/s|s/run)\]", bar)
        sweep([SMALL, small(seed=4)], jobs=1)
        assert shown() == ""
    os.close(leader)


@pytest.mark.parametrize(("asked", "used"), [(None, 7), (3, 3)])
def test_a_sweep_uses_all_cores_or_as_many_as_it_is_told(runs, monkeypatch, asked, used):
    original, seen = joblib.Parallel, []

    def one_core(n_jobs, **options):
        seen.append((n_jobs, options))
        return original(1, **options)

    monkeypatch.setattr("vaelib.experiment.joblib.cpu_count", lambda: 7)
    monkeypatch.setattr("vaelib.experiment.joblib.Parallel", one_core)
    sweep([SMALL], jobs=asked)
    # As they finish, not all at the end: what is done shall be seen.
    assert seen == [(used, {"return_as": "generator_unordered"})]


def distributed_with(current):
    """What a sweep knows of dask.distributed; tests/test_cluster.py has the real one."""

    def map_(task, experiments, pure):
        assert pure is False  # else a task is done once, even if its result was removed since
        futures = [types.SimpleNamespace(result=partial(task, e)) for e in experiments]
        return futures[::-1]

    client = types.SimpleNamespace(map=map_)
    return types.SimpleNamespace(
        Client=types.SimpleNamespace(current=partial(current, client)), as_completed=iter
    )


def test_a_sweep_goes_to_the_cluster_of_an_open_client(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", distributed_with(lambda client: client))
    monkeypatch.setattr("vaelib.experiment.joblib.Parallel", None)
    assert [run.experiment for run in sweep([SMALL, small(seed=4)])] == [SMALL, small(seed=4)]
    assert len(files(runs)) == 2


def test_without_an_open_client_a_sweep_stays_at_home(runs, monkeypatch):
    def none(client):
        raise ValueError("No clients found")

    monkeypatch.setitem(sys.modules, "distributed", distributed_with(none))
    assert len(sweep([SMALL], jobs=1)) == 1


def test_workers_are_told_the_settings_of_the_package_and_draw_no_bar(runs, monkeypatch, capfd):
    told = []

    def side_by_side(task, experiments, jobs):
        told.append(task.keywords["settings"])
        for experiment in experiments:
            yield task(experiment)

    monkeypatch.setattr("vaelib.experiment._side_by_side", side_by_side)
    monkeypatch.setenv("VAELIB_THREADS", "1")
    monkeypatch.setenv("ANOTHER_SETTING", "1")
    sweep([SMALL])
    assert told == [{k: v for k, v in os.environ.items() if k.startswith("VAELIB_")}]
    assert "VAELIB_THREADS" in told[0]
    assert SMALL.name not in capfd.readouterr().err  # the label of a training's own bar


def test_a_sweep_gives_each_training_one_thread_whatever_is_set(runs, monkeypatch):
    seen = []

    def training(*_, **__):
        seen.append(torch.get_num_threads())
        raise InterruptedError

    monkeypatch.setattr("vaelib.experiment._train", training)
    monkeypatch.setattr("vaelib.training.joblib.cpu_count", lambda: 2)
    for name in ("VAELIB_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(InterruptedError):
        sweep([SMALL], jobs=1)
    with pytest.raises(InterruptedError):
        SMALL.run()
    assert seen == [1, 2]


def test_an_empty_sweep(runs):
    assert sweep([]) == []


def test_no_bar_is_shown_when_all_is_stored(runs, capfd):
    sweep([SMALL], jobs=1)
    assert capfd.readouterr().err != ""
    sweep([SMALL], jobs=1)
    SMALL.run(weights=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("hidden", (0,)),
        ("hidden", 5),
        ("likelihood", "poisson"),
        ("initialisation", "keras"),
        ("decoder_variance", 0.0),
        ("latent", 2.5),
        ("seed", "one"),
        ("revive_epochs", (1, 2, 3)),
        ("revive_epochs", (5, 5)),
    ],
)
def test_bad_fields_are_named_at_once(argument, value):
    with pytest.raises(ValueError, match=argument):
        Experiment(**{argument: value})


@pytest.mark.parametrize("dataset", ["../mnist", "a/b", "", "two words", "-mnist", "m" * 65, 3])
def test_a_dataset_whose_name_cannot_be_a_file_is_an_error(dataset):
    says = f"dataset: expected a name of letters, digits, _ and -, got {dataset!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        Experiment(dataset=dataset)


def test_errors_say_what_was_expected():
    models = "model: expected one of Autoencoder, VAE, ConvVAE, LinearVAE, Classifier, got 'GAN'"
    with pytest.raises(ValueError, match=f"^{re.escape(models)}$"):
        Experiment(model="GAN")
    widths = f"hidden and latent: expected widths that can be counted, got ({2**70},) and 16"
    with pytest.raises(ValueError, match=f"^{re.escape(widths)}$"):
        Experiment(hidden=(2**70,))


def test_numbers_of_numpy_and_torch_are_numbers():
    plain = Experiment(seed=3, beta=2.0, hidden=(4, 5))
    other = Experiment(seed=np.int64(3), beta=torch.tensor(2), hidden=np.array([4, 5]))
    assert other == plain
    assert other.name == plain.name


# ---- reproduction -------------------------------------------------------------------------------


@pytest.fixture
def reproduction(runs, tmp_path, monkeypatch):
    """Stored runs on three datasets, a place for the new ones, and the commands that check them."""
    monkeypatch.setattr(vaelib.reproduce, "load", make_data)
    monkeypatch.setattr(vaelib.reproduce, "FOLDER", tmp_path / "again")
    commands = []

    def record(command, env, **_):
        commands.append((command, env["VAELIB_DATASET"], env["VAELIB_RUNS"]))
        return subprocess.CompletedProcess(command, len(commands) - 1)

    monkeypatch.setattr(vaelib.reproduce.subprocess, "run", record)
    for dataset in ("mnist", "glyphs"):
        small(dataset=dataset).run()
        small(dataset=dataset, evaluation_samples=5).run(weights=False)
    small(dataset="tiles").run(weights=False)
    with joblib.parallel_config(backend="threading"):  # which sees what is set here
        yield commands


def test_everything_stored_is_trained_again_elsewhere_and_checked(
    reproduction, runs, tmp_path, capfd
):
    before = {path.name: path.read_bytes() for path in runs.iterdir()}
    assert len(before) == 7  # two of them the classifiers
    assert vaelib.reproduce.main() == 1  # the first check was passed, the second was not
    assert {path.name: path.read_bytes() for path in runs.iterdir()} == before
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == before
    assert [dataset for _, dataset, _ in reproduction] == ["mnist", "glyphs"]
    assert {folder for _, _, folder in reproduction} == {str(tmp_path / "again")}
    assert all({"--nbval-lax", "book"} <= set(command) for command, _, _ in reproduction)
    said = capfd.readouterr().out
    assert "4 of 4 runs to train, run\n3 of 3 runs to train, sweep\n" in said
    assert "not at hand" not in said


def test_a_reproduction_goes_on_where_it_was(reproduction, tmp_path, monkeypatch, capfd):
    stored = runs_folder()
    vaelib.reproduce.main()
    gone = tmp_path / "again" / f"{small(dataset='tiles').name}.sweep.safetensors"
    gone.unlink()
    monkeypatch.setenv("VAELIB_RUNS", str(stored))
    capfd.readouterr()
    vaelib.reproduce.main()
    assert gone.exists()
    said = capfd.readouterr().out
    assert "0 of 4 runs to train, run\n1 of 3 runs to train, sweep\n" in said


def test_what_cannot_be_trained_here_is_taken_as_it_is_stored(
    reproduction, runs, tmp_path, monkeypatch, capfd
):
    def only_glyphs(name):
        if name == "tiles":
            raise FileNotFoundError(name)
        return make_data("glyphs")

    monkeypatch.setattr(vaelib.reproduce, "load", only_glyphs)
    assert vaelib.reproduce.main() == 0
    assert [dataset for _, dataset, _ in reproduction] == ["glyphs"]
    again = tmp_path / "again"
    links = {path.name for path in again.iterdir() if path.is_symlink()}
    assert links == {path.name for path in runs.iterdir() if "glyphs" not in path.name}
    assert files(again) == files(runs)
    said = capfd.readouterr().out
    assert "mnist is not at hand: its runs are taken as they are stored." in said
    assert "2 of 4 runs to train, run\n1 of 3 runs to train, sweep\n" in said

    # When the images are there again, these runs are trained after all.
    monkeypatch.setattr(vaelib.reproduce, "load", make_data)
    monkeypatch.setenv("VAELIB_RUNS", str(runs))
    vaelib.reproduce.main()
    assert not any(path.is_symlink() for path in again.iterdir())
    assert "2 of 4 runs to train, run\n2 of 3 runs to train, sweep\n" in capfd.readouterr().out
