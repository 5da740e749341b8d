"""The training loop: what it sees, in which order, what it refuses, and that the loss falls."""

import math
import os
import subprocess
import sys
from itertools import chain, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaelib import VAE, Autoencoder, elbo, fit, training_threads
from vaelib.training import Adam, minibatches

few = settings(deadline=None, max_examples=15, database=None)


def numbered_images(n):
    """Images that can be told apart: image i has the grey value i."""
    return torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1).expand(n, 1, 2, 3)


def numbers(x):
    return x[:, 0, 0, 0].mul(255).round().int().tolist()


def small_model():
    torch.manual_seed(0)
    return VAE((1, 2, 3), (4,), 2)


class Recorder:
    """A loss that writes down what it is given."""

    def __init__(self, model):
        self.model, self.batches, self.epochs = model, [], []

    def __call__(self, x, epoch):
        self.batches.append(numbers(x))
        self.epochs.append(epoch)
        return self.model.mu.weight.square().sum()


@few
@given(n=st.integers(1, 200), batch_size=st.integers(1, 80), seed=st.integers(0, 2**40))
def test_every_image_is_seen_once_and_the_last_batch_may_be_smaller(n, batch_size, seed):
    generator = torch.Generator().manual_seed(seed)
    batches = [index.tolist() for index in minibatches(n, batch_size, generator)]
    assert sorted(chain.from_iterable(batches)) == list(range(n))
    assert [len(b) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(batches[-1]) == (n - 1) % batch_size + 1


def batches_seen(images, **arguments):
    """What the loss is given, batch by batch."""
    model, seen = small_model(), []

    def loss(*given):
        seen.append(given)
        return model.mu.weight.square().sum()

    fit(model, images, loss, **arguments)
    return seen


def test_adam_is_pytorchs():
    ours, theirs = small_model(), small_model()
    one, other = Adam(ours.parameters()), torch.optim.Adam(theirs.parameters(), lr=0.03)
    for step in range(20):
        for model, optimiser in ((ours, one), (theirs, other)):
            model.zero_grad()
            # The head is left out at times: who has no gradient stays where it is.
            outputs = model.encode(torch.rand(5, 1, 2, 3, generator=seeded(step)))[: 1 + step % 2]
            torch.cat(outputs).square().sum().backward()
            optimiser.step(*[0.03] if optimiser is one else [])
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_gradient_given_takes_the_place_of_the_loss():
    by_loss, by_gradient = small_model(), small_model()
    images = numbered_images(20)

    def gradient(x, epoch):
        for parameter in by_gradient.parameters():
            parameter.grad = 2 * parameter.detach() * (1 + epoch)

    def loss(x, epoch):
        return (1 + epoch) * sum(p.square().sum() for p in by_loss.parameters())

    fit(by_loss, images, loss, epochs=3, batch_size=6)
    fit(by_gradient, images, None, epochs=3, batch_size=6, gradient=gradient)
    for a, b in zip(by_loss.parameters(), by_gradient.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("own", "general", "threads"),
    [
        (None, None, (1, "the default: the same weights on any number of cores")),
        ("", "", (1, "the default: the same weights on any number of cores")),
        ("1", "2", (1, "VAELIB_THREADS=1")),
        ("2", "1", (2, "VAELIB_THREADS=2")),
        ("99", "", (2, "VAELIB_THREADS=99, but this process may use 2")),
        ("", "2", (2, "OMP_NUM_THREADS=2")),
        ("", " 2,1", (2, "OMP_NUM_THREADS=2")),
        ("", "3", (2, "OMP_NUM_THREADS=3, but this process may use 2")),
        # What OpenMP itself would not take is none of our business.
        ("", "0", (1, "the default: the same weights on any number of cores")),
        ("", "many", (1, "the default: the same weights on any number of cores")),
    ],
)
def test_training_says_how_many_threads_it_takes_and_why(monkeypatch, own, general, threads):
    monkeypatch.setattr("vaelib.training.joblib.cpu_count", lambda: 2)
    for name, value in (("VAELIB_THREADS", own), ("OMP_NUM_THREADS", general)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert training_threads() == threads


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", "²"])
def test_a_number_of_threads_that_is_none_is_an_error(monkeypatch, asked):
    monkeypatch.setenv("VAELIB_THREADS", asked)
    with pytest.raises(ValueError, match=r"^VAELIB_THREADS: expected a whole number above 0"):
        training_threads()


@pytest.mark.parametrize(
    ("order", "given", "kept"),
    [
        ("vaelib", {}, "1000"),
        ("vaelib", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("vaelib", {"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
        ("torch, vaelib", {}, "None"),  # too late
    ],
)
def test_openmps_waiting_is_cut_short_where_nobody_has_chosen(order, given, kept):
    code = f"import {order}, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    chosen = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    environment = {k: v for k, v in os.environ.items() if k not in chosen} | given
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == kept


def test_batches_are_pixels_of_the_training_images():
    images = torch.randint(0, 256, (20, 3, 4, 5), dtype=torch.uint8)
    x = torch.cat([x for x, _ in batches_seen(images, epochs=1, batch_size=7)])
    assert x.dtype == torch.float32
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x, images[order].float() / 255)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floating_point_images_reach_the_loss_as_they_are(dtype):
    # Data of a linear VAE need not lie in [0, 1].
    images = 100 * torch.randn(20, 1, 2, 3, dtype=dtype)
    x = torch.cat([x for x, _ in batches_seen(images, epochs=1, batch_size=7)])
    assert x.dtype == dtype
    assert torch.equal(x, images[torch.randperm(20, generator=torch.Generator().manual_seed(0))])


def test_the_loss_gets_the_labels_of_its_images():
    labels = torch.arange(50).flip(0) * 3
    seen = batches_seen(numbered_images(50), labels=labels, epochs=2, batch_size=20)
    assert [epoch for _, epoch, _ in seen] == [0, 0, 0, 1, 1, 1]
    for x, _, own in seen:
        assert own.tolist() == [3 * (49 - i) for i in numbers(x)]
    # Labels change nothing about the order.
    without = batches_seen(numbered_images(50), epochs=2, batch_size=20)
    assert [numbers(x) for x, *_ in seen] == [numbers(x) for x, _ in without]


def step_lengths(**arguments):
    """How far each step moves a weight whose gradient is constant: Adam's learning rate."""
    model, places = small_model().double(), []

    def loss(x, epoch):
        return model.mu.weight.sum()

    def watch(step):
        places.append(model.mu.weight[0, 0].item())

    fit(model, numbered_images(10), loss, batch_size=5, watch=watch, **arguments)
    return [a - b for a, b in pairwise(places)]


def test_the_learning_rate_falls_geometrically_from_epoch_to_epoch_to_its_last_value():
    found = step_lengths(epochs=4, learning_rate=8e-3, final_learning_rate=1e-3)
    expected = [8e-3, 8e-3, 4e-3, 4e-3, 2e-3, 2e-3, 1e-3, 1e-3]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("final", [None, 5e-3])
def test_the_learning_rate_stays_unless_it_is_to_fall(final):
    found = step_lengths(epochs=3, learning_rate=5e-3, final_learning_rate=final)
    assert found == pytest.approx([5e-3] * 6, rel=1e-6)


@pytest.mark.parametrize("final", [0.0, -1e-3, 2e-3, math.nan])
def test_a_learning_rate_that_would_not_fall_is_an_error(final):
    with pytest.raises(ValueError, match=r"^final_learning_rate: expected one up to 0.001, got "):
        step_lengths(epochs=2, learning_rate=1e-3, final_learning_rate=final)


def test_the_order_depends_on_the_seed_alone_and_changes_every_epoch():
    seen = []
    for global_seed, seed in [(1, 0), (2, 0), (1, 5)]:
        torch.manual_seed(global_seed)
        model = small_model()
        record = Recorder(model)
        torch.manual_seed(global_seed)
        fit(model, numbered_images(50), record, epochs=2, batch_size=20, seed=seed)
        seen.append(record.batches)
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]
    first, second = list(chain(*seen[0][:3])), list(chain(*seen[0][3:]))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != sorted(first)


def test_the_seed_is_zero_unless_said():
    seen = []
    for arguments in ({}, {"seed": 0}):
        record = Recorder(small_model())
        fit(record.model, numbered_images(30), record, epochs=1, **arguments)
        seen.append(record.batches)
    assert seen[0] == seen[1]


def test_training_leaves_the_global_generator_alone():
    model = small_model()
    state = torch.get_rng_state()
    fit(model, numbered_images(10), Recorder(model), epochs=1)
    assert torch.equal(state, torch.get_rng_state())


def test_the_loss_is_told_the_epoch_and_the_defaults_are_those_of_the_talk():
    record = Recorder(small_model())
    fit(record.model, numbered_images(200), record, epochs=3)
    assert record.epochs == [0, 0, 1, 1, 2, 2]
    assert [len(b) for b in record.batches] == [128, 72] * 3


@few
@given(n=st.integers(1, 30), batch_size=st.integers(1, 40), epochs=st.integers(1, 3))
def test_the_watcher_is_called_with_0_to_n(n, batch_size, epochs):
    model, steps = small_model(), []
    fit(
        model,
        numbered_images(n),
        Recorder(model),
        epochs=epochs,
        batch_size=batch_size,
        watch=steps.append,
    )
    assert steps == list(range(epochs * math.ceil(n / batch_size) + 1))


def test_the_watcher_sees_the_model_before_the_first_step_and_after_each():
    model, seen = small_model(), []
    start = model.mu.weight.detach().clone()
    fit(
        model,
        numbered_images(10),
        Recorder(model),
        epochs=2,
        batch_size=5,
        watch=lambda step: seen.append(model.mu.weight.detach().clone()),
    )
    assert torch.equal(seen[0], start)
    assert len(seen) == 5
    assert all(not torch.equal(a, b) for a, b in pairwise(seen))
    assert torch.equal(seen[-1], model.mu.weight)


def test_the_steps_are_those_of_adam():
    model = small_model()
    weight = model.mu.weight.detach().double().clone()
    first = second = torch.zeros_like(weight)
    fit(model, numbered_images(30), Recorder(model), epochs=3, batch_size=10, learning_rate=0.02)
    for t in range(1, 10):
        gradient = 2 * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight = weight - 0.02 * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
    torch.testing.assert_close(model.mu.weight.double(), weight, rtol=1e-4, atol=1e-5)


def test_the_default_learning_rate_is_a_thousandth():
    model = small_model()
    start = model.mu.weight.detach().clone()
    fit(model, numbered_images(10), Recorder(model), epochs=1)
    # Adam's first step has the length of the learning rate, whatever the gradient.
    torch.testing.assert_close((model.mu.weight - start).abs(), torch.full_like(start, 1e-3))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_training_lowers_the_loss(likelihood):
    torch.manual_seed(0)
    images = torch.zeros(64, 1, 4, 4, dtype=torch.uint8)
    images[:32, :, :2] = 255
    images[32:, :, 2:] = 255
    model = VAE((1, 4, 4), (8,), 2, likelihood, decoder_variance=0.1)
    losses, noise = [], torch.Generator().manual_seed(0)

    def loss(x, epoch):
        value = -elbo(model, x, generator=noise).mean()
        losses.append(value.item())
        return value

    fit(model, images, loss, epochs=80, batch_size=32, learning_rate=1e-2)
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 3
    mu, _ = model.encode(torch.stack([images[0], images[-1]]).float() / 255)
    decoded = model.decode(mu)
    assert (decoded[0, 0, :2] > 0.7).all()
    assert (decoded[1, 0, :2] < 0.3).all()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("epochs", 0),
        ("epochs", -1),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
    ],
)
def test_a_schedule_that_is_not_positive_is_an_error(argument, value):
    model = small_model()
    arguments = {"epochs": 1, argument: value}
    with pytest.raises(
        ValueError, match=rf"{argument}.*: expected positive numbers, got .*{value}"
    ):
        fit(model, numbered_images(4), Recorder(model), **arguments)


def test_no_images_are_an_error():
    model = small_model()
    with pytest.raises(ValueError, match=r"^images: expected at least one image"):
        fit(model, numbered_images(0), Recorder(model), epochs=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_stops_being_finite_is_an_error(value):
    model = small_model()

    def loss(x, epoch):
        return model.mu.weight.sum() * (value if epoch == 1 else 1.0)

    with pytest.raises(ValueError, match=r"^loss: .* in epoch 1$"):
        fit(model, numbered_images(10), loss, epochs=3, batch_size=10)


def test_a_loss_that_is_not_finite_early_in_an_epoch_is_an_error_too():
    model, calls = small_model(), []

    def loss(x, epoch):
        calls.append(epoch)
        return model.mu.weight.sum() * (math.nan if len(calls) == 1 else 1.0)

    with pytest.raises(ValueError, match=r"^loss: "):
        fit(model, numbered_images(12), loss, epochs=1, batch_size=4)


def test_the_progress_bar_is_shown_only_on_request(capfd):
    schedule = {"epochs": 2, "batch_size": 4}
    model = small_model()
    fit(model, numbered_images(10), Recorder(model), **schedule)
    assert capfd.readouterr().err == ""
    fit(model, numbered_images(10), Recorder(model), **schedule, progress="a label")
    last = capfd.readouterr().err.split("\r")[-1]
    assert last.startswith("a label: 100%")
    assert " 6/6 [" in last
    assert last.rstrip().endswith("step/s]")


def test_model_and_images_go_where_training_is_asked_for():
    model, seen = small_model(), []

    def loss(x, epoch):
        seen.append({x.device.type, *(p.device.type for p in model.parameters())})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, numbered_images(4), loss, epochs=1, device="meta")
    assert seen == [{"meta"}]


def test_a_deterministic_autoencoder_and_float64_train_too():
    torch.manual_seed(0)
    model = Autoencoder((1, 2, 3), (), 1, "gaussian").double()
    losses = []

    def loss(x, epoch):
        mu, _ = model.encode(x.double())
        value = (model.decode(mu) - x).square().mean()
        losses.append(value.item())
        return value

    fit(model, numbered_images(100), loss, epochs=50, learning_rate=1e-2)
    assert losses[-1] < losses[0] / 5
