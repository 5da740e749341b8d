"""The models: shapes, what they compute (redone in numpy), initialisation, pruning, bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaelib import VAE, Autoencoder, count_parameters, fit, reconstruction_log_likelihood

BOTH = pytest.mark.parametrize("kind", [Autoencoder, VAE])
few = settings(deadline=None, max_examples=25, database=None)


def numpy_chain(weights, names, x):
    """Linear layers with a ReLU between each two of them and none after the last."""
    for i, name in enumerate(names):
        x = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        if i < len(names) - 1:
            x = np.maximum(x, 0)
    return x


def weights_of(model):
    return {name: value.double().numpy() for name, value in model.state_dict().items()}


@BOTH
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_encoder_and_decoder_are_what_numpy_computes_from_the_weights(kind, likelihood):
    torch.manual_seed(0)
    model = kind((2, 3, 4), (11, 7), 5, likelihood=likelihood).double()
    weights = weights_of(model)
    x = torch.rand(6, 2, 3, 4, dtype=torch.float64)
    mu, logvar = model.encode(x)
    flat = x.reshape(6, 24).numpy()
    np.testing.assert_allclose(
        mu.detach(), numpy_chain(weights, ["encoder.0", "encoder.2", "mu"], flat), atol=1e-12
    )
    if kind is VAE:
        expected = numpy_chain(weights, ["encoder.0", "encoder.2", "logvar"], flat)
        np.testing.assert_allclose(logvar.detach(), expected, atol=1e-12)
    else:
        assert torch.isneginf(logvar).all()
        assert logvar.shape == (6, 5)
    z = torch.randn(6, 5, dtype=torch.float64)
    output = numpy_chain(weights, ["decoder.0", "decoder.2", "decoder.4"], z.numpy())
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
    likelihood=st.sampled_from(["bernoulli", "gaussian"]),
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
        if likelihood == "bernoulli" and batch:
            assert decoded.min() >= 0
            assert decoded.max() <= 1


def test_bernoulli_means_stay_in_the_unit_interval_for_extreme_codes():
    model = VAE((1, 3, 3), (4,), 2)
    for size in (1e3, 1e10, 1e20):
        mean = model.decode(size * torch.randn(50, 2))
        assert mean.isfinite().all()
        assert mean.min() >= 0
        assert mean.max() <= 1


@BOTH
def test_non_contiguous_images_are_encoded_alike(kind):
    model = kind((3, 4, 5), (6,), 2)
    x = torch.rand(2, 4, 5, 3).permute(0, 3, 1, 2)
    assert not x.is_contiguous()
    torch.testing.assert_close(model.encode(x)[0], model.encode(x.contiguous())[0])


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
