"""The models: what they compute, redone in NumPy; initialisation, pruning, what they refuse."""

import math

import numpy as np
import pytest
import torch
from oracles import network, normal, pixels, seeded
from torch import nn
from torch.nn import functional as F

from vaelib import (
    VAE,
    Autoencoder,
    ConvVAE,
    LinearVAE,
    count_parameters,
    elbo,
    fit,
    reconstruction_log_likelihood,
)
from vaelib.likelihoods import CLIPPED_LOGIT

BOTH = pytest.mark.parametrize("kind", [Autoencoder, VAE])


def relu(x):
    return np.maximum(x, 0)


def chain(model, names, x, activation=relu):
    """Linear layers with an activation between each two of them and none after the last."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    for name in names.split():
        x = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        x = x if name == names.split()[-1] else activation(x)
    return x


def assert_close(found, expected):
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-12, atol=1e-12)


@BOTH
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(
    ("settings", "function"),
    [
        ({}, relu),
        ({"activation": "tanh"}, np.tanh),
        ({"leak": 0.3}, lambda x: np.where(x > 0, x, 0.3 * x)),
        ({"leak": 1}, lambda x: x),
    ],
)
def test_a_dense_network_is_what_numpy_computes(kind, likelihood, settings, function):
    model = network(kind, likelihood, shape=(2, 3, 4), hidden=(11, 7), **settings)
    x, z = pixels(5, 2, 3, 4), normal(6, 4)
    mu, logvar = model.encode(x)
    flat = x.numpy().reshape(5, 24)
    assert_close(mu, chain(model, "encoder.0 encoder.2 mu", flat, function))
    if kind is VAE:
        assert_close(logvar, chain(model, "encoder.0 encoder.2 logvar", flat, function))
    else:
        assert torch.equal(logvar, torch.full_like(mu, -math.inf))
    output = chain(model, "decoder.0 decoder.2 decoder.4", z.numpy(), function)
    mean = 1 / (1 + np.exp(-output)) if likelihood == "bernoulli" else output
    assert_close(model.decoder(z), output)
    assert_close(model.decode(z), mean.reshape(6, 2, 3, 4))


@pytest.mark.parametrize(("activation", "function"), [("relu", F.relu), ("tanh", torch.tanh)])
def test_the_convolutional_vae_is_what_torch_functions_compute(activation, function):
    model = network(ConvVAE, shape=(2, 8, 12), hidden=(3, 5, 7), activation=activation)
    p = model.state_dict()
    x, z = pixels(6, 2, 8, 12), normal(6, 4)

    def linear(name, h):
        return F.linear(h, p[f"{name}.weight"], p[f"{name}.bias"])

    h = function(F.conv2d(x, p["encoder.0.weight"], p["encoder.0.bias"], 2, 1))
    h = function(F.conv2d(h, p["encoder.2.weight"], p["encoder.2.bias"], 2, 1))
    assert h.shape == (6, 5, 2, 3)
    h = function(linear("encoder.5", h.reshape(6, 30)))
    mu, logvar = model.encode(x)
    torch.testing.assert_close(mu, linear("mu", h))
    torch.testing.assert_close(logvar, linear("logvar", h))
    h = function(linear("decoder.2", function(linear("decoder.0", z)))).reshape(6, 5, 2, 3)
    h = function(F.conv_transpose2d(h, p["decoder.5.weight"], p["decoder.5.bias"], 2, 1))
    h = F.conv_transpose2d(h, p["decoder.7.weight"], p["decoder.7.bias"], 2, 1)
    torch.testing.assert_close(model.decode(z), h.sigmoid())
    assert len(p) == 18  # nine layers, and all of them were used


def test_the_linear_vae_is_affine_with_one_variance_for_all_images():
    model = network(LinearVAE, "gaussian", hidden=())
    x, z = 50 * normal(5, 1, 2, 3), normal(6, 4)  # any numbers will do
    mu, logvar = model.encode(x)
    assert_close(mu, chain(model, "mu", x.flatten(1).numpy()))
    assert torch.equal(logvar, model.logvar.bias.expand(5, 4))
    assert_close(model.decode(z), chain(model, "decoder.0", z.numpy()).reshape(6, 1, 2, 3))
    # Weights and biases of both maps, and the variances.
    assert count_parameters(model) == (4 * 6 + 4) + (6 * 4 + 6) + 4


def test_parameters_are_counted_frozen_or_not():
    # The encoder 12·7+7, each head 7·3+3, the decoder 3·7+7 and 7·12+12.
    assert count_parameters(Autoencoder((1, 3, 4), (7,), 3)) == 91 + 24 + 28 + 96
    model = VAE((1, 3, 4), (7,), 3).requires_grad_(False)
    assert count_parameters(model) == 91 + 48 + 28 + 96


def test_defaults():
    assert [kind().latent for kind in (Autoencoder, VAE, ConvVAE, LinearVAE)] == [2, 2, 16, 16]
    assert [kind().hidden for kind in (VAE, ConvVAE)] == [(256, 64), (8, 16, 256)]
    assert VAE(likelihood="gaussian").likelihood.variance == 1
    dense = count_parameters(VAE((1, 28, 28), (256, 64, 32, 24), 16))
    assert count_parameters(ConvVAE()) == pytest.approx(dense, rel=0.15)


def test_only_the_clipped_continuous_bernoulli_has_a_limit():
    limits = [
        VAE(likelihood=f"{clip}continuous_bernoulli").likelihood.limit for clip in ("", "clipped_")
    ]
    assert limits == [math.inf, CLIPPED_LOGIT]


def test_sample_decodes_standard_normal_draws():
    model = network(likelihood="gaussian", shape=(1, 1, 2), hidden=(), latent=2)
    with torch.no_grad():
        model.decoder[0].weight.copy_(torch.eye(2))
        model.decoder[0].bias.zero_()
    z = model.sample(20_000, seeded()).flatten(1)
    assert not z.requires_grad
    error = 1 / math.sqrt(len(z))
    assert z.mean(0).abs().max() < 5 * error
    assert (z.T.cov() - torch.eye(2)).abs().max() < 5 * math.sqrt(2) * error
    assert torch.equal(z, model.sample(20_000, seeded()).flatten(1))
    assert VAE().to("meta").sample(3).device.type == "meta"


# ---- initial weights ----------------------------------------------------------------------------


def assert_uniform(layer, bound):
    assert 0.99 * bound < layer.weight.abs().max().item() <= bound * (1 + 1e-6)
    assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.1)


@pytest.mark.parametrize(
    ("kind", "shape", "hidden", "count"),
    [
        (Autoencoder, (1, 20, 20), (300, 100), 6),
        (VAE, (1, 20, 20), (300, 100), 7),
        (ConvVAE, (4, 16, 16), (32, 48, 60), 9),
    ],
)
def test_glorot_is_uniform_with_the_bound_of_keras_and_zero_biases(kind, shape, hidden, count):
    torch.manual_seed(0)
    model = kind(shape, hidden, 50, initialisation="glorot")
    layers = [module for module in model.modules() if hasattr(module, "weight")]
    assert len(layers) == count
    for layer in layers:
        # A weight of a convolution is used by in × kernel inputs and out × kernel outputs.
        ends = sum(layer.weight.shape[:2]) * math.prod(layer.weight.shape[2:])
        assert_uniform(layer, math.sqrt(6 / ends))
        assert not layer.bias.any()


def test_the_weights_are_pytorchs_by_default():
    torch.manual_seed(0)
    for layer in VAE((1, 20, 20), (300, 100), 50).modules():
        if isinstance(layer, nn.Linear):
            assert_uniform(layer, 1 / math.sqrt(layer.in_features))
            assert 0 < layer.bias.abs().max().item() <= 1 / math.sqrt(layer.in_features) * 1.000001


# ---- the decoder's variance ---------------------------------------------------------------------


def test_the_learned_variance_starts_where_it_is_told_and_falls_to_the_mean_squared_error():
    model = VAE((1, 2, 3), (7,), 4, "gaussian", decoder_variance=2.0, learn_variance=True).double()
    assert model.decoder_variance.item() == pytest.approx(2)
    assert not VAE((1, 2, 3), likelihood="gaussian").decoder_variance.requires_grad
    x, z = pixels(), normal(5, 4)
    optimiser = torch.optim.SGD([model.log_decoder_variance], lr=1.0)
    for _ in range(300):
        optimiser.zero_grad()
        (-reconstruction_log_likelihood(model, x, z).mean() / 6).backward()
        optimiser.step()
    # At its optimum η² is the mean squared error, and the fit costs ½ log(2πe MSE) a pixel.
    error = (model.decode(z) - x).square().mean().item()
    assert model.decoder_variance.item() == pytest.approx(error, rel=1e-9)
    nats = -reconstruction_log_likelihood(model, x, z).mean().item() / 6
    assert nats == pytest.approx(0.5 * math.log(2 * math.pi * math.e * error))


# ---- pruning ------------------------------------------------------------------------------------

KINDS = [
    (Autoencoder, {}),
    (VAE, {"likelihood": "continuous_bernoulli", "initialisation": "glorot", "activation": "tanh"}),
    (VAE, {"likelihood": "gaussian", "learn_variance": True, "hidden": ()}),
    (ConvVAE, {"shape": (1, 4, 6), "hidden": (2, 3), "activation": "tanh"}),
    (LinearVAE, {"likelihood": "gaussian", "hidden": (), "learn_variance": True}),
]


@pytest.mark.parametrize(("kind", "arguments"), KINDS)
@pytest.mark.parametrize("keep", [[0, 1, 2, 3], [3, 1], [2]])
def test_the_pruned_network_is_the_network_with_the_others_at_zero(kind, arguments, keep):
    model = network(kind, **arguments)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small = model.prune(keep)
    assert type(small) is kind
    assert small.latent == len(keep)
    assert small.settings == model.settings
    assert torch.equal(small.decoder_variance, model.decoder_variance)
    x = pixels(5, *model.shape)
    mu, logvar = model.encode(x)
    small_mu, small_logvar = small.encode(x)
    torch.testing.assert_close(small_mu, mu[:, keep])
    torch.testing.assert_close(small_logvar, logvar[:, keep])
    zeroed = torch.zeros_like(mu)
    zeroed[:, keep] = mu[:, keep]
    torch.testing.assert_close(small.decode(small_mu), model.decode(zeroed))
    with torch.no_grad():  # it shares no memory with the whole
        for parameter in small.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("keep", [[], [4], [-1], [0, 9], [1, 1], [True, False], [1.5]])
def test_only_different_variables_of_the_network_can_be_kept(keep):
    with pytest.raises(ValueError, match=r"^keep"):
        network().prune(keep)


# ---- what is refused ----------------------------------------------------------------------------

BAD_ARGUMENTS = {
    "shape": [(28, 28), (1, 0, 28), (1, 28, 28.0), (32, 32, 3), (1, 1, 28, 28)],
    "latent": [0, 2.0],
    "hidden": [(8, 0), (8, 2.5)],
    "likelihood": ["poisson"],
    "initialisation": ["he"],
    "activation": ["elu"],
    "leak": [-0.1, 1.1, math.nan],
    "decoder_variance": [0.0, -1.0, math.nan, math.inf],
    "learn_variance": [True],  # which the default likelihood has not
}


@pytest.mark.parametrize("kind", [Autoencoder, VAE, ConvVAE])
@pytest.mark.parametrize(
    ("argument", "value"),
    [(name, bad) for name, all_bad in BAD_ARGUMENTS.items() for bad in all_bad],
)
def test_a_bad_architecture_is_an_error_that_names_the_argument(kind, argument, value):
    with pytest.raises(ValueError, match=rf"^(\w+, )*{argument}\b"):
        kind(**{argument: value})


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("hidden", {"hidden": (16,)}),
        ("shape", {"shape": (1, 30, 28)}),
        ("shape", {"shape": (1, 28, 30)}),
        ("shape", {"shape": (1, 28, 28), "hidden": (2, 3, 4, 16)}),
    ],
)
def test_each_convolution_halves_the_sides(argument, arguments):
    with pytest.raises(ValueError, match=rf"^{argument}"):
        ConvVAE(**arguments)


def test_only_a_relu_leaks():
    with pytest.raises(ValueError, match=r"^leak"):
        VAE(activation="tanh", leak=0.5)


@pytest.mark.parametrize("arguments", [{"hidden": (8,)}, {"likelihood": "bernoulli"}])
def test_a_linear_vae_has_no_hidden_layers_and_no_other_likelihood(arguments):
    with pytest.raises(ValueError, match=r"^hidden, likelihood"):
        LinearVAE(**arguments)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_bad_images_and_codes_are_errors_that_name_the_argument(likelihood):
    model = network(likelihood=likelihood)
    for bad in (math.nan, math.inf, -math.inf, -0.001, 1.001):
        x = pixels()
        x[3, 0, 1, 2] = bad
        if likelihood == "gaussian" and math.isfinite(bad):
            model.encode(x)  # any numbers are Gaussian data
            continue
        with pytest.raises(ValueError, match=r"^x"):
            model.encode(x)
    for x in (
        pixels(5, 1, 3, 2),
        pixels(1, 2, 3),
        pixels(5, 6),
        pixels().byte(),
        pixels(5, 2, 3, 1),
    ):
        with pytest.raises(ValueError, match=r"^x"):
            model.encode(x)
    for shape in ((5, 3), (4,), (5, 4, 1)):
        with pytest.raises(ValueError, match=r"^z"):
            model.decode(torch.zeros(shape))


def test_the_message_shows_the_pixel_that_is_too_large():
    x = pixels()
    x[2, 0, 1, 1] = 1.0016
    with pytest.raises(ValueError, match=r"^x.* 1\.0016$"):
        network().encode(x)
    assert network().encode(x.round().clamp(0, 1))[0].isfinite().all()  # 0 and 1 themselves


# ---- the default type ---------------------------------------------------------------------------


@pytest.fixture
def float64_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", [VAE, ConvVAE, LinearVAE])
def test_models_built_in_float64_are_fitted_to_bytes(float64_default, kind):
    model = kind((1, 4, 8), latent=3) if kind is not ConvVAE else kind((1, 4, 8), (2, 3, 5), 3)
    images = (255 * pixels(6, 1, 4, 8)).byte()
    fit(model, images, lambda x, epoch: -elbo(model, x).mean(), epochs=1)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert model.encode(pixels(6, 1, 4, 8))[0].isfinite().all()


def test_the_default_type_does_not_change_how_a_float32_model_is_trained():
    weights = []
    images = (255 * pixels(6, 1, 2, 3)).byte()
    try:
        for default in (torch.float32, torch.float64):
            model, noise = network().float(), seeded(3)
            torch.set_default_dtype(default)
            fit(model, images, lambda x, _, m=model, g=noise: -elbo(m, x, 1, g).mean(), epochs=2)
            torch.set_default_dtype(torch.float32)
            weights.append(model.state_dict())
    finally:
        torch.set_default_dtype(torch.float32)
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])


def test_a_convolution_looks_at_3_by_3_pixels():
    model = ConvVAE((1, 8, 8), (4, 8, 5), 3, "gaussian")
    assert [tuple(model.encoder[layer].weight.shape) for layer in (0, 2)] == [
        (4, 1, 3, 3),
        (8, 4, 3, 3),
    ]
    assert model.settings["likelihood"] == "gaussian"
