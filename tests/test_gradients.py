"""The gradient written out is the one that autograd finds, for every dense network there is."""

import itertools

import pytest
import torch

from vaelib import VAE, Autoencoder, ConvVAE, LinearVAE, elbo, elbo_gradient
from vaelib import reconstruction_log_likelihood as log_likelihood

SHAPE = (2, 3, 4)


def images(n=7, dtype=torch.float64):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(3), dtype=dtype)


def build(kind=VAE, dtype=torch.float64, **arguments):
    torch.manual_seed(1)
    return kind(SHAPE, **{"hidden": (6, 5), "latent": 3, **arguments}).to(dtype)


def by_autograd(model, x, *arguments):
    if isinstance(model, VAE):
        loss = -elbo(model, x, *arguments).mean()
    else:
        loss = -log_likelihood(model, x, model.encode(x)[0]).mean()
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for name, parameter, gradient in zip(names, parameters, gradients, strict=True)
    }


def by_hand(model, x, *arguments, **options):
    elbo_gradient(model, x, *arguments, **options)
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def noise():
    return torch.Generator().manual_seed(5)


LIKELIHOODS = [
    {"likelihood": "bernoulli"},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "gaussian", "decoder_variance": 0.3},
    {"likelihood": "gaussian", "decoder_variance": 0.3, "learned_variance": True},
]


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    ("hidden", "activation"),
    [*itertools.product([(6,), (6, 5), (7, 6, 5)], ["relu", "tanh"]), ((), "relu")],
)
def test_it_is_what_autograd_finds(kind, likelihood, hidden, activation):
    model = build(kind, hidden=hidden, activation=activation, **likelihood)
    arguments = (1.0, noise()) if kind is VAE else ()
    expected = by_autograd(model, images(), *arguments)
    arguments = (1.0, noise()) if kind is VAE else ()
    torch.testing.assert_close(by_hand(model, images(), *arguments), expected)


@pytest.mark.parametrize("sample", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0, torch.tensor([1.0, 0.0, 2.0]).double()])
def test_beta_and_sampling_are_those_of_the_elbo(beta, sample):
    model = build()
    expected = by_autograd(model, images(), beta, noise(), sample)
    torch.testing.assert_close(by_hand(model, images(), beta, noise(), sample), expected)


@pytest.mark.parametrize("n", [1, 128])
def test_any_batch_in_single_precision(n):
    model, x = build(dtype=torch.float32), images(n, torch.float32)
    expected = by_autograd(model, x, 1.0, noise())
    torch.testing.assert_close(by_hand(model, x, 1.0, noise()), expected, rtol=1e-4, atol=1e-6)


def test_bfloat16_is_the_same_to_its_precision(monkeypatch):
    monkeypatch.setattr("vaelib.gradients.LARGE", 0)
    model, x = build(dtype=torch.float32, hidden=(40, 30)), images(64, torch.float32)
    expected = by_autograd(model, x, 1.0, noise())
    found = by_hand(model, x, 1.0, noise(), precision=torch.bfloat16)
    for name, gradient in expected.items():
        assert found[name].dtype == torch.float32
        apart = (found[name] - gradient).norm() / gradient.norm()
        assert 1e-4 < apart < 0.06, name


def test_only_large_layers_are_in_bfloat16():
    model, x = build(dtype=torch.float32, hidden=(40, 30)), images(64, torch.float32)
    expected = by_hand(model, x, 1.0, noise())
    expected = {name: gradient.clone() for name, gradient in expected.items()}
    found = by_hand(model, x, 1.0, noise(), precision=torch.bfloat16)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_it_draws_as_much_noise_as_the_elbo():
    model, one, other = build(), noise(), noise()
    elbo(model, images(), generator=one)
    elbo_gradient(model, images(), generator=other)
    assert torch.equal(one.get_state(), other.get_state())


def test_it_replaces_gradients_and_leaves_all_else():
    model, x = build(), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once = {k: g.clone() for k, g in by_hand(model, x, 1.0, noise()).items()}
    torch.testing.assert_close(by_hand(model, x, 1.0, noise()), once, rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(x, images())


@pytest.mark.parametrize("kind", [LinearVAE, ConvVAE])
def test_other_networks_are_refused(kind):
    model = LinearVAE(SHAPE) if kind is LinearVAE else ConvVAE((1, 4, 4), (2, 4), 2)
    with pytest.raises(ValueError, match=rf"^model: .* got {kind.__name__}"):
        elbo_gradient(model, images().float())


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1])
def test_pixels_are_checked(bad):
    x = images()
    x[2, 0, 0, 0] = bad
    with pytest.raises(ValueError, match=r"^x: "):
        elbo_gradient(build(), x)


def test_no_image_has_no_gradient():
    with pytest.raises(ValueError, match=r"^x: expected at least one image, got none$"):
        elbo_gradient(build(), images()[:0])


def test_beta_is_one_unless_told_otherwise():
    model = build()
    expected = {k: g.clone() for k, g in by_hand(model, images(), 1.0, noise()).items()}
    torch.testing.assert_close(by_hand(model, images(), generator=noise()), expected)


def test_it_keeps_the_digits_of_beta_and_of_the_mean():
    model, x = build(), images(7)
    expected = by_autograd(model, x, 0.3, noise())
    torch.testing.assert_close(by_hand(model, x, 0.3, noise()), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("kind", "products"), [(VAE, 7), (Autoencoder, 6)])
def test_every_large_layer_is_multiplied_as_asked_and_none_for_the_pixels_sake(
    monkeypatch, kind, products
):
    monkeypatch.setattr("vaelib.gradients.LARGE", 0)
    forward, back = torch.addmm, torch.mm
    seen, by_inputs = [], []

    def addmm(bias, x, weight):
        seen.append((x.dtype, weight.dtype))
        return forward(bias, x, weight)

    def mm(slope, weight, **options):
        by_inputs.append(tuple(weight.shape))
        return back(slope, weight, **options)

    monkeypatch.setattr(torch, "addmm", addmm)
    monkeypatch.setattr(torch, "mm", mm)
    model, x = build(kind, dtype=torch.float32), images(4, torch.float32)
    by_hand(model, x, 1.0, noise(), precision=torch.bfloat16)
    assert seen == products * [(torch.bfloat16, torch.bfloat16)]
    # The slope by the pixels would take the first layer's weight once more.
    assert (6, x[0].numel()) not in by_inputs
