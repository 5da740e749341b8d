"""The gradient written out is the one that autograd finds of `vaelib.elbo`."""

import pytest
import torch
from oracles import network, pixels, seeded
from torch.utils._python_dispatch import TorchDispatchMode

from vaelib import VAE, Autoencoder, ConvVAE, LinearVAE, elbo, gaussian_kl
from vaelib import reconstruction_log_likelihood as log_likelihood
from vaelib.lab import elbo_gradient, gradient
from vaelib.likelihoods import CLIPPED_LOGIT


def by_autograd(model, x, beta=1.0, sample=True):
    if sample and isinstance(model, VAE):
        loss = -elbo(model, x, beta, seeded(5)).mean()
    else:
        mu, logvar = model.encode(x)
        kl = (beta * gaussian_kl(mu, logvar)).sum(1) if isinstance(model, VAE) else 0
        loss = (kl - log_likelihood(model, x, mu)).mean()
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(
        loss, list(parameters.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(parameters, gradients, strict=True))


def written_out(model, x, beta=1.0, *arguments):
    elbo_gradient(model, x, beta, seeded(5), *arguments)
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


LIKELIHOODS = [
    {"likelihood": "bernoulli"},
    {"likelihood": "continuous_bernoulli"},
    {"likelihood": "clipped_continuous_bernoulli"},
    {"likelihood": "gaussian"},
    {"likelihood": "gaussian", "learn_variance": True},
]


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    "bend", [{}, {"activation": "tanh"}, {"leak": 0.3}, {"leak": 1.0}], ids=str
)
@pytest.mark.parametrize("hidden", [(), (6,), (8, 7, 6)])
def test_it_is_what_autograd_finds(kind, likelihood, bend, hidden):
    model = network(kind, hidden=hidden, **bend, **likelihood)
    expected = by_autograd(model, pixels())
    torch.testing.assert_close(written_out(model, pixels()), expected, rtol=1e-10, atol=1e-12)


def test_a_pixel_that_is_clipped_has_no_gradient():
    model = network(likelihood="clipped_continuous_bernoulli")
    with torch.no_grad():
        model.decoder[-1].weight.mul_(30)
    clipped = (model.decoder(model.encode(pixels())[0]).abs() > CLIPPED_LOGIT).double().mean()
    assert 0.1 < clipped < 0.9
    expected = by_autograd(model, pixels())
    torch.testing.assert_close(written_out(model, pixels()), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sample", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.3, 4.0, torch.tensor([1.0, 0.0, 2.0, 0.5]).double()])
def test_beta_and_noise_are_those_of_the_elbo(beta, sample):
    model = network()
    expected = by_autograd(model, pixels(), beta, sample)
    found = written_out(model, pixels(), beta, sample)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_one_image_or_many_in_single_precision():
    for n in (1, 128):
        model, x = network().float(), pixels(n, 1, 2, 3).float()
        torch.testing.assert_close(
            written_out(model, x), by_autograd(model, x), rtol=1e-4, atol=1e-6
        )


def test_it_does_not_depend_on_the_default_type():
    model, x = network().float(), pixels().float()
    expected = written_out(model, x)
    torch.set_default_dtype(torch.float64)
    try:
        found = written_out(model, x)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_it_draws_as_much_noise_as_the_elbo():
    one, other = seeded(), seeded()
    elbo(network(), pixels(), generator=one)
    elbo_gradient(network(), pixels(), generator=other)
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_it_replaces_gradients_and_leaves_all_else(kind):
    model, x = network(kind), pixels()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once = written_out(model, x)
    torch.testing.assert_close(written_out(model, x), once, rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(x, pixels())


def test_in_bfloat16_large_layers_are_rounded_and_small_ones_are_not(monkeypatch):
    model, x = network(hidden=(40, 30)).float(), pixels(64, 1, 2, 3).float()
    expected = written_out(model, x)
    found = written_out(model, x, 1.0, True, torch.bfloat16)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)  # none is large
    monkeypatch.setattr(gradient, "LARGE_LAYER", 40 * 6)
    found = written_out(model, x, 1.0, True, torch.bfloat16)
    for name, value in expected.items():
        assert found[name].dtype == torch.float32
        assert 1e-4 < (found[name] - value).norm() / value.norm() < 0.06, name


class Products(TorchDispatchMode):
    """Write down what is multiplied with what, and what is bent."""

    def __init__(self):
        super().__init__()
        self.factors, self.bent = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in ("mm", "addmm"):
            self.factors.append(args[-2:])
        if "relu" in function.overloadpacket.__name__:
            self.bent.append(args[0].dtype)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("kind", "layers"), [(VAE, 7), (Autoencoder, 6)])
def test_large_layers_are_multiplied_in_bfloat16_and_pixels_have_no_gradient(
    monkeypatch, kind, layers
):
    monkeypatch.setattr(gradient, "LARGE_LAYER", 0)
    model, x = network(kind, hidden=(8, 7)).float(), pixels().float()
    with Products() as seen:
        written_out(model, x, 1.0, True, torch.bfloat16)
    # Forward, and back to the weight and to the input; the first layer's input is the pixels.
    assert len(seen.factors) == 3 * layers - 1
    assert {factor.dtype for pair in seen.factors for factor in pair} == {torch.bfloat16}
    assert seen.bent == [torch.float32] * 8


@pytest.mark.parametrize("kind", [LinearVAE, ConvVAE])
def test_other_networks_are_refused(kind):
    with pytest.raises(ValueError, match=r"^model"):
        elbo_gradient(kind((1, 28, 28)), torch.rand(5, 1, 28, 28))


def test_no_image_has_no_gradient():
    with pytest.raises(ValueError, match=r"^x"):
        elbo_gradient(network(), pixels()[:0])
