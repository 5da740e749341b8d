"""Measures of a trained model against NumPy, and of whatever model and images a caller has."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Elsewhere, SecondDevice, moved, network, normal, pixels, seeded
from torch import distributions as D
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from vaelib import (
    VAE,
    Autoencoder,
    Bernoulli,
    ConvVAE,
    Gaussian,
    LatentStatistics,
    elbo,
    encode_images,
    frechet_distance,
    latent_statistics,
    log_likelihood,
    marginal_decomposition,
    mean_elbo,
    principal_components,
    reconstruct,
    reconstruction_error,
    reconstruction_gain,
    reconstruction_log_likelihood,
    used,
)
from vaelib._measuring import evaluation_mode, image_batches

few = settings(deadline=None, max_examples=25, database=None)

# ---- statistics of the latent variables ---------------------------------------------------------


@few
@given(key=st.integers(0, 2**31), n=st.integers(2, 9), latent=st.integers(1, 4))
def test_latent_statistics_agree_with_numpy(key, n, latent):
    mu, logvar = 2 * normal(n, latent, key=key), normal(n, latent, key=key + 1)
    statistics = latent_statistics(mu, logvar)
    var_mu, mean_sigma2 = np.var(mu.numpy(), axis=0), np.exp(logvar.numpy()).mean(0)
    kl = D.kl_divergence(D.Normal(mu, (logvar / 2).exp()), D.Normal(0.0, 1.0)).numpy().mean(0)
    np.testing.assert_allclose(statistics.var_mu, var_mu, atol=1e-12)
    np.testing.assert_allclose(statistics.mean_sigma2, mean_sigma2)
    np.testing.assert_allclose(statistics.kl, kl, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(statistics.variance_sum, var_mu + mean_sigma2)


def test_the_variances_of_a_normal_population_add_up_to_1():
    # z ~ N(0, 1) seen through noise of variance s: the posterior means vary by 1 − s.
    n, s = 50_000, 0.3
    statistics = latent_statistics(math.sqrt(1 - s) * normal(n, 1), torch.full((n, 1), math.log(s)))
    assert statistics.variance_sum.item() == pytest.approx(1, abs=5 * (1 - s) * math.sqrt(2 / n))


def test_which_variables_are_active_and_used():
    values = torch.tensor([0.0, 0.01, 0.0101, 0.02, 0.021], dtype=torch.float64)
    statistics = LatentStatistics(values, torch.ones(5), torch.zeros(5))
    assert statistics.active().tolist() == [False, False, True, True, True]
    assert statistics.active(0.02).tolist() == [False, False, False, False, True]
    gains = torch.tensor([[0.99, 1.0, 1.01], [-3.0, math.inf, 0.5]])
    for as_given in (gains, gains.numpy(), gains.tolist()):
        assert used(as_given).tolist() == [[False, False, True], [False, True, False]]
        assert used(as_given, nats=0.5).tolist() == [[True, True, True], [False, True, False]]


@pytest.mark.parametrize("bad", [math.nan, -1e-9])
def test_a_threshold_is_a_number_from_0_up(bad):
    statistics = latent_statistics(normal(5, 4), normal(5, 4))
    with pytest.raises(ValueError, match=r"^threshold"):
        statistics.active(bad)
    with pytest.raises(ValueError, match=r"^nats"):
        used(torch.ones(4), bad)


def test_a_threshold_of_0_counts_whatever_is_above():
    assert used([-0.1, 0.0, 0.1], 0).tolist() == [False, False, True]


def test_nan_is_not_counted_as_unused():
    with pytest.raises(ValueError, match=r"^gain"):
        used([1.0, math.nan])
    with pytest.raises(ValueError, match=r"^var_mu"):
        LatentStatistics(torch.tensor([math.nan]), torch.ones(1), torch.ones(1)).active()


def test_the_code_of_a_deterministic_autoencoder_has_no_variance_and_an_infinite_kl():
    statistics = latent_statistics(normal(5, 4), torch.full((5, 4), -math.inf))
    assert not statistics.mean_sigma2.any()
    assert torch.isposinf(statistics.kl).all()


@pytest.mark.parametrize("function", [latent_statistics, marginal_decomposition])
@pytest.mark.parametrize(
    ("mu", "logvar"),
    [
        (torch.zeros(5, 4), torch.zeros(5, 1)),
        (torch.zeros(5, 4), torch.zeros(3, 4)),
        (torch.zeros(5), torch.zeros(5)),
        (torch.zeros(5, 4, 2, 2), torch.zeros(5, 4, 2, 2)),
        (torch.zeros(0, 4), torch.zeros(0, 4)),
    ],
)
def test_posteriors_of_other_shapes_are_an_error(function, mu, logvar):
    with pytest.raises(ValueError, match=r"^mu and logvar"):
        function(mu, logvar)


@pytest.mark.parametrize("function", [latent_statistics, marginal_decomposition])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_an_error(function, bad):
    codes, spoiled = torch.zeros(5, 4), torch.zeros(5, 4)
    spoiled[3, 2] = bad
    with pytest.raises(ValueError, match=r"^mu and logvar"):
        function(spoiled, codes)
    if bad != -math.inf:
        with pytest.raises(ValueError, match=r"^mu and logvar"):
            function(codes, spoiled)


def test_one_image_has_no_variance_between_images():
    with pytest.raises(ValueError, match=r"^mu and logvar"):
        latent_statistics(torch.zeros(1, 4), torch.zeros(1, 4))


# ---- models over sets of images -----------------------------------------------------------------

MEASURES = {
    "encode_images": encode_images,
    "reconstruct": reconstruct,
    "reconstruction_error": reconstruction_error,
    "gain": reconstruction_gain,
    "noisy gain": lambda model, images: reconstruction_gain(model, images, seeded(1)),
    "mean_elbo": lambda model, images: mean_elbo(model, images, seeded(1)),
    "log_likelihood": lambda model, images: log_likelihood(model, images, 3, seeded(1)),
}
each_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))


def as_numbers(result):
    """What a measure gives, as one row of numbers."""
    parts = result if isinstance(result, tuple) else (result,)
    return torch.cat([torch.as_tensor(part).flatten().double() for part in parts])


def assert_same(one, other, rtol=1e-9):
    torch.testing.assert_close(as_numbers(one), as_numbers(other), rtol=rtol, atol=1e-9)


def many():
    """Images that need more than one batch, as bytes."""
    return (255 * pixels(1203, 1, 2, 3)).byte()


@each_measure
def test_images_come_in_any_form(measure):
    model, images = network(), (255 * pixels()).byte()
    expected = measure(model, images)
    wide = (images.double() / 255).transpose(2, 3).contiguous().transpose(2, 3)
    backwards = images.numpy()[::-1].copy()[::-1]
    fixed = images.numpy().copy()
    fixed.flags.writeable = False
    for form in (wide, backwards, fixed, wide.numpy()):
        assert_same(measure(model, form), expected)
    labels = torch.arange(5)
    for dataset in (images, TensorDataset(images), TensorDataset(images, labels)):
        assert_same(measure(model, DataLoader(dataset, 5)), expected)
    assert_same(measure(model, TensorDataset(images, labels)), expected)
    assert_same(measure(model, [images.numpy()]), expected)


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "log_likelihood"])
def test_batches_of_any_size_give_the_same(name):
    # Torch draws small blocks of noise by another rule than large ones; without variance there is
    # no noise to differ by.
    model, images = network(), many()
    with torch.no_grad():
        model.logvar.weight.zero_()
        model.logvar.bias.fill_(-60)
    expected = MEASURES[name](model, images)
    for size in (7, 1203):
        assert_same(MEASURES[name](model, DataLoader(images, size)), expected)


def test_measures_agree_with_numpy():
    for kind, likelihood in ((Autoencoder, "bernoulli"), (VAE, "gaussian")):
        model, images = network(kind, likelihood), many()
        x = images.numpy() / 255
        mu, logvar = model.encode(torch.from_numpy(x))
        m = model.decode(mu).detach().numpy()
        assert_same(encode_images(model, images), (mu.detach(), logvar.detach()))
        assert_same(reconstruct(model, images), torch.from_numpy(m))
        nats = x * np.log(m) + (1 - x) * np.log1p(-m) if likelihood == "bernoulli" else None
        if nats is None:
            nats = -((x - m) ** 2) / 0.8 - 0.5 * math.log(2 * math.pi * 0.4)
        expected = (-nats.sum() / 1203, np.mean((x - m) ** 2))
        assert reconstruction_error(model, images) == pytest.approx(expected)


def test_mean_elbo_is_the_mean_over_images():
    model, x = network(), pixels()
    expected = elbo(model, x, generator=seeded(1)).mean().item()
    assert mean_elbo(model, x, seeded(1)) == pytest.approx(expected)


@each_measure
def test_measures_are_in_the_precision_of_the_model_without_gradients(measure):
    result = measure(network().float(), pixels())
    for part in result if isinstance(result, tuple) else (result,):
        if isinstance(part, torch.Tensor):
            assert part.dtype == torch.float32
            assert not part.requires_grad


@each_measure
def test_half_precision_does_not_overflow(measure):
    # 1,203 images at about 300 nats: their sum is beyond 65,504, where half precision ends.
    for likelihood, variance in (("bernoulli", 1.0), ("gaussian", 1e-3)):
        model = network(likelihood=likelihood, decoder_variance=variance)
        with torch.no_grad():
            model.decoder[-1].bias.add_(50 if likelihood == "bernoulli" else 0)
        expected = as_numbers(measure(model, many()))
        for dtype in (torch.float16, torch.bfloat16):
            assert as_numbers(measure(model.to(dtype), many())).isfinite().all()
        rough = as_numbers(measure(model.half(), many()))
        assert (rough - expected).norm() < 0.5 * expected.norm()  # the draws are others


def test_statistics_of_half_precision_arrays_are_those_of_the_numbers():
    mu, logvar = 300 * normal(50, 4), normal(50, 4)
    expected = latent_statistics(mu, logvar)
    for dtype in (torch.float16, torch.bfloat16):
        rough = latent_statistics(mu.to(dtype), logvar.to(dtype))
        torch.testing.assert_close(rough.var_mu, expected.var_mu, rtol=0.02, atol=0)
        torch.testing.assert_close(rough.kl, expected.kl, rtol=0.02, atol=0)


@each_measure
def test_no_images_bad_images_and_channels_last_are_errors(measure):
    model, x = network(shape=(1, 5, 6)), pixels(4, 1, 5, 6)
    for none in (x[:0], DataLoader(x[:0]), []):
        with pytest.raises(ValueError, match=r"^images"):
            measure(model, none)
    for bad in (x * 300, x * math.nan, x[:, :, :1], x.movedim(1, -1)):
        with pytest.raises(ValueError, match=r"^x"):
            measure(model, bad)
    for odd in (x.long(), [x.tolist()], iter([x]), (part for part in [x])):
        with pytest.raises(TypeError, match=r"^images"):
            measure(model, odd)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: vars(latent_statistics(a, b)).values(),
        lambda a, b: marginal_decomposition(a, b, seeded(1)),
        lambda a, b: [torch.tensor(frechet_distance(a, b))],
    ],
)
def test_codes_come_in_any_form_on_any_device(function):
    mu = (3 * normal(5, 4)).round()
    logvar = normal(5, 4, key=1)
    expected = list(function(mu, logvar))
    fixed = mu.numpy().copy()
    fixed.flags.writeable = False
    forms = [
        (mu.numpy(), logvar.numpy()),
        (fixed, logvar.numpy()[::-1].copy()[::-1]),
        (mu.tolist(), logvar.tolist()),
        (mu.long(), logvar.requires_grad_()),
    ]
    for form in forms:
        assert_same(tuple(function(*form)), tuple(expected))
    with SecondDevice():
        result = tuple(function(Elsewhere(mu), Elsewhere(logvar.detach())))
    assert_same(result, tuple(expected))


# ---- where, and in which mode -------------------------------------------------------------------


@each_measure
def test_a_model_elsewhere_is_measured_where_it_is_with_the_noise_of_the_cpu(measure):
    images = (255 * pixels()).byte()
    expected = measure(network(), images)
    with SecondDevice():
        model = moved(network())
        for form in (images, Elsewhere(images), DataLoader(images, 5)):
            result = measure(model, form)
            parts = result if isinstance(result, tuple) else (result,)
            assert not any(isinstance(part, Elsewhere) for part in parts)
            assert_same(result, expected)


def test_without_a_generator_noise_is_drawn_where_the_model_is():
    with SecondDevice() as device:
        model = moved(network())
        assert math.isfinite(mean_elbo(model, pixels()))
        assert log_likelihood(model, pixels(), 3).standard_error.isfinite().all()
        assert device.drawn == [True] * 2
        assert isinstance(elbo(model, Elsewhere(pixels()), generator=seeded()), Elsewhere)
    components = principal_components(pixels())
    with SecondDevice():
        assert_same(tuple(principal_components(Elsewhere(pixels()))), tuple(components))


class Own(nn.Module):
    """Somebody's VAE: another architecture, with layers whose mode matters; it decodes images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.likelihood = Bernoulli()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout())
        self.decoder = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (1, 2, 3)))

    def encode(self, x):
        return self.body(x).chunk(2, 1)


class Adapter:
    """Somebody's VAE that is no module, around one that is."""

    likelihood = Bernoulli()

    def __init__(self):
        self.net = Own()

    def encode(self, x):
        return list(self.net.encode(x))

    def decoder(self, z):
        return self.net.decoder(z).flatten(1)


@each_measure
@pytest.mark.parametrize("kind", [Own, Adapter])
def test_measuring_is_in_evaluation_mode_and_changes_nothing(measure, kind):
    model = kind()
    net = model.net if kind is Adapter else model
    net.decoder.eval()
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first = measure(model, pixels())
    assert_same(measure(model, pixels()), first)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.eval()
    assert_same(measure(model, pixels()), first)


def test_the_mode_comes_back_after_an_error():
    model = network()
    with pytest.raises(ValueError, match=r"^x"):
        mean_elbo(model, pixels() + 1)
    assert all(module.training for module in model.modules())


def test_a_measure_keeps_its_name_and_checks_a_model_on_one_image():
    sizes = []

    @evaluation_mode
    def batches(model, images):
        return list(image_batches(model, images))

    model = network()
    encode = model.encode
    model.encode = lambda x: sizes.append(len(x)) or encode(x)
    assert batches.__name__ == "batches"
    assert [len(x) for x in batches(model, [pixels()[:0], pixels(), pixels()])] == [5, 5]
    assert sizes == [1]


# ---- models of somebody else --------------------------------------------------------------------


@each_measure
def test_a_foreign_model_is_measured_as_the_same_network_of_ours(measure):
    ours, images = network().float(), pixels()

    class Theirs:  # where the weights are is not to be seen
        __slots__ = ()
        likelihood, encode, decoder = ours.likelihood, ours.encode, ours.decoder

    assert_same(measure(Theirs(), images), measure(ours, images))
    assert elbo(Theirs(), images.float()).shape == (5,)


@each_measure
def test_what_a_foreign_model_lacks_is_said(measure):
    model = Own()
    for name, value in (("decoder", None), ("likelihood", "bernoulli"), ("likelihood", None)):
        lacking = Own()
        if value is None:
            delattr(lacking, name)
        else:
            setattr(lacking, name, value)
        what = "log_prob in its likelihood" if value else name
        with pytest.raises(TypeError, match=rf"^model.*without {what}\. "):
            measure(lacking, pixels())
    with pytest.raises(TypeError, match=r"^model.*without encode"):
        measure(nn.Linear(6, 4), pixels())

    class Output(dict):
        """As a library returns it: a dictionary with attributes."""

    mu, logvar = Own().eval().encode(pixels().float())
    for code, kinds in (
        (Output(embedding=mu, log_covariance=logvar), "Output"),
        (mu, "Tensor"),
        (mu[:2], "Tensor"),
        ((mu, logvar, mu), "tuple"),
        ((mu, 0.1), "Tensor, float"),
    ):
        model.encode = lambda x, code=code: code
        with pytest.raises(TypeError, match=rf"^model.*encode.*two tensors, got {kinds}$"):
            measure(model, pixels())


# ---- reconstruction gain ------------------------------------------------------------------------


@pytest.mark.parametrize("noisy", [False, True])
def test_gain_of_a_network_variable_by_variable(noisy):
    model, x = network(), pixels()
    mu, logvar = model.encode(x)
    z = (mu + (logvar / 2).exp() * normal(5, 4, key=9) if noisy else mu).detach()

    def nats(z):
        p = model.decode(z).detach()
        return (x * p.log() + (1 - x) * (1 - p).log()).sum().item() / 5

    gain = reconstruction_gain(model, x, seeded(9) if noisy else None)
    for j in range(4):
        without = z.clone()
        without[:, j] = mu[:, j].mean().item()
        assert gain[j].item() == pytest.approx(nats(z) - nats(without))


def test_a_variable_that_is_3_for_every_image_gains_nothing():
    model = network(likelihood="gaussian", hidden=())
    with torch.no_grad():
        model.mu.weight[3] = 0
        model.mu.bias[3] = 3
        model.decoder[0].weight[:, 3] = 1
        model.decoder[0].bias.sub_(3)
    x = pixels()
    assert latent_statistics(*encode_images(model, x)).var_mu[3] < 1e-12
    gain = reconstruction_gain(model, x)
    assert abs(gain[3]) < 1e-12
    assert gain.count_nonzero() >= 3


def test_a_convolutional_network_early_in_training_relies_on_what_says_nothing():
    model = network(ConvVAE, shape=(3, 8, 8), hidden=(2, 3, 8))
    with torch.no_grad():
        model.mu.weight.mul_(1e-3)
        model.mu.bias.fill_(2.0)
    x = pixels(6, 3, 8, 8)
    mu, logvar = encode_images(model, x)
    assert not latent_statistics(mu, logvar).active().any()
    assert not used(reconstruction_gain(model, x)).any()
    at_zero = [reconstruction_log_likelihood(model, x, z) for z in (mu, torch.zeros_like(mu))]
    assert (at_zero[0] - at_zero[1]).abs().max() > 1


def test_gain_of_an_ignored_variable_is_exactly_zero():
    model = network()
    with torch.no_grad():
        model.decoder[0].weight[:, 1] = 0
    for noise in (None, seeded()):
        gain = reconstruction_gain(model, pixels(), noise)
        assert (gain == 0).tolist() == [False, True, False, False]


def test_a_gaussian_of_somebody_else_takes_any_numbers():
    class Table:
        likelihood = Gaussian(0.5)

        def encode(self, x):
            return x[:, :4], torch.zeros(len(x), 4)

        def decoder(self, z):
            return nn.functional.pad(z, (0, 2))

    x = 20 * normal(7, 6, dtype=torch.float32)
    nats, squared = reconstruction_error(Table(), x)
    assert squared == pytest.approx(x[:, 4:].square().sum().item() / 42)
    assert nats == pytest.approx(6 * squared + 3 * math.log(math.pi))
    assert reconstruct(Table(), x).shape == (7, 6)
