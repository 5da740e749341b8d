"""The training loop: what it sees, in which order, what it refuses, and that the loss falls."""

import importlib
import math
import os
import sys
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import network, normal, seeded
from torch.utils.data import DataLoader

from vaelib import _openmp, fit

few = settings(deadline=None, max_examples=15, database=None)


def numbered(n):
    """Images that can be told apart: image i has the grey value i."""
    return torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1).expand(n, 1, 2, 3)


def numbers(x):
    return x[:, 0, 0, 0].mul(255).round().int().tolist()


def seen(images, model=None, **arguments):
    """What the loss is given, batch by batch; its gradient is that of the sum of the weights."""
    model, given = model or network().float(), []

    def loss(*arguments):
        given.append(arguments)
        return model.mu.weight.sum()

    fit(model, images, loss, **arguments)
    return given


@few
@given(
    n=st.integers(1, 25),
    batch_size=st.integers(1, 30),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 2**40),
)
def test_every_epoch_sees_each_image_once_and_the_last_batch_may_be_smaller(
    n, batch_size, epochs, seed
):
    steps = []
    arguments = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    given = seen(numbered(n), on_step=steps.append, **arguments)
    assert steps == list(range(len(given) + 1))
    batches = -(-n // batch_size)
    assert [epoch for _, epoch in given] == sorted([*range(epochs)] * batches)
    for epoch in range(epochs):
        own = [numbers(x) for x, which in given if which == epoch]
        assert sorted(chain(*own)) == list(range(n))
        assert {len(batch) for batch in own[:-1]} <= {batch_size}


def test_the_order_depends_on_the_seed_alone_and_changes_every_epoch():
    def order(global_seed, **arguments):
        model = network().float()
        state = torch.manual_seed(global_seed).get_state()
        given = seen(numbered(50), model, epochs=2, batch_size=20, **arguments)
        assert torch.equal(state, torch.get_rng_state())
        return [numbers(x) for x, _ in given]

    first = order(1)
    assert order(2) == order(3, seed=0) == first
    assert order(1, seed=5) != first
    assert list(chain(*first[:3])) not in (list(chain(*first[3:])), list(range(50)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_batches_are_pixels_in_the_precision_of_the_model(dtype, precision):
    # Data of a linear VAE need not lie in [0, 1].
    images = (100 * normal(20, 1, 2, 3)).to(dtype)
    given = seen(images, network().to(precision), epochs=1, batch_size=7)
    order = torch.randperm(20, generator=seeded())
    expected = images[order].to(precision)
    expected = expected / 255 if dtype == torch.uint8 else expected
    assert torch.equal(torch.cat([x for x, _ in given]), expected)


def test_the_loss_gets_the_labels_of_its_images():
    labels = torch.arange(50).flip(0) * 3
    given = seen(numbered(50), labels=labels, epochs=2, batch_size=20)
    for x, _, own in given:
        assert own.tolist() == [3 * (49 - i) for i in numbers(x)]
    without = seen(numbered(50), epochs=2, batch_size=20)
    assert [numbers(x) for x, *_ in given] == [numbers(x) for x, _ in without]


def test_a_loss_that_sets_the_gradients_itself_trains_as_its_value_would():
    models = network(), network()

    def value(x, epoch):
        return (1 + epoch) * sum(weight.square().sum() for weight in models[0].parameters())

    def gradient(x, epoch):
        for weight in models[1].parameters():
            weight.grad = 2 * weight.detach() * (1 + epoch)

    for model, loss in zip(models, (value, gradient), strict=True):
        fit(model, numbered(20), loss, epochs=3, batch_size=6)
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(a, b)


# ---- the steps ----------------------------------------------------------------------------------


def test_the_steps_are_those_of_adam():
    model = network()
    weight = model.mu.weight.detach().clone()
    places, first, second = [], 0.0, 0.0
    fit(
        model,
        numbered(30),
        lambda x, epoch: model.mu.weight.square().sum(),
        epochs=3,
        batch_size=10,
        learning_rate=0.02,
        on_step=lambda step: places.append(model.mu.weight.detach().clone()),
    )
    assert torch.equal(places[0], weight)  # before the first step
    for t in range(1, 10):
        gradient = 2 * weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight = weight - 0.02 * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
        torch.testing.assert_close(places[t], weight)


def test_where_adam_is_not_fused_it_trains_all_the_same(monkeypatch):
    adam = torch.optim.Adam

    def of_torch_2_2(parameters, rate, fused=False):
        if fused:
            raise RuntimeError("`fused=True` requires all the params to be on supported devices")
        return adam(parameters, rate)

    expected = step_lengths(epochs=1)
    monkeypatch.setattr(torch.optim, "Adam", of_torch_2_2)
    assert step_lengths(epochs=1) == pytest.approx(expected, rel=1e-3)


def step_lengths(**arguments):
    """How far each step moves a weight whose gradient is constant: Adam's learning rate."""
    model, places = network(), []
    watch = lambda step: places.append(model.mu.weight[0, 0].item())  # noqa: E731
    seen(numbered(10), model, on_step=watch, **{"batch_size": 5, **arguments})
    return [a - b for a, b in pairwise(places)]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, [1e-3] * 8),
        ({"learning_rate": 5e-3}, [5e-3] * 8),
        ({"learning_rate": 5e-3, "final_learning_rate": 5e-3}, [5e-3] * 8),
        (
            {"learning_rate": 8e-3, "final_learning_rate": 1e-3},
            [8e-3, 8e-3, 4e-3, 4e-3, 2e-3, 2e-3, 1e-3, 1e-3],
        ),
    ],
)
def test_the_learning_rate_falls_geometrically_from_epoch_to_epoch(rates, expected):
    assert step_lengths(epochs=4, **rates) == pytest.approx(expected, rel=1e-6)
    ends = [expected[0]] * 2 + [expected[-1]] * 2
    assert step_lengths(epochs=2, **rates) == pytest.approx(ends, rel=1e-6)


def test_a_batch_has_128_images_by_default():
    assert [len(x) for x, _ in seen(numbered(200), epochs=2)] == [128, 72] * 2


def test_it_trains_where_the_model_is():
    model = network().to("meta")

    def loss(x, epoch, labels):
        assert x.device.type == labels.device.type == "meta"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, numbered(4), loss, epochs=1, labels=torch.arange(4))


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("epochs", [0, -1]),
        ("batch_size", [0]),
        ("learning_rate", [0.0, -1e-3, math.nan]),
        ("final_learning_rate", [0.0, -1e-3, 2e-3, math.nan]),
    ],
)
def test_a_schedule_that_is_not_positive_is_an_error(argument, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"^(\w+, )*{argument}\b"):
            seen(numbered(4), **{"epochs": 1, argument: value})


def test_images_are_a_tensor_of_at_least_one():
    with pytest.raises(ValueError, match=r"^images"):
        seen(numbered(0), epochs=1)
    for images in (DataLoader(numbered(4)), np.zeros((4, 1, 2, 3)), [numbered(4)]):
        with pytest.raises(TypeError, match=r"^images"):
            seen(images, epochs=1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3])
def test_weights_that_stop_being_finite_are_an_error_that_names_the_epoch(bad, at):
    model, calls = network(), []

    def loss(x, epoch):
        calls.append(epoch)
        return model.mu.weight.sum() * (bad if len(calls) == at + 1 else 1.0)

    with pytest.raises(ValueError, match=rf"^loss.* {at // 2}$"):
        fit(model, numbered(12), loss, epochs=3, batch_size=6)


# ---- what is shown, and what is settled on import -----------------------------------------------


def test_the_progress_bar_is_shown_only_on_request(capfd):
    seen(numbered(10), epochs=2, batch_size=4)
    assert capfd.readouterr().err == ""
    seen(numbered(10), epochs=2, batch_size=4, progress="a label")
    last = capfd.readouterr().err.split("\r")[-1]
    assert last.startswith("a label: 100%")
    assert " 6/6 [" in last


@pytest.mark.parametrize(
    ("torch_is_imported", "given", "kept"),
    [
        (False, {}, "1000"),
        (False, {"GOMP_SPINCOUNT": "7"}, "7"),
        (False, {"OMP_WAIT_POLICY": "ACTIVE"}, None),
        (True, {}, None),  # too late
    ],
)
def test_openmps_waiting_is_cut_short_where_nobody_has_chosen(
    monkeypatch, torch_is_imported, given, kept
):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, given.get(name, ""))
        if name not in given:
            monkeypatch.delenv(name)
    if not torch_is_imported:
        monkeypatch.delitem(sys.modules, "torch")
    importlib.reload(_openmp)
    assert os.environ.get("GOMP_SPINCOUNT") == kept
