"""Experiments and their runs: identity, storing and loading, and what each field does to training.

The oracle of training is `reference`: the loop written out once more, from the documentation.
"""

import dataclasses
import hashlib
import json

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import vaelib.experiment
from vaelib import VAE, Autoencoder, Experiment, ImageData, Run, latent_statistics, sweep
from vaelib._store import DamagedRunError
from vaelib.experiment import MissingRunError, runs_folder, train, watched_steps

few = settings(deadline=None, max_examples=40, database=None)


def make_data(name="tiny", n=40, shape=(1, 3, 4)):
    generator = torch.Generator().manual_seed(0)
    factors = torch.rand(2 * n, 2, generator=generator)
    pattern = torch.rand(2, shape[0] * shape[1] * shape[2], generator=generator)
    pixels = (factors @ pattern / 2).clamp(0, 1)
    images = (pixels * 255).to(torch.uint8).reshape(2 * n, *shape)
    labels = torch.zeros(n, dtype=torch.int64)
    return ImageData(
        name=name,
        train_images=images[:n],
        train_labels=labels,
        test_images=images[n:],
        test_labels=labels,
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


def test_the_defaults_are_pinned_because_the_canonical_form_omits_them():
    # A default that changes would silently make another experiment of every stored run.
    assert dataclasses.asdict(Experiment()) == {
        "dataset": "mnist",
        "model": "VAE",
        "hidden": (256, 64, 32, 24),
        "latent": 16,
        "likelihood": "bernoulli",
        "decoder_variance": 1.0,
        "initialisation": "glorot",
        "beta": 1.0,
        "beta_warmup": 0,
        "sample_from_epoch": 0,
        "free_variable": None,
        "revive_epochs": None,
        "epochs": 20,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "images": None,
        "seed": 0,
    }


OTHER = {
    "dataset": "glyphs",
    "model": "Autoencoder",
    "hidden": (8,),
    "latent": 4,
    "likelihood": "gaussian",
    "decoder_variance": 0.5,
    "initialisation": "torch",
    "beta": 2.0,
    "beta_warmup": 3,
    "sample_from_epoch": 2,
    "free_variable": 0,
    "revive_epochs": (1, 2),
    "epochs": 9,
    "batch_size": 64,
    "learning_rate": 0.1,
    "images": 500,
    "seed": 1,
}


def test_every_field_counts_in_the_name():
    assert OTHER.keys() == {field.name for field in dataclasses.fields(Experiment)}
    experiments = [Experiment(), *(Experiment(**{name: OTHER[name]}) for name in OTHER)]
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
    ],
)
def test_a_bad_experiment_is_an_error_that_names_the_argument(argument, value):
    with pytest.raises(ValueError, match=rf"^{argument}: expected .*, got .*"):
        Experiment(**{argument: value})


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
        if experiment.revive_epochs and epoch == experiment.revive_epochs[0]:
            with torch.no_grad():
                mu, _ = model.encode(data.test_images.float() / 255)
            revived = int(mu.numpy().var(axis=0).argmin())
        index = torch.randperm(len(images), generator=order)
        for start in range(0, len(images), experiment.batch_size):
            x = images[index[start : start + experiment.batch_size]]
            flat = x.flatten(1)
            mu, logvar = model.encode(x)
            z, cost = mu, torch.zeros(len(x))
            if experiment.model == "VAE":
                if epoch >= experiment.sample_from_epoch:
                    z = mu + logvar.exp().sqrt() * torch.randn(mu.shape, generator=noise)
                for j in range(experiment.latent):
                    weight = experiment.beta
                    if epoch < experiment.beta_warmup:
                        weight = experiment.beta * epoch / experiment.beta_warmup
                    if j == experiment.free_variable:
                        weight = 0.0
                    if (
                        j == revived
                        and experiment.revive_epochs[0] <= epoch < experiment.revive_epochs[1]
                    ):
                        weight = 0.0
                    kl = (mu[:, j] ** 2 + logvar[:, j].exp() - logvar[:, j] - 1) / 2
                    cost = cost + weight * kl
            output = model.decoder(z)
            if experiment.likelihood == "bernoulli":
                fit = (flat * F.logsigmoid(output) + (1 - flat) * F.logsigmoid(-output)).sum(1)
            else:
                normal = torch.distributions.Normal(output, experiment.decoder_variance**0.5)
                fit = normal.log_prob(flat).sum(1)
            adam.zero_grad()
            (cost - fit).mean().backward()
            adam.step()
    return model, revived


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
}


@pytest.fixture(scope="module")
def plain_weights():
    return train(SMALL, make_data()).weights


@pytest.mark.parametrize("changes", FIELDS.values(), ids=FIELDS)
def test_each_field_changes_training_as_documented(changes, plain_weights):
    experiment, data = small(**changes), make_data()
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
    assert said["noisy_gain"].shape == (3,)
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
    assert run.statistics.active().tolist() == statistics.active().tolist()


def test_a_deterministic_autoencoder_has_no_elbo():
    run = train(small(model="Autoencoder"), make_data())
    assert "elbo" not in run.measurements
    assert torch.isposinf(run.measurements["kl"]).all()
    assert torch.equal(run.measurements["gain"], run.measurements["noisy_gain"])


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
    with pytest.raises(ValueError, match="weights: this run kept its measurements only"):
        light.model()


def test_a_full_run_serves_where_measurements_suffice(runs, no_training):
    SMALL.run()
    no_training()
    assert SMALL.run(weights=False).measurements["kl"].shape == (3,)
    assert len(sweep([SMALL], jobs=1)) == 1
    assert files(runs) == [f"{SMALL.name}.run.safetensors"]


def test_data_that_stand_in_for_others_are_not_trained_on(runs, monkeypatch):
    monkeypatch.setattr(vaelib.experiment, "load", lambda name: make_data("glyphs"))
    with pytest.raises(ValueError, match=r"^dataset: expected tiny, but glyphs takes its place"):
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


def test_a_stopped_sweep_goes_on_where_it_was(runs, monkeypatch):
    experiments = [small(seed=seed) for seed in range(4)]
    original, trained = vaelib.experiment.train, []

    def stopping(experiment, *args, **kwargs):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(experiment.seed)
        return original(experiment, *args, **kwargs)

    monkeypatch.setattr(vaelib.experiment, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        sweep(experiments, jobs=1)
    assert len(files(runs)) == 2

    def counting(experiment, *args, **kwargs):
        trained.append(experiment.seed)
        return original(experiment, *args, **kwargs)

    monkeypatch.setattr(vaelib.experiment, "train", counting)
    results = sweep(experiments, jobs=1)
    assert sorted(trained) == [0, 1, 2, 3]
    assert [run.experiment.seed for run in results] == [0, 1, 2, 3]


def test_an_experiment_named_twice_is_trained_once(runs, monkeypatch):
    original, trained = vaelib.experiment.train, []

    def counting(experiment, *args, **kwargs):
        trained.append(experiment.seed)
        return original(experiment, *args, **kwargs)

    monkeypatch.setattr(vaelib.experiment, "train", counting)
    results = sweep((e for e in [SMALL, small(seed=4), SMALL]), jobs=1)
    assert sorted(trained) == [3, 4]
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


def test_numbers_of_numpy_and_torch_are_numbers():
    plain = Experiment(seed=3, beta=2.0, hidden=(4, 5))
    other = Experiment(seed=np.int64(3), beta=torch.tensor(2), hidden=np.array([4, 5]))
    assert other == plain
    assert other.name == plain.name
