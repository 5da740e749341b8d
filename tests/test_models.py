"""The models: shapes, what they compute (redone in numpy), initialisation, pruning, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from torch.nn import functional as F

from vaelib import (
    VAE,
    Autoencoder,
    Classifier,
    ConvVAE,
    LinearVAE,
    count_parameters,
    fit,
    reconstruction_log_likelihood,
)

BOTH = pytest.mark.parametrize("kind", [Autoencoder, VAE])
few = settings(deadline=None, max_examples=25, database=None)


def relu(x):
    return np.maximum(x, 0)


def numpy_chain(weights, names, x, activation=relu):
    """Linear layers with an activation between each two of them and none after the last."""
    for i, name in enumerate(names):
        x = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        if i < len(names) - 1:
            x = activation(x)
    return x


def weights_of(model):
    return {name: value.double().numpy() for name, value in model.state_dict().items()}


@BOTH
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(("activation", "function"), [("relu", relu), ("tanh", np.tanh)])
def test_encoder_and_decoder_are_what_numpy_computes_from_the_weights(
    kind, likelihood, activation, function
):
    torch.manual_seed(0)
    model = kind((2, 3, 4), (11, 7), 5, likelihood=likelihood, activation=activation).double()
    weights = weights_of(model)
    x = torch.rand(6, 2, 3, 4, dtype=torch.float64)
    mu, logvar = model.encode(x)
    flat = x.reshape(6, 24).numpy()
    expected = numpy_chain(weights, ["encoder.0", "encoder.2", "mu"], flat, function)
    np.testing.assert_allclose(mu.detach(), expected, atol=1e-12)
    if kind is VAE:
        expected = numpy_chain(weights, ["encoder.0", "encoder.2", "logvar"], flat, function)
        np.testing.assert_allclose(logvar.detach(), expected, atol=1e-12)
    else:
        assert torch.isneginf(logvar).all()
        assert logvar.shape == (6, 5)
    z = torch.randn(6, 5, dtype=torch.float64)
    output = numpy_chain(weights, ["decoder.0", "decoder.2", "decoder.4"], z.numpy(), function)
    mean = 1 / (1 + np.exp(-output)) if likelihood == "bernoulli" else output
    np.testing.assert_allclose(
        model.decode(z).detach(), mean.reshape(6, 2, 3, 4), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(model.decoder(z).detach(), output, atol=1e-12)


def test_the_decoder_mirrors_the_encoder():
    model = VAE((1, 28, 28), (256, 64, 32, 24), 16)
    encoder = [tuple(m.weight.shape) for m in model.encoder if isinstance(m, torch.nn.Linear)]
    decoder = [tuple(m.weight.shape) for m in model.decoder if isinstance(m, torch.nn.Linear)]
    assert encoder == [(256, 784), (64, 256), (32, 64), (24, 32)]
    assert decoder == [(24, 16), (32, 24), (64, 32), (256, 64), (784, 256)]
    assert isinstance(model.encoder[-1], torch.nn.ReLU)


@pytest.mark.parametrize("hidden", [(), (9,), (9, 4)])
def test_autoencoder_and_vae_differ_by_the_logvar_head_only(hidden):
    plain = {n: v.shape for n, v in Autoencoder((1, 5, 5), hidden, 3).state_dict().items()}
    variational = {n: v.shape for n, v in VAE((1, 5, 5), hidden, 3).state_dict().items()}
    width = hidden[-1] if hidden else 25
    head = {"logvar.weight": (3, width), "logvar.bias": (3,)}
    assert variational == plain | head


@few
@given(
    batch=st.integers(0, 3),
    channels=st.integers(1, 3),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    hidden=st.lists(st.integers(1, 4), max_size=3),
    latent=st.integers(1, 3),
    likelihood=st.sampled_from(["bernoulli", "continuous_bernoulli", "gaussian"]),
    initialisation=st.sampled_from(["torch", "glorot"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_shapes_and_types(
    batch, channels, height, width, hidden, latent, likelihood, initialisation, dtype
):
    shape = (channels, height, width)
    for kind in (Autoencoder, VAE):
        model = kind(shape, hidden, latent, likelihood, initialisation).to(dtype)
        x = torch.rand(batch, *shape, dtype=dtype)
        mu, logvar = model.encode(x)
        assert mu.shape == logvar.shape == (batch, latent)
        assert mu.dtype == logvar.dtype == dtype
        decoded = model.decode(mu)
        assert decoded.shape == (batch, *shape)
        assert decoded.dtype == dtype
        assert decoded.isfinite().all()
        assert model.sample(2).shape == (2, *shape)
        assert model.sample(2).dtype == dtype
        if likelihood != "gaussian" and batch:
            assert decoded.min() >= 0
            assert decoded.max() <= 1


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
def test_bernoulli_means_stay_in_the_unit_interval_for_extreme_codes(likelihood):
    model = VAE((1, 3, 3), (4,), 2, likelihood)
    for size in (1e3, 1e10, 1e20):
        mean = model.decode(size * torch.randn(50, 2))
        assert mean.isfinite().all()
        assert mean.min() >= 0
        assert mean.max() <= 1


def test_the_mean_of_the_continuous_bernoulli_is_the_integral():
    logits = [0.0, 1e-9, 9e-3, 1.1e-2, 0.5, 6.0, 40.0, 700.0]
    logits += [-logit for logit in logits]
    model = VAE((1, 1, len(logits)), (), 1, "continuous_bernoulli").double()
    with torch.no_grad():
        model.decoder[0].weight.zero_()
        model.decoder[0].bias.copy_(torch.tensor(logits))
        found = model.decode(torch.zeros(1, 1).double()).flatten().tolist()
    for logit, mean in zip(model.decoder[0].bias.tolist(), found, strict=True):
        # All the weight is within a few times 1/|η| of one end.
        near, width = max(logit, 0.0), min(1.0, 50 / max(abs(logit), 1e-9))
        start = 1 - width if logit > 0 else 0.0
        weight, moment = (
            integrate.quad(
                lambda x, a=logit, b=near, k=power: x**k * math.exp(a * x - b), start, start + width
            )[0]
            for power in (0, 1)
        )
        assert mean == pytest.approx(moment / weight, abs=1e-8)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
def test_the_mean_differentiates_at_any_logit(likelihood):
    model = VAE((1, 1, 3), (), 3, likelihood).double()
    with torch.no_grad():
        model.decoder[0].weight.copy_(torch.eye(3))
        model.decoder[0].bias.zero_()
    z = torch.tensor([[0.0, 5e-3, 2.0], [-2.0, -60.0, 60.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(model.decode, z.requires_grad_())


@BOTH
def test_non_contiguous_images_are_encoded_alike(kind):
    model = kind((3, 4, 5), (6,), 2)
    x = torch.rand(2, 4, 5, 3).permute(0, 3, 1, 2)
    assert not x.is_contiguous()
    torch.testing.assert_close(model.encode(x)[0], model.encode(x.contiguous())[0])


def test_samples_are_drawn_where_the_model_is():
    assert VAE((1, 3, 4), (5,), 2).to("meta").sample(3).device.type == "meta"


def test_sample_decodes_standard_normal_draws():
    model = VAE((1, 1, 2), (), 2, likelihood="gaussian").double()
    with torch.no_grad():
        model.decoder[0].weight.copy_(torch.eye(2))
        model.decoder[0].bias.zero_()
    z = model.sample(20_000, torch.Generator().manual_seed(0)).flatten(1)
    assert not z.requires_grad
    error = 1 / math.sqrt(len(z))
    assert z.mean(0).abs().max() < 5 * error
    assert (z.var(0) - 1).abs().max() < 5 * math.sqrt(2) * error
    assert abs(z[:, 0] @ z[:, 1] / len(z)) < 5 * error
    again = model.sample(20_000, torch.Generator().manual_seed(0)).flatten(1)
    assert torch.equal(z, again)


def test_count_parameters():
    # The encoder 12·7+7, each head 7·3+3, the decoder 3·7+7 and 7·12+12.
    assert count_parameters(Autoencoder((1, 3, 4), (7,), 3)) == 91 + 24 + 28 + 96
    model = VAE((1, 3, 4), (7,), 3)
    assert count_parameters(model) == 91 + 48 + 28 + 96
    # What a stored run gives is frozen; its parameters count all the same.
    model.requires_grad_(False)
    assert count_parameters(model) == 91 + 48 + 28 + 96


def linear_layers(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.Linear)]


@BOTH
def test_glorot_is_uniform_with_the_bound_of_keras_and_zero_biases(kind):
    torch.manual_seed(0)
    model = kind((1, 20, 20), (300, 100), 50, initialisation="glorot")
    layers = linear_layers(model)
    assert len(layers) == (6 if kind is Autoencoder else 7)
    for layer in layers:
        outputs, inputs = layer.weight.shape
        bound = math.sqrt(6 / (inputs + outputs))
        largest = layer.weight.abs().max().item()
        assert 0.99 * bound < largest <= bound * (1 + 1e-6)
        assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.05)
        assert layer.bias.count_nonzero() == 0


@BOTH
def test_torch_initialisation_is_the_default_of_nn_linear(kind):
    torch.manual_seed(0)
    assert kind().initialisation == "torch"
    for layer in linear_layers(kind((1, 20, 20), (300, 100), 50, initialisation="torch")):
        bound = 1 / math.sqrt(layer.weight.shape[1])
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound * (1 + 1e-6)
        assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.05)
        assert 0 < layer.bias.abs().max().item() <= bound * (1 + 1e-6)


@BOTH
@few
@given(data=st.data(), latent=st.integers(1, 6), depth=st.integers(0, 2))
def test_the_pruned_network_is_the_network_with_the_others_at_zero(kind, data, latent, depth):
    model = kind((1, 3, 3), (5, 4)[:depth], latent, "gaussian", "glorot", 0.3).double()
    keep = data.draw(st.lists(st.integers(0, latent - 1), min_size=1, unique=True))
    small = model.prune(keep)
    assert type(small) is kind
    assert small.latent == len(keep)
    assert (small.likelihood, small.initialisation) == ("gaussian", "glorot")
    assert small.decoder_variance == 0.3
    x = torch.rand(7, 1, 3, 3, dtype=torch.float64)
    mu, logvar = model.encode(x)
    small_mu, small_logvar = small.encode(x)
    assert small_mu.dtype == torch.float64
    torch.testing.assert_close(small_mu, mu[:, keep], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(small_logvar, logvar[:, keep], rtol=1e-12, atol=1e-12)
    zeroed = torch.zeros_like(mu)
    zeroed[:, keep] = mu[:, keep]
    torch.testing.assert_close(small.decode(small_mu), model.decode(zeroed), rtol=1e-12, atol=1e-12)
    assert count_parameters(model) - count_parameters(small) == (latent - len(keep)) * sum(
        layer.weight[0].numel() + 1 if name != "decoder.0" else layer.weight.shape[0]
        for name, layer in model.named_modules()
        if name in ("mu", "logvar", "decoder.0")
    )


def test_pruning_leaves_the_whole_network_alone():
    model = VAE((1, 2, 2), (3,), 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small = model.prune([2])
    with torch.no_grad():
        for p in small.parameters():
            p.add_(1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("keep", [[], [4], [-1], [0, 9]])
def test_pruning_to_what_is_not_there_is_an_error(keep):
    with pytest.raises(ValueError, match=r"^keep: "):
        VAE((1, 2, 2), (3,), 4).prune(keep)


def test_pruning_to_a_variable_twice_is_an_error():
    with pytest.raises(ValueError, match=r"^keep: "):
        VAE((1, 2, 2), (3,), 4).prune([1, 1])


@BOTH
@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("shape", {"shape": (28, 28)}),
        ("shape", {"shape": (1, 0, 28)}),
        ("latent", {"latent": 0}),
        ("hidden", {"hidden": (8, 0)}),
        ("likelihood", {"likelihood": "poisson"}),
        ("initialisation", {"initialisation": "keras"}),
        ("decoder_variance", {"decoder_variance": 0.0}),
        ("decoder_variance", {"decoder_variance": -1.0}),
        ("decoder_variance", {"decoder_variance": math.nan}),
        ("decoder_variance", {"decoder_variance": math.inf}),
    ],
)
def test_a_bad_architecture_is_an_error_that_names_the_argument(kind, argument, arguments):
    with pytest.raises(ValueError, match=rf"{argument}.*: expected .*got "):
        kind(**arguments)


@BOTH
@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(2, 1, 3, 4),
        torch.zeros(1, 3, 3),
        torch.zeros(2, 9),
        torch.zeros(2, 1, 3, 3, dtype=torch.uint8),
        torch.full((2, 1, 3, 3), 1.001),
        torch.full((2, 1, 3, 3), -0.001),
        torch.full((2, 1, 3, 3), math.nan),
        torch.full((2, 1, 3, 3), math.inf),
        torch.zeros(2, 1, 3, 3).index_fill(3, torch.tensor([1]), math.nan),
    ],
    ids=["size", "no batch", "flat", "uint8", "above", "below", "nan", "inf", "one nan"],
)
def test_bad_images_are_an_error_that_names_the_argument(kind, x):
    with pytest.raises(ValueError, match=r"^x: expected .*, got "):
        kind((1, 3, 3), (4,), 2).encode(x)


def test_the_ends_of_the_pixel_range_are_allowed():
    for value in (0.0, 1.0):
        mu, _ = VAE((1, 3, 3), (4,), 2).encode(torch.full((1, 1, 3, 3), value))
        assert mu.isfinite().all()


@pytest.mark.parametrize("shape", [(2, 3), (2,), (2, 2, 1)])
def test_codes_of_the_wrong_shape_are_an_error(shape):
    with pytest.raises(ValueError, match=r"^z: expected \(batch, 2\), got "):
        Autoencoder((1, 3, 3), (4,), 2).decode(torch.zeros(shape))


def test_a_linear_autoencoder_reaches_the_error_of_pca():
    random = np.random.default_rng(0)
    factors = random.normal(size=(200, 2)) @ random.normal(size=(2, 16))
    values = 128 + 25 * factors + random.normal(scale=5, size=(200, 16))
    images = torch.from_numpy(values.clip(0, 255).astype(np.uint8)).reshape(200, 1, 4, 4)

    pixels = images.numpy().reshape(200, 16) / 255
    singular = np.linalg.svd(pixels - pixels.mean(0), compute_uv=False)
    pca = (singular[2:] ** 2).sum() / pixels.size

    torch.manual_seed(0)
    model = Autoencoder((1, 4, 4), (), 2, likelihood="gaussian").double()

    def loss(x, epoch):
        x = x.double()
        return -reconstruction_log_likelihood(model, x, model.encode(x)[0]).mean()

    for rate in (5e-2, 1e-2):
        fit(model, images, loss, epochs=400, batch_size=200, learning_rate=rate)
    x = torch.from_numpy(pixels).reshape(200, 1, 4, 4)
    error = (model.decode(model.encode(x)[0]) - x).square().mean().item()
    # No linear map through two variables does better than PCA [Eckart and Young 1936].
    assert pca * (1 - 1e-9) < error < pca * 1.03
    constant = np.square(pixels - pixels.mean(0)).mean()
    assert pca < constant / 4


# ---- a decoder that learns its variance ---------------------------------------------------------


@BOTH
def test_a_learned_variance_is_one_parameter_more_that_starts_where_it_is_told(kind):
    arguments = {"likelihood": "gaussian", "decoder_variance": 0.3}
    fixed = kind((1, 2, 2), (3,), 2, **arguments)
    learned = kind((1, 2, 2), (3,), 2, **arguments, learned_variance=True)
    assert count_parameters(learned) == count_parameters(fixed) + 1
    for model in (fixed, learned):
        assert model.decoder_variance.shape == ()
        assert model.decoder_variance.item() == pytest.approx(0.3)
    assert learned.decoder_variance.requires_grad
    assert fixed.double().decoder_variance.dtype == torch.float64


def test_a_learned_variance_survives_pruning():
    model = VAE((1, 2, 2), (3,), 4, "gaussian", learned_variance=True)
    with torch.no_grad():
        model.log_decoder_variance.fill_(-2.0)
    small = model.prune([1, 3])
    assert small.learned_variance
    assert small.decoder_variance.item() == pytest.approx(math.exp(-2))


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
def test_a_likelihood_without_variance_cannot_learn_one(likelihood):
    with pytest.raises(ValueError, match=rf"^learned_variance: the {likelihood} likelihood has"):
        VAE((1, 2, 2), (3,), 2, likelihood, learned_variance=True)


@BOTH
def test_an_unknown_activation_is_an_error(kind):
    with pytest.raises(ValueError, match=r"^activation: expected one of relu, tanh, got 'elu'"):
        kind(activation="elu")


# ---- the convolutional VAE ----------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "function"), [("relu", F.relu), ("tanh", torch.tanh)])
def test_the_convolutional_vae_is_what_torch_functions_compute(activation, function):
    torch.manual_seed(0)
    model = ConvVAE((2, 8, 12), (3, 5, 7), 4, activation=activation).double()
    p = model.state_dict()
    x = torch.rand(6, 2, 8, 12, dtype=torch.float64)
    h = function(F.conv2d(x, p["encoder.0.weight"], p["encoder.0.bias"], 2, 1))
    h = function(F.conv2d(h, p["encoder.2.weight"], p["encoder.2.bias"], 2, 1))
    assert h.shape == (6, 5, 2, 3)
    h = function(F.linear(h.reshape(6, 30), p["encoder.5.weight"], p["encoder.5.bias"]))
    mu, logvar = model.encode(x)
    torch.testing.assert_close(mu, F.linear(h, p["mu.weight"], p["mu.bias"]))
    torch.testing.assert_close(logvar, F.linear(h, p["logvar.weight"], p["logvar.bias"]))

    z = torch.randn(6, 4, dtype=torch.float64)
    h = function(F.linear(z, p["decoder.0.weight"], p["decoder.0.bias"]))
    h = function(F.linear(h, p["decoder.2.weight"], p["decoder.2.bias"])).reshape(6, 5, 2, 3)
    h = function(F.conv_transpose2d(h, p["decoder.5.weight"], p["decoder.5.bias"], 2, 1))
    h = F.conv_transpose2d(h, p["decoder.7.weight"], p["decoder.7.bias"], 2, 1)
    assert h.shape == (6, 2, 8, 12)
    torch.testing.assert_close(model.decode(z), h.sigmoid())
    assert len(p) == 18  # nine layers, and all of them were used


@few
@given(
    batch=st.integers(0, 3),
    channels=st.integers(1, 3),
    height=st.integers(1, 3),
    width=st.integers(1, 3),
    hidden=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    latent=st.integers(1, 3),
    likelihood=st.sampled_from(["bernoulli", "continuous_bernoulli", "gaussian"]),
)
def test_shapes_of_the_convolutional_vae(
    batch, channels, height, width, hidden, latent, likelihood
):
    scale = 2 ** (len(hidden) - 1)
    shape = (channels, scale * height, scale * width)
    model = ConvVAE(shape, hidden, latent, likelihood=likelihood)
    x = torch.rand(batch, *shape)
    mu, logvar = model.encode(x)
    assert mu.shape == logvar.shape == (batch, latent)
    assert model.decode(mu).shape == (batch, *shape)
    assert model.sample(2).shape == (2, *shape)
    assert reconstruction_log_likelihood(model, x, mu).shape == (batch,)
    assert reconstruction_log_likelihood(model, x, torch.randn(2, batch, latent)).shape == (
        2,
        batch,
    )


def test_the_convolutional_vae_is_about_as_large_as_the_dense_one_of_the_book():
    dense = count_parameters(VAE((1, 28, 28), (256, 64, 32, 24), 16))
    assert count_parameters(ConvVAE()) == pytest.approx(dense, rel=0.15)
    assert ConvVAE().latent == 16


def test_glorot_reaches_the_convolutions():
    torch.manual_seed(0)
    model = ConvVAE((4, 16, 16), (32, 48, 60), 16, initialisation="glorot")
    layers = [
        m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
    ]
    assert len(layers) == 4
    for layer in layers:
        # A weight is used by in × kernel inputs and out × kernel outputs.
        ends = (layer.in_channels + layer.out_channels) * math.prod(layer.kernel_size)
        bound = math.sqrt(6 / ends)
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound * (1 + 1e-6)
        assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.1)
        assert layer.bias.count_nonzero() == 0


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("hidden", {"hidden": (16,)}),
        ("hidden", {"hidden": ()}),
        ("hidden and latent", {"hidden": (8, 0, 16)}),
        ("hidden and latent", {"latent": 0}),
        ("shape", {"shape": (1, 30, 28)}),
        ("shape", {"shape": (1, 28, 30)}),
        ("shape", {"shape": (28, 28)}),
        ("shape", {"shape": (1, 0, 28)}),
        ("likelihood", {"likelihood": "poisson"}),
        ("activation", {"activation": "elu"}),
    ],
)
def test_a_bad_convolutional_architecture_is_an_error_that_names_the_argument(argument, arguments):
    with pytest.raises(ValueError, match=rf"^{argument}: expected .*got "):
        ConvVAE(**arguments)


def test_the_sides_of_an_image_are_halved_by_each_convolution():
    says = r"^shape: expected height and width divisible by 8, got \(1, 28, 28\)$"
    with pytest.raises(ValueError, match=says):
        ConvVAE((1, 28, 28), (2, 3, 4, 16))


def test_the_convolutional_vae_refuses_bad_images():
    for x in (torch.rand(2, 1, 8, 4), torch.rand(2, 64), torch.full((2, 1, 8, 8), math.nan)):
        with pytest.raises(ValueError, match=r"^x: expected .*, got "):
            ConvVAE((1, 8, 8), (2, 3), 2).encode(x)


# ---- the linear VAE -----------------------------------------------------------------------------


def test_the_linear_vae_is_affine_with_one_variance_for_all_images():
    torch.manual_seed(0)
    model = LinearVAE((1, 2, 3), latent=2).double()
    with torch.no_grad():
        model.logvar.bias.copy_(torch.tensor([-1.0, 0.5]))
    weights = weights_of(model)
    assert {name: value.shape for name, value in weights.items()} == {
        "mu.weight": (2, 6),
        "mu.bias": (2,),
        "logvar.bias": (2,),
        "decoder.0.weight": (6, 2),
        "decoder.0.bias": (6,),
    }
    x = 50 * torch.randn(7, 1, 2, 3, dtype=torch.float64)  # any numbers will do
    mu, logvar = model.encode(x)
    np.testing.assert_allclose(mu.detach(), numpy_chain(weights, ["mu"], x.flatten(1).numpy()))
    assert logvar.tolist() == [[-1.0, 0.5]] * 7
    z = torch.randn(4, 2, dtype=torch.float64)
    expected = numpy_chain(weights, ["decoder.0"], z.numpy()).reshape(4, 1, 2, 3)
    np.testing.assert_allclose(model.decode(z).detach(), expected, atol=1e-12)
    assert model.encode(x[:0])[1].shape == (0, 2)


def test_the_classifier_has_two_convolutions_of_3_by_3_and_32_features():
    # 8 and 16 channels, each image halved twice, 32 features, 10 labels; with their biases.
    expected = (9 * 8 + 8) + (9 * 8 * 16 + 16) + (16 * 7 * 7 * 32 + 32) + (32 * 10 + 10)
    assert count_parameters(Classifier()) == expected
    assert Classifier().features(torch.rand(3, 1, 28, 28)).shape == (3, 32)


def test_latent_variables_by_default():
    assert [kind().latent for kind in (Autoencoder, VAE, ConvVAE, LinearVAE)] == [2, 2, 16, 16]


@pytest.mark.parametrize("arguments", [{"hidden": (8,)}, {"likelihood": "bernoulli"}])
def test_a_linear_vae_has_no_hidden_layers_and_no_other_likelihood(arguments):
    with pytest.raises(ValueError, match=r"^hidden, likelihood: a linear VAE has no hidden"):
        LinearVAE(**arguments)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(2, 1, 3, 2),
        torch.zeros(2, 6),
        torch.full((2, 1, 2, 3), math.nan),
        torch.full((2, 1, 2, 3), math.inf),
    ],
)
def test_a_linear_vae_refuses_what_are_no_numbers_or_no_images(x):
    with pytest.raises(ValueError, match=r"^x: expected finite \(batch, \*\(1, 2, 3\)\), got "):
        LinearVAE((1, 2, 3), latent=2).encode(x)


@pytest.mark.parametrize(
    "model",
    [
        ConvVAE((1, 8, 8), (2, 3, 6), 5, activation="tanh"),
        LinearVAE((1, 8, 8), latent=5, decoder_variance=0.3, learned_variance=True),
        VAE((1, 8, 8), (6,), 5, "continuous_bernoulli", "glorot", activation="tanh"),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("keep", [[0, 1, 2, 3, 4], [3, 1], [4]])
def test_pruning_keeps_what_a_network_of_any_kind_computes(model, keep):
    torch.manual_seed(0)
    model = model.double()
    with torch.no_grad():
        model.logvar.bias.normal_()
    small = model.prune(keep)
    assert type(small) is type(model)
    assert small.latent == len(keep)
    for name in ("shape", "hidden", "likelihood", "initialisation", "activation"):
        assert getattr(small, name) == getattr(model, name)
    assert torch.equal(small.decoder_variance, model.decoder_variance)
    x = torch.rand(7, 1, 8, 8, dtype=torch.float64)
    mu, logvar = model.encode(x)
    small_mu, small_logvar = small.encode(x)
    torch.testing.assert_close(small_mu, mu[:, keep])
    torch.testing.assert_close(small_logvar, logvar[:, keep])
    zeroed = torch.zeros_like(mu)
    zeroed[:, keep] = mu[:, keep]
    torch.testing.assert_close(small.decode(small_mu), model.decode(zeroed))


# ---- the classifier -----------------------------------------------------------------------------


def test_the_classifier_is_what_torch_functions_compute():
    torch.manual_seed(0)
    model = Classifier((3, 8, 12), features=5, classes=4).double()
    p = model.state_dict()
    x = torch.rand(6, 3, 8, 12, dtype=torch.float64)
    h = F.conv2d(x, p["features.0.weight"], p["features.0.bias"], 2, 1).relu()
    h = F.conv2d(h, p["features.2.weight"], p["features.2.bias"], 2, 1).relu()
    h = F.linear(h.reshape(6, 16 * 2 * 3), p["features.5.weight"], p["features.5.bias"]).relu()
    torch.testing.assert_close(model.features(x), h)
    logits = model(x)
    assert logits.shape == (6, 4)
    torch.testing.assert_close(logits, F.linear(h, p["head.weight"], p["head.bias"]))
    assert Classifier()(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_an_unknown_initialisation_is_named():
    with pytest.raises(ValueError, match=r"^initialisation: expected one of .*, got 'he'"):
        VAE((1, 3, 4), (5,), 2, initialisation="he")
