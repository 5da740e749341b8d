"""The record of an experiment: its fields, its name, and what each field does to training.

The oracle of training is `reference`: the loop once more, written from the documentation.
A new field needs a row in `FIELDS`, and `reference` must know what it does.
"""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SMALL, make_data, same, small
from torch import Tensor, nn
from torch import distributions as D
from torch.nn import functional as F

from vaelib import VAE, Autoencoder, ConvVAE, LinearVAE
from vaelib.data import ImageData
from vaelib.lab import Classifier, Experiment, Run, classifier_experiment, training
from vaelib.lab.deepening import deepened
from vaelib.lab.held import HeldVAE
from vaelib.lab.measurements import Measurement
from vaelib.lab.objective import Objective

GAUSSIAN = {"likelihood": "gaussian", "decoder_variance": 0.05}
# Of each field: the default, another value, and what else that value needs.
FIELDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "model": ("VAE", "Autoencoder", {}),
    "hidden": ((256, 64, 32, 24), (5, 4), {}),
    "latent": (16, 2, {}),
    "likelihood": ("bernoulli", "gaussian", {}),
    "decoder_variance": (1.0, 0.1, {"likelihood": "gaussian"}),
    "learn_variance": (False, True, GAUSSIAN),
    "initialisation": ("glorot", "torch", {}),
    "activation": ("relu", "tanh", {}),
    "leak": (0.0, 0.3, {}),
    "held_sigma2": (0.5, 0.3, {"model": "HeldVAE"}),
    "beta": (1.0, 3.0, {}),
    "beta_warmup": (0, 3, {"beta": 2.0}),
    "beta_path": ((), ((1, 0.5), (3, 2)), {"epochs": 4}),
    "sample_from_epoch": (0, 2, {}),
    "free_variable": (None, 1, {}),
    "revive_epochs": (None, (1, 3), {}),
    "revive_count": (1, 2, {"revive_epochs": (1, 3)}),
    "draws": (1, 3, {}),
    "importance_samples": (1, 4, {}),
    "free_bits": (0.0, 0.01, {}),
    "latent_dropout": (0.0, 0.4, {}),
    "binarise": (False, True, {}),
    "precision": ("float32", "bfloat16", {"hidden": (256,), "learning_rate": 1e-3}),
    "epochs": (20, 2, {}),
    "batch_size": (128, 7, {}),
    "learning_rate": (1e-3, 3e-3, {}),
    "final_learning_rate": (None, 1e-4, {}),
    "reset": ("nothing", "decoder", {}),
    "reset_epoch": (0, 1, {"reset": "heads"}),
    "images": (None, 20, {}),
    "shallow_epochs": (0, 2, {"hidden": (6, 6)}),
    "history": (True, False, {}),
    "snapshots": (0, 3, {}),
    "evaluation_samples": (0, 5, {}),
    "evaluation_images": (2_000, 10, {}),
    "beyond_test": (False, True, {}),
    "dataset": ("mnist", "glyphs", {}),
    "seed": (0, 4, {}),
}
# Fields that leave the weights alone; the images themselves are given to `train`.
MEASURING = {field.name for field in attrs.fields(Measurement)} | {"dataset"}
TOGETHER: list[dict[str, Any]] = [
    {"beta": 0.0},
    {"beta_warmup": 9},  # longer than training
    {"sample_from_epoch": 4},  # never
    {"revive_epochs": (0, 2)},
    {"revive_epochs": (1, 4), "batch_size": 8},
    {"beta": 2.0, "beta_warmup": 2, "sample_from_epoch": 1, "free_variable": 0,
     "revive_epochs": (2, 3)},
    {"importance_samples": 3, "binarise": True, **GAUSSIAN, "decoder_variance": 0.2},
    {"free_bits": 0.02, "beta": 3.0, "free_variable": 2},
    {"free_bits": 0.02, "beta_warmup": 3},
    {"reset": "optimiser", "reset_epoch": 1},
    {"shallow_epochs": 1, "hidden": (5, 6, 6), "model": "Autoencoder", "batch_size": 7},
    {"reset": "encoder", "reset_epoch": 3, "batch_size": 7},
    {"beta_path": ((2, 0), (1, 3), (1, 1)), "free_variable": 0, "revive_epochs": (2, 3)},
    {"latent_dropout": 0.4, "sample_from_epoch": 4},
    {"latent_dropout": 0.2, "free_bits": 0.01},
    {"final_learning_rate": 1e-4, "epochs": 1},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "clipped_continuous_bernoulli", "draws": 2},
    {"draws": 3, "latent_dropout": 0.4, "free_bits": 0.01, "sample_from_epoch": 1},
    {"model": "Autoencoder", "learn_variance": True, **GAUSSIAN},
    {"model": "ConvVAE", "hidden": (4, 6)},
    {"model": "LinearVAE", "hidden": (), "likelihood": "gaussian"},
    {"model": "HeldVAE", "held_sigma2": 0.1, "sample_from_epoch": 4},
    {"model": "HeldVAE", "held_sigma2": 0.6, "free_variable": 1, "revive_epochs": (0, 2)},
    {"model": "Classifier", "hidden": ()},
]  # fmt: skip


def other(name: str) -> dict[str, Any]:
    """Another value of a field, with what it needs."""
    _, value, needs = FIELDS[name]
    return {**needs, name: value}


# ---- what each field does to training -----------------------------------------------------------


def reference(experiment: Experiment, data: ImageData) -> tuple[nn.Module, list[int]]:
    """Train as the documentation of `Experiment` says, sharing nothing but the model's layers."""
    model = experiment.build(tuple(data.train_images.shape[1:]))
    if experiment.shallow_epochs:
        changes = {"hidden": experiment.hidden[:-1], "epochs": experiment.shallow_epochs}
        shallow, _ = reference(attrs.evolve(experiment, shallow_epochs=0, **changes), data)
        begin_as(shallow, model)
    images = data.train_images[: experiment.images].float() / 255
    order = torch.Generator().manual_seed(experiment.seed)
    noise = torch.Generator().manual_seed(experiment.seed)
    adam = torch.optim.Adam(model.parameters(), lr=experiment.learning_rate)
    revived: list[int] = []
    for epoch in range(experiment.epochs):
        if experiment.final_learning_rate and epoch:
            fall = experiment.final_learning_rate / experiment.learning_rate
            done = epoch / (experiment.epochs - 1)
            adam.param_groups[0]["lr"] = experiment.learning_rate * fall**done
        if experiment.revive_epochs and epoch == experiment.revive_epochs[0]:
            with torch.no_grad():
                mu, _ = model.eval().encode(data.test_images.float() / 255)
            model.train()
            revived = mu.numpy().var(axis=0).argsort()[: experiment.revive_count].tolist()
        if experiment.reset != "nothing" and epoch == experiment.reset_epoch:
            adam = torch.optim.Adam(model.parameters(), lr=adam.param_groups[0]["lr"])
            other = attrs.evolve(experiment, seed=experiment.seed + 1)
            fresh = other.build(tuple(data.train_images.shape[1:])).state_dict()
            parts = {"encoder": r"encoder|mu|logvar", "heads": r"mu|logvar", "decoder": r"decoder"}
            part = rf"({parts.get(experiment.reset, 'none')})\."
            with torch.no_grad():
                for weight_name, weight in model.named_parameters():
                    if re.match(part, weight_name):
                        weight.copy_(fresh[weight_name])
        index = torch.randperm(len(images), generator=order)
        for start in range(0, len(images), experiment.batch_size):
            batch = index[start : start + experiment.batch_size]
            adam.zero_grad()
            if isinstance(model, Classifier):
                chances = model(images[batch]).softmax(1)
                loss = -chances[torch.arange(len(batch)), data.train_labels[batch]].log().mean()
            else:
                loss = reference_loss(experiment, model, images[batch], epoch, revived, noise)
            loss.backward()
            adam.step()
    return model, revived


@torch.no_grad()
def begin_as(shallow: Any, model: Any) -> None:
    """Put the layers of the shallow model into the deep one, and an identity in the gaps."""
    pairs = [(shallow.mu, model.mu)]
    pairs += [(shallow.logvar, model.logvar)] if hasattr(model, "logvar") else []
    *features, gap = [layer for layer in model.encoder if isinstance(layer, nn.Linear)]
    first, other_gap, *rest = [layer for layer in model.decoder if isinstance(layer, nn.Linear)]
    pairs += zip([x for x in shallow.encoder if isinstance(x, nn.Linear)], features, strict=True)
    own = [layer for layer in shallow.decoder if isinstance(layer, nn.Linear)]
    for old, new in [*pairs, *zip(own, [first, *rest], strict=True)]:
        new.load_state_dict(old.state_dict())
    for layer in (gap, other_gap):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)


def reference_loss(
    experiment: Experiment,
    model: Any,
    x: Tensor,
    epoch: int,
    revived: list[int],
    noise: torch.Generator,
) -> Tensor:
    if experiment.binarise:
        x = torch.bernoulli(x, generator=noise)
    mu, logvar = model.encode(x)
    sigma = logvar.exp().sqrt()
    if experiment.importance_samples > 1:
        return -reference_weights(
            experiment, model, x, experiment.importance_samples, noise
        ).exp().mean(0).log().mean()  # fmt: skip
    if experiment.model == "Autoencoder":
        return -reference_fit(experiment, model, x, mu).mean()
    z, cost = mu, torch.zeros(())
    if epoch >= experiment.sample_from_epoch:
        z = mu + sigma * torch.randn((experiment.draws, *mu.shape), generator=noise)
    z = z.reshape(-1, *mu.shape)
    if experiment.latent_dropout:
        z = z * (torch.rand(z.shape, generator=noise) >= experiment.latent_dropout)
    for j in range(experiment.latent):
        weight = experiment.beta
        if epoch < experiment.beta_warmup:
            weight = experiment.beta * epoch / experiment.beta_warmup
        if experiment.beta_path:
            weight = [w for epochs, w in experiment.beta_path for _ in range(epochs)][epoch]
        if j == experiment.free_variable:
            weight = 0.0
        if j in revived and experiment.revive_epochs[0] <= epoch < experiment.revive_epochs[1]:
            weight = 0.0
        kl = ((mu[:, j] ** 2 + logvar[:, j].exp() - logvar[:, j] - 1) / 2).mean()
        cost = cost + weight * kl.clamp(min=experiment.free_bits)
    return cost - sum(reference_fit(experiment, model, x, draw).mean() for draw in z) / len(z)


def reference_weights(
    experiment: Experiment, model: Any, x: Tensor, samples: int, noise: torch.Generator
) -> Tensor:
    """Log P(X, z) / Q(z|X) of each draw: (samples, batch)."""
    mu, logvar = model.encode(x)
    posterior = D.Normal(mu, logvar.exp().sqrt())
    z = mu + posterior.scale * torch.randn((samples, *mu.shape), generator=noise)
    fits = torch.stack([reference_fit(experiment, model, x, draw) for draw in z])
    return fits + (D.Normal(0, 1).log_prob(z) - posterior.log_prob(z)).sum(2)


def reference_fit(experiment: Experiment, model: Any, x: Tensor, z: Tensor) -> Tensor:
    output, flat = model.decoder(z), x.flatten(1)
    if experiment.likelihood == "bernoulli":
        return (flat * F.logsigmoid(output) + (1 - flat) * F.logsigmoid(-output)).sum(1)
    if experiment.likelihood == "continuous_bernoulli":
        return D.ContinuousBernoulli(logits=output).log_prob(flat).sum(1)
    if experiment.likelihood == "clipped_continuous_bernoulli":
        chance = output.sigmoid().clamp(1e-4, 1 - 1e-4)
        return D.ContinuousBernoulli(probs=chance).log_prob(flat).sum(1)
    variance = torch.tensor(experiment.decoder_variance)
    if experiment.learn_variance:
        variance = model.log_decoder_variance.exp()
    return D.Normal(output, variance.sqrt()).log_prob(flat).sum(1)


def data_for(experiment: Experiment) -> ImageData:
    if experiment.precision == "bfloat16":
        return make_data(shape=(1, 16, 16))  # so that a layer is large
    return make_data(shape=(1, 4, 4) if experiment.model == "ConvVAE" else (1, 3, 4))


def check(run: Run, model: nn.Module, revived: list[int]) -> None:
    expected = dict(model.state_dict())
    if run.experiment.precision == "bfloat16":  # which rounds to 8 bits
        start = run.experiment.build((1, 16, 16)).state_dict()
        for name, value in expected.items():
            assert (run.weights[name] - value).norm() < 0.2 * (value - start[name]).norm(), name
    else:
        torch.testing.assert_close(run.weights, expected, rtol=1e-3, atol=2e-5)
    assert run.measurements["revived"].reshape(-1).tolist() == (revived or [-1])


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_changes_the_weights_as_documented_or_only_measures(name: str) -> None:
    experiment = small(**other(name))
    run = training.train(experiment, data_for(experiment))
    plain = training.train(small(**FIELDS[name][2]), data_for(experiment)).weights
    assert same(run.weights, plain) == (name in MEASURING)
    check(run, *reference(experiment, data_for(experiment)))


@pytest.mark.parametrize("changes", TOGETHER, ids=str)
def test_fields_work_together_as_documented(changes: dict[str, Any]) -> None:
    experiment = small(**changes)
    run = training.train(experiment, data_for(experiment))
    check(run, *reference(experiment, data_for(experiment)))


def test_the_variable_to_revive_is_chosen_once_even_if_it_is_the_first() -> None:
    run = training.train(small(revive_epochs=(1, 4), batch_size=8, seed=0), make_data())
    assert run.measurements["revived"] == 0
    # By the end another one has the least variance: chosen anew, it would be that one.
    assert run.history["var_mu"][-1].argmin() != 0


def test_the_price_of_a_held_variable_is_constant_and_it_can_be_pruned() -> None:
    experiment = small(model="HeldVAE", held_sigma2=0.2, epochs=40)
    images = make_data().train_images / 255
    network = experiment.build((1, 3, 4))
    square = network.mu(network._features(images)).square().mean(0)
    mu, logvar = network.encode(images)  # in training: the batch's own scale
    torch.testing.assert_close(network.mu_square, 0.9 + 0.1 * square)
    price = (mu.square() + logvar.exp() - logvar - 1).mean(0) / 2
    torch.testing.assert_close(price, torch.full((3,), -math.log(0.2) / 2))
    model, x = training.train(experiment, make_data()).model(), images.double()
    mu, logvar = model.encode(x)  # after it: nearly so, by the running mean
    torch.testing.assert_close(
        mu.square().mean(0) + logvar.exp().mean(0), torch.ones(3).double(), rtol=0.2, atol=0
    )
    torch.testing.assert_close(model.encode(x[:1])[0], mu[:1])
    index = [2, 0]
    alone = torch.zeros_like(mu)
    alone[:, index] = mu[:, index]
    pruned = model.prune(index).eval()
    torch.testing.assert_close(pruned.encode(x)[0], mu[:, index])
    torch.testing.assert_close(pruned.decode(mu[:, index]), model.decode(alone))


def test_a_variance_that_leaves_no_noise_or_no_scale_is_refused() -> None:
    for value in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match=r"^held_sigma2: expected"):
            HeldVAE((1, 3, 4), (), 3, held_sigma2=value)


# ---- names --------------------------------------------------------------------------------------


def test_every_field_is_in_the_table_and_no_default_has_changed() -> None:
    # A default that changes would silently make another experiment of every stored run.
    defaults = {field.name: field.default for field in attrs.fields(Experiment)}
    assert defaults == {name: default for name, (default, _, _) in FIELDS.items()}


def test_every_field_counts_in_the_name() -> None:
    experiments = [Experiment(), *(Experiment(**other(name)) for name in FIELDS)]
    assert len({e.name.rpartition("-")[2] for e in experiments}) == len(experiments)
    assert len(set(experiments)) == len(experiments)


def test_names_are_pinned_so_that_stored_runs_stay_found() -> None:
    # The digest is that of sha256sum, e.g. of: printf '{}' | sha256sum
    assert Experiment().canonical == "{}"
    assert Experiment().name == "mnist-vae16-seed0-44136fa355b3"
    text = '{"dataset":"glyphs","filmed_images":2,"hidden":[8,4],"latent":2,"seed":7}'
    experiment = Experiment(dataset="glyphs", hidden=[8, 4], latent=2, snapshots=2, seed=7)
    assert experiment.canonical == text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    assert experiment.name == f"glyphs-vae2-seed7-{digest}"
    # Every evaluation needs the classifier of its dataset.
    assert classifier_experiment("mnist").name == "mnist-classifier32-seed0-0906ab9bfd0b"
    assert classifier_experiment("glyphs").name == "glyphs-classifier32-seed0-50362d6c0983"


@settings(deadline=None, max_examples=40, database=None)
@given(
    hidden=st.lists(st.integers(1, 500), max_size=4),
    latent=st.integers(1, 99),
    beta=st.floats(0, 1e6),
    learning_rate=st.floats(0, 1, exclude_min=True),
    seed=st.integers(0, 2**63 - 1),
    images=st.none() | st.integers(1, 60_000),
    history=st.booleans(),
)
def test_the_canonical_form_reads_back_as_the_experiment(**fields: Any) -> None:
    experiment = Experiment(**fields, free_variable=fields["latent"] - 1)
    again = Experiment.from_canonical(experiment.canonical)
    assert (again, again.name) == (experiment, experiment.name)


@pytest.mark.parametrize(
    ("field", "one", "another"),
    [
        ("beta", 2, 2.0),
        ("beta", 0, -0.0),
        ("free_bits", 0.0, -0.0),
        ("beta", 2.0, torch.tensor(2)),
        ("seed", 3, np.int64(3)),
        ("latent", 4, 4.0),
        ("hidden", (8, 4), np.array([8, 4])),
        ("history", False, np.bool_(False)),
    ],
)
def test_what_says_the_same_has_one_name(field: str, one: Any, another: Any) -> None:
    first, second = Experiment(**{field: one}), Experiment(**{field: another})
    assert first == second
    assert first.name == second.name


def test_a_setting_that_is_the_default_is_not_in_the_name() -> None:
    assert Experiment(**{name: default for name, (default, _, _) in FIELDS.items()}).name == (
        Experiment().name
    )


# ---- what is no experiment ----------------------------------------------------------------------

NEVER_VALID = (math.nan, math.inf, -1, -0.5, "no", "1", [None], object())


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_refuses_what_it_cannot_be(name: str) -> None:
    values = [*NEVER_VALID, *([] if FIELDS[name][0] is None else [None])]
    for value in values if name != "dataset" else [-1, None, math.nan]:
        with pytest.raises(ValueError, match=rf"^{name}: "):
            Experiment(**{name: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "vae"),
        ("hidden", (0,)),
        ("hidden", 5),
        ("hidden", (2**70,)),
        ("latent", 0),
        ("latent", 2.5),
        ("likelihood", "poisson"),
        ("decoder_variance", 0.0),
        ("learn_variance", True),  # of a Bernoulli likelihood
        ("leak", 1.01),
        ("shallow_epochs", 1),  # the last two layers differ in width
        ("free_variable", 16),
        ("revive_epochs", (3, 3)),
        ("revive_epochs", (4, 2)),
        ("revive_epochs", (1, 21)),
        ("revive_epochs", (1, 2, 3)),
        ("revive_count", 2),  # of no revival
        ("held_sigma2", 1.0),
        ("beta_path", ((20, -1),)),
        ("beta_path", ((0, 1), (20, 1))),
        ("beta_path", ((19, 1),)),
        ("beta_path", ((20,),)),
        ("reset", "both"),
        ("reset_epoch", 1),  # of nothing
        ("importance_samples", 0),
        ("latent_dropout", 1.0),
        ("precision", "float16"),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("final_learning_rate", 0.0),
        ("images", 0),
        ("evaluation_images", 0),
        ("history", 1),
        ("seed", 2**70),
        ("seed", True),
    ],
)
def test_a_value_out_of_bounds_is_an_error_that_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: "):
        Experiment(**{field: value})


def test_the_last_value_within_bounds_is_taken() -> None:
    assert Experiment(reset="heads", reset_epoch=19).reset_epoch == 19
    assert Experiment(beta_path=[[20, 0]]).beta_path == ((20, 0.0),)
    assert Experiment(revive_epochs=(0, 20)).revive_epochs == (0, 20)
    assert Experiment(free_variable=15, seed=2**63 - 1).seed == 2**63 - 1
    assert small(importance_samples=2, binarise=True, learn_variance=True, **GAUSSIAN).binarise


@pytest.mark.parametrize(
    "changes",
    [{"beta": 2}, {"beta_warmup": 1}, {"epochs": 19}],
    ids=str,
)
def test_a_path_of_beta_goes_with_no_other_weight(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^beta_path: "):
        Experiment(beta_path=((20, 1),), **changes)


def test_what_is_reset_is_reset_within_its_epochs() -> None:
    with pytest.raises(ValueError, match=r"^reset_epoch: "):
        Experiment(reset="heads", reset_epoch=20)


@pytest.mark.parametrize(
    "name", sorted({f.name for f in attrs.fields(Objective)} - {"importance_samples", "binarise"})
)
def test_the_importance_weighted_bound_goes_with_no_other_intervention(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^(importance_samples: .* {name}$|precision: )"):
        small(importance_samples=2, **{name: FIELDS[name][1]})


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "LinearVAE", "hidden": (), "likelihood": "gaussian"},
        {"free_bits": 1},
        {"latent_dropout": 0.1},
        {"importance_samples": 2},
    ],
    ids=str,
)
def test_bfloat16_is_for_what_the_written_gradient_trains(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^precision: "):
        small(precision="bfloat16", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": (6,)},
        {"hidden": ()},
        {"hidden": (6, 5)},
        {"hidden": (5, 6, 4)},
        {"leak": 0.5},
        {"activation": "tanh"},
        {"model": "ConvVAE"},
    ],
    ids=str,
)
def test_only_a_layer_that_can_be_the_identity_is_added(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^shallow_epochs: "):
        small(**{"hidden": (6, 6), "shallow_epochs": 1, **changes})


@pytest.mark.parametrize("model", ["VAE", "Autoencoder"])
@pytest.mark.parametrize("hidden", [(6, 6), (5, 7, 7)])
def test_the_deeper_network_begins_as_the_shallower_one(model: str, hidden: Any) -> None:
    experiment = small(model=model, hidden=hidden, shallow_epochs=2, likelihood="gaussian")
    shallow, deep = experiment.shallower.build((1, 3, 4)), experiment.build((1, 3, 4))
    deep.load_state_dict(deepened(shallow.state_dict(), len(hidden) - 1))
    x, z = make_data().test_images.float() / 255, torch.randn(20, 3)
    assert z.min() < 0
    assert torch.equal(deep.encode(x)[0], shallow.encode(x)[0])
    assert torch.equal(deep.encode(x)[1], shallow.encode(x)[1])
    assert torch.equal(deep.decode(z), shallow.decode(z))


def test_the_shallower_network_is_an_experiment_of_its_own() -> None:
    deep = small(hidden=(6, 6), shallow_epochs=2, seed=5)
    assert deep.shallower == small(epochs=2, seed=5, history=False)


def test_snapshots_need_a_history() -> None:
    with pytest.raises(ValueError, match=r"^snapshots: "):
        small(snapshots=3, history=False)


@pytest.mark.parametrize(
    "dataset",
    ["../x", "/etc/x", "a/b", "a\\..\\b", "..", ".", "", " ", "~root", "a\0b", "mnist\n", "a b",
     "$HOME", "`id`", ".hidden", "-mnist", "*", "m" * 65, 3, b"mnist", ["mnist"], Path("mnist")],
    ids=repr,
)  # fmt: skip
def test_a_dataset_whose_name_could_leave_the_folder_of_runs_is_refused(dataset: Any) -> None:
    with pytest.raises(ValueError, match=r"^dataset: "):
        Experiment(dataset=dataset)


@settings(deadline=None, max_examples=60, database=None)
@given(st.text(max_size=20) | st.text(st.sampled_from("ab./\\~-_ \0"), max_size=12))
def test_whatever_the_dataset_the_name_is_that_of_a_file_in_its_folder(dataset: str) -> None:
    try:
        name = Experiment(dataset=dataset).name
    except ValueError:
        return
    assert Path("runs", name).resolve().parent == Path("runs").resolve()
    assert not name.startswith(".")


def test_experiments_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        SMALL.seed = 9  # type: ignore[misc]


# ---- building -----------------------------------------------------------------------------------


def test_the_seed_alone_decides_the_first_weights() -> None:
    torch.manual_seed(1)
    first = SMALL.build((1, 3, 4)).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        second = SMALL.build((1, 3, 4)).state_dict()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(state, torch.get_rng_state())
    assert same(first, second)
    assert not same(first, small(seed=4).build((1, 3, 4)).state_dict())


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Autoencoder, {"hidden": (4, 6), "activation": "tanh"}),
        (VAE, {"hidden": (4, 6), "initialisation": "glorot", "learn_variance": True, **GAUSSIAN}),
        (ConvVAE, {"hidden": (4, 6)}),
        (LinearVAE, {"hidden": (), "likelihood": "gaussian", "decoder_variance": 0.3}),
    ],
)
def test_the_model_is_the_one_described(kind: type[Autoencoder], fields: dict[str, Any]) -> None:
    experiment = small(model=kind.__name__, **fields)
    model = experiment.build((2, 4, 4))
    assert type(model) is kind
    assert (model.shape, model.hidden, model.latent) == ((2, 4, 4), fields["hidden"], 3)
    assert model.settings == {name: getattr(experiment, name) for name in model.settings}


def test_a_classifier_has_latent_features() -> None:
    model = small(model="Classifier", hidden=()).build((1, 4, 4))
    assert isinstance(model, Classifier)
    assert (model.shape, model.head.in_features) == ((1, 4, 4), 3)


def test_the_canonical_form_is_json_in_alphabetical_order() -> None:
    fields = json.loads(small(beta=2.0).canonical)
    assert list(fields) == sorted(fields)
