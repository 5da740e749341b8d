"""What training keeps: weights, a history, measurements, and where asked for an evaluation."""

import contextlib
import subprocess
import sys
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SMALL, make_data, same, small
from test_experiment import GAUSSIAN, reference_weights
from torch import Tensor
from torch import distributions as D

from vaelib import latent_statistics, reconstruct, reconstruction_gain, to_pixels
from vaelib.lab import Classifier, image_features, measurements, training_threads
from vaelib.lab.measurements import history_steps
from vaelib.lab.training import reproducible, train

few = settings(deadline=None, max_examples=40, database=None)
PARTS = ("weights", "history", "measurements")


# ---- nothing but the experiment decides ---------------------------------------------------------


def test_the_same_experiment_gives_the_same_run_to_the_last_bit() -> None:
    data = make_data()
    first = train(SMALL, data)
    torch.manual_seed(2)
    torch.set_default_dtype(torch.float64)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    try:
        second = train(SMALL, data)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(same(getattr(first, part), getattr(second, part)) for part in PARTS)
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    assert {value.dtype for value in first.weights.values()} == {torch.float32}


def test_models_built_by_threads_at_once_have_the_weights_of_their_seeds() -> None:
    wanted = [small(hidden=(60,) * 6, seed=seed) for seed in range(20)]
    alone = [e.build((1, 3, 4)).state_dict() for e in wanted]
    parallel = joblib.Parallel(n_jobs=4, backend="threading")
    together = parallel(joblib.delayed(e.build)((1, 3, 4)) for e in wanted)
    assert all(same(a, b.state_dict()) for a, b in zip(alone, together, strict=True))


BY_DEFAULT = "the default: the same weights on any number of cores"


@pytest.mark.parametrize(
    ("setting", "threads", "reason"),
    [
        *((setting, 1, BY_DEFAULT) for setting in (None, "", "0", "one")),
        ("2", 2, "OMP_NUM_THREADS=2"),
        ("2,1", 2, "OMP_NUM_THREADS=2"),
        ("3", 3, "OMP_NUM_THREADS=3"),
        ("64", 3, "OMP_NUM_THREADS=64, but this process may use 3"),
    ],
)
def test_one_thread_trains_unless_openmp_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, threads: int, reason: str
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if setting is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert training_threads() == (threads, reason)
    before = torch.get_num_threads()
    with reproducible():
        assert torch.get_num_threads() == threads
    with contextlib.suppress(InterruptedError), reproducible(threads=5):
        assert torch.get_num_threads() == 5
        raise InterruptedError
    assert torch.get_num_threads() == before


def test_training_is_silent_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    train(small(epochs=1), make_data())
    assert capsys.readouterr() == ("", "")
    train(small(epochs=1), make_data(), progress=True)
    assert small(epochs=1).name in capsys.readouterr().err


def test_training_imports_no_torchvision_and_no_matplotlib() -> None:
    # Every process of a sweep would pay for them.
    code = """
import sys
sys.path.insert(0, "tests")
from small import SMALL, make_data
from vaelib.lab.training import train
train(SMALL, make_data())
heavy = ("torchvision", "matplotlib", "IPython", "yaml")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_device_that_is_not_there_is_a_clear_error() -> None:
    absent = ["nowhere"] if torch.cuda.is_available() else ["nowhere", "cuda"]
    for device in absent:
        with pytest.raises(ValueError, match=rf"^device: {device}"):
            train(SMALL, make_data(), device=device)


def test_each_rung_is_measured_as_the_end_of_a_training_up_to_there() -> None:
    path = ((1, 0.5), (2, 3.0), (1, 1.0))
    run = train(small(beta_path=path), make_data())
    for rung, epochs in enumerate((1, 3, 4)):
        alone = train(small(beta_path=path[: rung + 1], epochs=epochs), make_data())
        for name in ("var_mu", "mean_sigma2", "kl", "elbo"):
            measured = run.measurements[f"rung_{name}"][rung]
            assert torch.equal(measured, alone.measurements[name]), name
        gain = reconstruction_gain(alone.model(), make_data().test_images)
        assert torch.equal(run.measurements["rung_gain"][rung], gain)
    assert "rung_gain" not in train(SMALL, make_data()).measurements


def test_beyond_the_test_images_are_the_training_images_and_noisy_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, experiment = make_data(), small(beyond_test=True, images=20)
    measured = train(experiment, data).measurements
    on_training = replace(
        data, test_images=data.train_images[:20], test_labels=data.train_labels[:20]
    )
    assert measured["training_elbo"] == train(small(images=20), on_training).measurements["elbo"]
    pixels = to_pixels(data.test_images, torch.float64)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(pixels.shape, generator=generator, dtype=torch.float64)
    restored = reconstruct(train(experiment, data).model(), (pixels + 0.2 * noise).clamp(0, 1))
    clean, noisy = measured["squared_error"], measured["noisy_squared_error"]
    torch.testing.assert_close(noisy, (restored - pixels).square().mean())
    assert noisy != clean
    monkeypatch.setattr(measurements, "INPUT_NOISE", 0.0)
    noiseless = train(experiment, data).measurements["noisy_squared_error"]
    torch.testing.assert_close(noiseless, clean)


def test_rungs_at_one_weight_train_what_one_weight_trains() -> None:
    rungs = train(small(beta_path=((1, 1), (3, 1))), make_data())
    assert same(rungs.weights, train(SMALL, make_data()).weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_trains_much_the_same_network() -> None:
    experiment = small(binarise=True, latent_dropout=0.1, revive_epochs=(1, 2), snapshots=1)
    plain, there = train(experiment, make_data()), train(experiment, make_data(), device="cuda")
    for part in PARTS:
        assert {value.device.type for value in getattr(there, part).values()} == {"cpu"}
    assert (plain.measurements["elbo"] - there.measurements["elbo"]).abs() < 0.5


# ---- the history --------------------------------------------------------------------------------


@few
@given(epochs=st.integers(1, 40), steps=st.integers(1, 500))
def test_up_to_40_epochs_the_history_looks_twice_in_each(epochs: int, steps: int) -> None:
    halves = {half * steps // 2 for half in range(2 * epochs + 1)}
    early = {int(step) for step in np.geomspace(1, steps, 16)}
    assert history_steps(epochs, steps) == halves | early


@few
@given(epochs=st.integers(41, 2_000), steps=st.integers(1, 500))
def test_beyond_40_epochs_80_looks_are_evenly_spaced(epochs: int, steps: int) -> None:
    looks = sorted(history_steps(epochs, steps))
    assert (looks[0], looks[-1]) == (0, epochs * steps)
    assert len(looks) <= 81 + 16
    gaps = np.diff([step for step in looks if step >= steps])
    assert gaps.max() <= epochs * steps / 80 + 1
    # The first gap may be shorter: the early steps end within it. So may be that of a step each.
    assert gaps[1:].min() >= max(1, epochs * steps / 80 - 1)


@pytest.mark.parametrize("changes", [{}, {"batch_size": 100}, {"epochs": 1}, {"images": 1}])
def test_the_history_has_a_row_for_each_look(changes: dict[str, Any]) -> None:
    experiment = small(**changes)
    history = train(experiment, make_data()).history
    steps = -(-(experiment.images or 40) // experiment.batch_size)
    assert history.pop("step").tolist() == sorted(history_steps(experiment.epochs, steps))
    assert history.keys() == {"var_mu", "mean_sigma2", "kl", "gain", "noisy_gain"}
    for value in history.values():
        assert value.shape == (len(history_steps(experiment.epochs, steps)), 3)
        assert value.dtype == torch.float32
        assert value.isfinite().all()


def test_history_and_snapshots_start_at_the_first_weights_and_end_at_the_last() -> None:
    data = make_data()
    run = train(small(snapshots=3), data)
    x = data.test_images.float() / 255
    for row, model in [(0, SMALL.build((1, 3, 4))), (-1, run.model().float())]:
        mu, logvar = (code.detach() for code in model.encode(x))
        expected = {
            "var_mu": mu.var(0, correction=0),
            "mean_sigma2": logvar.exp().mean(0),
            "kl": ((mu**2 + logvar.exp() - logvar - 1) / 2).mean(0),
            "gain": reconstruction_gain(model, data.test_images).detach(),
        }
        found = {name: run.history[name][row] for name in expected}
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        pixels = model.decode(mu[:3]).detach()
        assert (run.history["snapshots"][row] - 255 * pixels).abs().max() <= 0.501
    assert run.history["snapshots"].dtype == torch.uint8


def test_pixels_beyond_black_and_white_are_black_and_white_in_a_snapshot() -> None:
    thrown_about = {"likelihood": "gaussian", "learning_rate": 1.0, "epochs": 1, "batch_size": 10}
    run = train(small(snapshots=40, **thrown_about), make_data())
    pixels = run.model().decode(run.model().encode(make_data().test_images.double() / 255)[0])
    last = run.history["snapshots"][-1]
    assert last[pixels > 1.01].unique().tolist() == [255]
    assert last[pixels < -0.01].unique().tolist() == [0]


@pytest.mark.parametrize("changes", [{"history": False}, {"snapshots": 3}])
def test_what_is_looked_at_changes_nothing_else(changes: dict[str, Any]) -> None:
    plain, other = train(SMALL, make_data()), train(small(**changes), make_data())
    assert same(plain.weights, other.weights)
    assert same(plain.measurements, other.measurements)
    names = plain.history.keys() & other.history.keys()
    assert len(names) == (6 if "snapshots" in changes else 0)
    assert all(torch.equal(plain.history[name], other.history[name]) for name in names)


# ---- the measurements ---------------------------------------------------------------------------


def test_the_measurements_are_those_of_the_trained_model_in_float64() -> None:
    data = make_data()
    run = train(small(**GAUSSIAN), data)
    model, x = run.model(), data.test_images.double() / 255
    mu, logvar = model.encode(x)
    noise = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def fit(z: Tensor) -> Tensor:
        """Log P(X|z), averaged over the images."""
        return D.Normal(model.decode(z), GAUSSIAN["decoder_variance"] ** 0.5).log_prob(x).sum() / 40

    def gains(z: Tensor) -> Tensor:
        hidden = [torch.where(torch.arange(3) == j, mu.mean(0), z) for j in range(3)]
        return torch.stack([fit(z) - fit(without) for without in hidden])

    z = mu + (logvar / 2).exp() * noise
    kl = ((mu**2 + logvar.exp() - logvar - 1) / 2).mean(0)
    expected = {
        "shape": torch.tensor([1, 3, 4]),
        "var_mu": mu.var(0, correction=0),
        "mean_sigma2": logvar.exp().mean(0),
        "kl": kl,
        "gain": gains(mu),
        "noisy_gain": gains(z),
        "reconstruction_nats": -fit(mu),
        "squared_error": (model.decode(mu) - x).square().mean(),
        "elbo": fit(z) - kl.sum(),
        "revived": torch.tensor(-1),
    }
    torch.testing.assert_close(run.measurements, expected)  # which compares the types too
    expected_sum = latent_statistics(mu, logvar).variance_sum
    torch.testing.assert_close(run.statistics.variance_sum, expected_sum)


def test_a_deterministic_autoencoder_has_no_elbo_and_a_learned_variance_is_measured() -> None:
    fields = {"model": "Autoencoder", "learn_variance": True, "evaluation_samples": 5}
    measured = (run := train(small(**fields, **GAUSSIAN), make_data())).measurements
    assert not {"elbo", "log_likelihood", "frechet"} & measured.keys()
    assert torch.isposinf(measured["kl"]).all()
    assert torch.equal(measured["gain"], measured["noisy_gain"])
    learned = run.weights["log_decoder_variance"].double().exp()
    torch.testing.assert_close(measured["decoder_variance"], learned)
    assert abs(learned - GAUSSIAN["decoder_variance"]) > 1e-4


def test_the_model_of_a_run_is_in_float64_and_frozen() -> None:
    run = train(SMALL, make_data())
    model = run.model()
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert same(dict(model.state_dict()), {n: value.double() for n, value in run.weights.items()})
    with pytest.raises(ValueError, match=r"^model: "):
        run.classifier()


# ---- the classifier and the evaluation ----------------------------------------------------------

CLASSIFIER = small(model="Classifier", hidden=(), latent=6, epochs=45, history=False)


def test_a_classifier_has_an_accuracy_and_no_latent_variables() -> None:
    data = make_data()
    run = train(small(model="Classifier", hidden=(), latent=8, epochs=100), data)
    assert run.history == {}
    assert run.measurements.keys() == {"shape", "accuracy", "revived"}
    classifier = run.classifier()
    with torch.no_grad():
        answers = classifier(data.test_images.double() / 255).argmax(1)
    accuracy = (answers == data.test_labels).double().mean()
    assert torch.equal(run.measurements["accuracy"], accuracy)
    assert accuracy > 0.8  # the best single answer is right for about a third
    assert not classifier.training
    with pytest.raises(ValueError, match=r"^model: "):
        run.model()


def test_image_features_are_those_of_the_last_hidden_layer() -> None:
    classifier = Classifier((1, 3, 4), 5)
    images = torch.randint(256, (1_100, 1, 3, 4), dtype=torch.uint8)
    features = image_features(classifier, images)
    assert features.shape == (1_100, 5)
    assert features.min() == 0
    with torch.no_grad():
        torch.testing.assert_close(classifier(images / 255), classifier.head(features))
    assert image_features(classifier.double(), images).dtype == torch.float64


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation_images": 5},
        {"evaluation_images": 32, "binarise": True},
        {"evaluation_images": 5, "importance_samples": 3},
        {"evaluation_images": 1_000, "likelihood": "gaussian"},
    ],
    ids=str,
)
def test_an_evaluation_gives_what_its_documentation_says(changes: dict[str, Any]) -> None:
    """Against the same draws, with torch.distributions and NumPy in the place of the package."""
    experiment = small(evaluation_samples=60, **changes)
    data, classifier = make_data(), train(CLASSIFIER, make_data()).classifier()
    run = train(experiment, data, classifier=lambda: classifier)
    plain = train(small(**changes), data)
    assert same(run.weights, plain.weights)
    assert same(run.history, plain.history)
    measured = {n: v for n, v in run.measurements.items() if n not in plain.measurements}
    model = run.model().float()
    classifier, noise = classifier.float(), torch.Generator().manual_seed(0)
    # Evenly spaced in the 40 test images, or all of them.
    chosen = np.linspace(0, 40, min(40, changes["evaluation_images"]), endpoint=False).astype(int)
    with torch.no_grad():
        x = data.test_images[chosen].float() / 255
        if experiment.binarise:
            x = torch.bernoulli(x, generator=noise)
        weights = reference_weights(experiment, model, x, 60, noise).double().exp().numpy()
        draws = model.decode(torch.randn(10_000, 3, generator=noise)).clamp(0, 1)
        sure = classifier(draws).softmax(1).amax(1) > 0.9
        a = classifier.features(draws).double().numpy()
        b = classifier.features(data.test_images.float() / 255).double().numpy()
    crossed = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real.clip(0)
    moments = np.trace(np.cov(a.T)) + np.trace(np.cov(b.T)) - 2 * np.sqrt(crossed).sum()
    distance = np.square(a.mean(0) - b.mean(0)).sum() + moments
    assert measured["frechet"].dtype == torch.float64
    likelihood, error = measured.pop("log_likelihood"), measured.pop("log_likelihood_error")
    np.testing.assert_allclose(likelihood, np.log(weights.mean(0)), rtol=1e-4)
    expected_error = weights.std(0) / weights.mean(0) / np.sqrt(60)
    np.testing.assert_allclose(error, expected_error, rtol=1e-2, atol=1e-5)
    assert measured.pop("frechet").item() == pytest.approx(distance, rel=1e-3)
    assert distance > 0.01
    share = measured.pop("confident_share").item()
    assert share == pytest.approx(sure.double().mean().item(), abs=2e-4)
    assert 0 < share < 1 or experiment.likelihood == "gaussian"
    assert measured == {}
