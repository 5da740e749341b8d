"""What an experiment maximises: the ELBO, its gradient written out, and what can replace it.

Every intervention is compared with an independent one in test_experiment.py.
"""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import make_data, small
from torch import Tensor

from vaelib import VAE, Autoencoder, ConvVAE, LinearVAE, elbo
from vaelib.lab import drop_variables, elbo_gradient, free_bits, iwae_bound
from vaelib.lab.objective import Objective, TrainingLoss
from vaelib.objectives import importance_weights

GAUSSIAN = {"likelihood": "gaussian", "decoder_variance": 0.3}
LIKELIHOODS = [
    {"likelihood": "bernoulli"},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "clipped_continuous_bernoulli"},
    GAUSSIAN,
    {**GAUSSIAN, "learn_variance": True},
]
SHAPE = (2, 3, 4)


def noise(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 7, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(n, *SHAPE, generator=noise(3), dtype=dtype)


def build(kind: Any = VAE, dtype: torch.dtype = torch.float64, **arguments: Any) -> Any:
    torch.manual_seed(1)
    return kind(SHAPE, **{"hidden": (6, 5), "latent": 3, **arguments}).to(dtype)


# ---- without an intervention --------------------------------------------------------------------


def loss_of(objective: Objective, model: Any) -> TrainingLoss:
    return TrainingLoss(objective, model, noise(), var_mu=lambda: torch.zeros(model.latent))


@pytest.mark.parametrize(
    "fields",
    [
        *({"model": "VAE", **likelihood} for likelihood in LIKELIHOODS),
        {"model": "ConvVAE", "hidden": (4, 6)},
        {"model": "LinearVAE", "hidden": (), **GAUSSIAN},
    ],
    ids=str,
)
def test_the_loss_is_minus_the_mean_elbo_to_the_last_bit(fields: dict[str, Any]) -> None:
    experiment = small(**fields)
    model: Any = experiment.build((1, 4, 4))
    x = make_data(shape=(1, 4, 4)).train_images / 255
    expected = -elbo(model, x, generator=noise()).mean()
    loss = loss_of(experiment, model)
    assert torch.equal(-loss.bound(x, loss.kl_weights(0), sample=True).mean(), expected)
    value = loss_of(experiment, model)(x, 0)
    if fields["model"] != "VAE":
        assert value is not None
        assert torch.equal(value, expected)
        return
    assert value is None  # the gradient is set instead
    written = {name: parameter.grad for name, parameter in model.named_parameters()}
    expected_grad = torch.autograd.grad(expected, list(model.parameters()))
    expected_grads = dict(zip(written, expected_grad, strict=True))
    torch.testing.assert_close(written, expected_grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "fields",
    [{"free_bits": 0.1}, {"latent_dropout": 0.5}, {"importance_samples": 2}, {"draws": 2}],
    ids=str,
)
def test_what_the_written_gradient_does_not_know_is_left_to_autograd(
    fields: dict[str, Any],
) -> None:
    experiment = small(**fields)
    value = loss_of(experiment, experiment.build((1, 3, 4)))(torch.rand(5, 1, 3, 4), 0)
    assert value is not None
    assert value.requires_grad


# ---- the gradient, written out ------------------------------------------------------------------


def autograd(
    model: Any, x: Tensor, beta: float | Tensor = 1.0, sample: bool = True
) -> dict[str, Tensor]:
    """The gradient of the one loss, which is compared with the ELBO above."""
    weights = beta * torch.ones(model.latent, dtype=x.dtype)
    loss = -loss_of(Objective(), model).bound(x, weights, sample).mean()
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def written(model: Any, x: Tensor, *arguments: Any, **options: Any) -> dict[str, Tensor]:
    elbo_gradient(model, x, *arguments, **options)
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize(
    ("likelihood", "hidden", "activation"),
    [
        *((likelihood, (6, 5), "relu") for likelihood in LIKELIHOODS),
        *itertools.product(LIKELIHOODS[:1], [(), (6,), (7, 6, 5)], ["relu", "tanh"]),
    ],
)
def test_the_written_gradient_is_what_autograd_finds(
    kind: Any, likelihood: dict[str, Any], hidden: tuple[int, ...], activation: str
) -> None:
    model = build(kind, hidden=hidden, activation=activation, **likelihood)
    expected = autograd(model, images())
    found = written(model, images(), generator=noise())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("sample", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.3, 4.0, torch.tensor([1.0, 0.0, 2.0]).double()])
def test_beta_and_sampling_are_those_of_the_elbo(beta: float | Tensor, sample: bool) -> None:
    model = build()
    expected = autograd(model, images(), beta, sample)
    found = written(model, images(), beta, noise(), sample)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("n", [1, 128])
def test_batches_of_any_size_in_single_precision(n: int) -> None:
    model, x = build(dtype=torch.float32), images(n, torch.float32)
    expected = autograd(model, x)
    torch.testing.assert_close(written(model, x, 1.0, noise()), expected, rtol=1e-4, atol=1e-6)


def test_gradients_are_replaced_and_all_else_is_left() -> None:
    model, x, generator = build(), images(), noise()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = written(model, x, generator=generator)
    torch.testing.assert_close(written(model, x, generator=noise()), first, rtol=0, atol=0)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert torch.equal(x, images())
    other = noise()
    elbo(model, x, generator=other)
    assert torch.equal(generator.get_state(), other.get_state())


def test_bfloat16_is_for_large_layers_and_right_to_its_precision() -> None:
    torch.manual_seed(1)
    model, x = VAE((1, 16, 16), (256,), 3), torch.rand(64, 1, 16, 16)
    plain = written(model, x, 1.0, noise())
    rough = written(model, x, 1.0, noise(), precision=torch.bfloat16)
    for name, gradient in plain.items():
        assert rough[name].dtype == torch.float32
        apart = (rough[name] - gradient).norm() / gradient.norm()
        assert (1e-4 if name in ("encoder.0.weight", "decoder.2.weight") else 0) < apart < 0.06
    small_one = build(dtype=torch.float32)
    x = images(dtype=torch.float32)
    plain = written(small_one, x, 1.0, noise())
    rough = written(small_one, x, 1.0, noise(), precision=torch.bfloat16)
    torch.testing.assert_close(rough, plain, rtol=0, atol=0)


def test_other_networks_and_no_images_are_refused() -> None:
    for model in (LinearVAE(SHAPE), ConvVAE((2, 4, 4), (2, 4), 2)):
        with pytest.raises(ValueError, match=r"^model: "):
            elbo_gradient(model, images().float())
    with pytest.raises(ValueError, match=r"^x: "):
        elbo_gradient(build(), images()[:0])


# ---- the importance-weighted bound --------------------------------------------------------------


def test_the_importance_weighted_bound_is_the_log_of_the_mean_weight() -> None:
    model = build()
    weights = importance_weights(model, images(), 4, noise()).detach().numpy()
    bound = iwae_bound(model, images(), 4, noise()).detach().numpy()
    np.testing.assert_allclose(bound, np.log(np.exp(weights).mean(0)))
    with pytest.raises(ValueError, match=r"^samples: "):
        iwae_bound(model, images(), 0)


@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_the_bound_and_its_gradients_are_finite_at_extreme_variances(logvar: float) -> None:
    model = build(dtype=torch.float32)
    torch.nn.init.zeros_(model.logvar.weight)
    torch.nn.init.constant_(model.logvar.bias, logvar)
    value = iwae_bound(model, images(dtype=torch.float32), 3, noise())
    assert value.isfinite().all()
    value.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


# ---- free bits and dropped variables ------------------------------------------------------------

few = settings(deadline=None, max_examples=40, database=None)


def test_the_iwae_bound_of_one_draw_is_its_weight_and_of_two_is_trained_on() -> None:
    model, x = VAE((1, 3, 4), (7,), 2), torch.rand(5, 1, 3, 4)
    seeded = [torch.Generator().manual_seed(1) for _ in range(2)]
    assert torch.equal(
        iwae_bound(model, x, 1, seeded[0]), importance_weights(model, x, 1, seeded[1])[0]
    )
    trained, right = (torch.Generator().manual_seed(2) for _ in range(2))
    loss = TrainingLoss(Objective(importance_samples=2), model, trained, var_mu=None)(x, 0)
    assert torch.equal(loss, -iwae_bound(model, x, 2, right).mean())


@few
@given(seed=st.integers(0, 99), n=st.integers(1, 5), latent=st.integers(1, 4), nats=st.floats(0, 3))
def test_free_bits_are_the_sum_of_the_larger_of_nats_and_mean_kl(
    seed: int, n: int, latent: int, nats: float
) -> None:
    kl = torch.rand(n, latent, generator=noise(seed), dtype=torch.float64).mul(2).requires_grad_()
    means = kl.detach().numpy().mean(0)
    charged = free_bits(kl, nats).sum(1).mean()
    assert charged.item() == pytest.approx(np.maximum(nats, means).sum())
    # Up to nats no gradient pushes a variable.
    (gradient,) = torch.autograd.grad(charged, kl, allow_unused=True, materialize_grads=True)
    np.testing.assert_allclose(gradient, np.broadcast_to((means > nats) / n, kl.shape))


def test_at_nats_itself_information_is_free_and_nan_stays_visible() -> None:
    kl = torch.full((4, 2), 0.5, dtype=torch.float64, requires_grad=True)
    charged = free_bits(kl, 0.5)
    assert torch.equal(charged, kl)
    assert not torch.autograd.grad(charged.sum(), kl, allow_unused=True)[0].any()
    assert free_bits(torch.tensor([[math.nan, 0.1]]), 0.5).isnan().tolist() == [[True, False]]
    for nats in (-0.1, math.nan):
        with pytest.raises(ValueError, match=r"^nats: "):
            free_bits(kl, nats)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(20_000, 3), (5, 4_000, 3)])
def test_each_number_is_dropped_at_the_rate_and_the_rest_is_not_scaled(
    rate: float, shape: tuple[int, ...]
) -> None:
    z = torch.randn(shape, generator=noise(1)).requires_grad_()
    left = drop_variables(z, rate, noise(4))
    dropped = left == 0
    error = math.sqrt(rate * (1 - rate) / dropped.numel())
    assert dropped.double().mean().item() == pytest.approx(rate, abs=5 * error)
    assert torch.equal(left[~dropped], z[~dropped])
    # Each number for itself: of the pairs of an image rate² fall together.
    both = (dropped[..., 0] & dropped[..., 1]).double()
    assert both.mean().item() == pytest.approx(rate**2, abs=5 * 0.5 / math.sqrt(both.numel()))
    (gradient,) = torch.autograd.grad(left.sum(), z)
    assert torch.equal(gradient, (~dropped).float())
    assert torch.equal(left, drop_variables(z, rate, noise(4)))


def test_chances_are_drawn_where_z_is_in_its_precision_and_none_at_rate_0() -> None:
    z = torch.ones(50, 3, dtype=torch.float64)
    kept = torch.rand(50, 3, generator=noise(4), dtype=torch.float64) >= 0.3
    assert torch.equal(drop_variables(z, 0.3, noise(4)) != 0, kept)
    # On the meta device, which every machine has: a draw elsewhere would not fit.
    assert drop_variables(z.to("meta"), 0.3).device.type == "meta"
    assert drop_variables(z, 0.0) is z
    for rate in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"^rate: "):
            drop_variables(z, rate)
