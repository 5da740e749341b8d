"""Every measure against an oracle that shares no code with it: numpy, scipy, closed forms, MC."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import distributions as D

from vaelib import (
    VAE,
    Autoencoder,
    LatentStatistics,
    LinearVAE,
    elbo,
    encode_images,
    frechet_distance,
    latent_statistics,
    linear_vae_log_likelihood,
    log_likelihood,
    marginal_decomposition,
    mean_elbo,
    metrics,
    reconstruct,
    reconstruction_error,
    reconstruction_gain,
)

few = settings(deadline=None, max_examples=25, database=None)
seeds = st.integers(0, 2**31)


def generator(key=0):
    return torch.Generator().manual_seed(key)


def random(*shape, key=0):
    return torch.randn(*shape, generator=generator(key), dtype=torch.float64)


# ---- statistics of the latent variables ---------------------------------------------------------


@few
@given(key=seeds, n=st.integers(1, 9), latent=st.integers(1, 4))
def test_latent_statistics_agree_with_numpy(key, n, latent):
    mu, logvar = 2 * random(n, latent, key=key), random(n, latent, key=key + 1)
    found = latent_statistics(mu, logvar)
    variances = np.exp(logvar.numpy())
    np.testing.assert_allclose(found.mu_variance, np.var(mu.numpy(), axis=0), atol=1e-12)
    np.testing.assert_allclose(found.mean_variance, np.mean(variances, axis=0))
    kl = D.kl_divergence(D.Normal(mu, (logvar / 2).exp()), D.Normal(0.0, 1.0)).numpy()
    np.testing.assert_allclose(found.kl, kl.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.law, np.var(mu.numpy(), axis=0) + variances.mean(0))
    assert found.kl.shape == found.law.shape == (latent,)


def test_the_mean_of_the_variances_is_not_the_variance_of_the_mean_logvar():
    logvar = torch.tensor([[0.0], [math.log(3.0)]])
    assert latent_statistics(torch.zeros(2, 1), logvar).mean_variance.item() == pytest.approx(2.0)


def test_the_law_holds_for_a_normal_population():
    # z ~ N(0, 1) seen through noise of variance s: the posterior means vary by 1 − s.
    n, s = 50_000, 0.3
    mu = math.sqrt(1 - s) * random(n, 1)
    found = latent_statistics(mu, torch.full((n, 1), math.log(s), dtype=torch.float64))
    assert found.law.item() == pytest.approx(1, abs=5 * (1 - s) * math.sqrt(2 / n))


def test_active_units():
    statistics = LatentStatistics(
        mu_variance=torch.tensor([0.0, 0.01, 0.0101, 0.015, 0.9], dtype=torch.float64),
        mean_variance=torch.ones(5),
        kl=torch.zeros(5),
    )
    assert statistics.active().tolist() == [False, False, True, True, True]
    assert statistics.active(threshold=0.02).tolist() == [False, False, False, False, True]
    assert statistics.active(0.0).tolist() == [False, True, True, True, True]
    assert statistics.active().dtype == torch.bool


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_latent_statistics_of_extremes_are_finite(logvar, dtype):
    found = latent_statistics(torch.zeros(3, 2, dtype=dtype), torch.full((3, 2), logvar).to(dtype))
    for value in (found.mu_variance, found.mean_variance, found.kl, found.law):
        assert value.dtype == dtype
        assert value.isfinite().all()


def test_latent_statistics_of_a_deterministic_autoencoder():
    found = latent_statistics(random(5, 2), torch.full((5, 2), -math.inf).double())
    assert found.mean_variance.tolist() == [0, 0]
    assert torch.isposinf(found.kl).all()


@pytest.mark.parametrize("function", [latent_statistics, marginal_decomposition])
@pytest.mark.parametrize(
    ("mu", "logvar"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 1)),
        (torch.zeros(3, 2), torch.zeros(2, 2)),
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(0, 2), torch.zeros(0, 2)),
        (torch.tensor([[math.nan]]), torch.zeros(1, 1)),
        (torch.zeros(1, 1), torch.tensor([[math.nan]])),
    ],
    ids=["latent", "images", "flat", "none", "nan mu", "nan logvar"],
)
def test_bad_posteriors_are_an_error(function, mu, logvar):
    with pytest.raises(ValueError, match=r"^mu and logvar: expected .*, got "):
        function(mu, logvar)


# ---- models over sets of images -----------------------------------------------------------------


def bytes_and_pixels(n=11, shape=(1, 2, 3)):
    images = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator(3))
    return images, images.double() / 255


def network(kind=VAE, likelihood="bernoulli", hidden=(6,), latent=3, variance=0.4):
    torch.manual_seed(1)
    model = kind((1, 2, 3), hidden, latent, likelihood, "glorot", variance).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


MEASURES = {
    "encode_images": encode_images,
    "reconstruct": reconstruct,
    "reconstruction_gain": reconstruction_gain,
    "reconstruction_error": reconstruction_error,
    "mean_elbo": lambda model, images: mean_elbo(model, images, generator(1)),
    "noisy_gain": lambda model, images: reconstruction_gain(model, images, generator(1)),
    "log_likelihood": lambda model, images: log_likelihood(model, images, 30, generator(1)),
}


@pytest.mark.parametrize("name", list(MEASURES))
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_bytes_and_pixels_one_batch_or_many_give_the_same(name, likelihood, monkeypatch):
    model, (images, pixels) = network(likelihood=likelihood), bytes_and_pixels()
    measure = MEASURES[name]
    whole = measure(model, images)
    torch.testing.assert_close(whole, measure(model, pixels))
    turned = pixels.transpose(2, 3).contiguous().transpose(2, 3)
    assert not turned.is_contiguous()
    torch.testing.assert_close(whole, measure(model, turned))
    # Torch draws small blocks of noise by another rule than large ones, so only the measures
    # without noise can be compared between batch sizes.
    if name not in ("mean_elbo", "noisy_gain", "log_likelihood"):
        monkeypatch.setattr(metrics, "BATCH", 4)
        torch.testing.assert_close(whole, measure(model, images))


@pytest.mark.parametrize("name", ["mean_elbo", "noisy_gain"])
def test_noisy_measures_average_over_images_whatever_the_batches(name, monkeypatch):
    # Without variance in the posterior there is no noise left to differ by.
    model, (images, _) = network(), bytes_and_pixels()
    with torch.no_grad():
        model.logvar.weight.zero_()
        model.logvar.bias.fill_(-60)
    whole = MEASURES[name](model, images)
    monkeypatch.setattr(metrics, "BATCH", 4)
    torch.testing.assert_close(whole, MEASURES[name](model, images))


@pytest.mark.parametrize("name", list(MEASURES))
def test_no_images_and_bad_images_are_errors(name):
    model, (images, pixels) = network(), bytes_and_pixels()
    with pytest.raises(ValueError, match=r"^images: expected at least one image"):
        MEASURES[name](model, images[:0])
    for bad in (pixels * 300, pixels * math.nan, pixels[:, :, :1], pixels - 0.5):
        with pytest.raises(ValueError, match=r"^x: "):
            MEASURES[name](model, bad)


@pytest.mark.parametrize("name", list(MEASURES))
def test_one_image_float32_and_no_gradients(name):
    model, (images, _) = network().float(), bytes_and_pixels(1)
    result = MEASURES[name](model, images)
    parts = result if isinstance(result, tuple) else (result,)
    for part in parts:
        if isinstance(part, torch.Tensor):
            assert part.dtype == torch.float32
            assert not part.requires_grad
            assert part.isfinite().all()
        else:
            assert math.isfinite(part)


def test_encode_images_and_reconstruct():
    for kind in (Autoencoder, VAE):
        model, (images, pixels) = network(kind), bytes_and_pixels()
        mu, logvar = encode_images(model, images)
        assert mu.shape == logvar.shape == (11, 3)
        torch.testing.assert_close(mu, model.encode(pixels)[0].detach())
        torch.testing.assert_close(logvar, model.encode(pixels)[1].detach())
        torch.testing.assert_close(reconstruct(model, images), model.decode(mu).detach())


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("kind", [Autoencoder, VAE])
def test_reconstruction_error_agrees_with_numpy(kind, likelihood):
    model, (images, pixels) = network(kind, likelihood), bytes_and_pixels()
    nats, squared = reconstruction_error(model, images)
    x = pixels.numpy()
    m = model.decode(model.encode(pixels)[0]).detach().numpy()
    if likelihood == "bernoulli":
        log = x * np.log(m) + (1 - x) * np.log1p(-m)
    else:
        log = stats.norm.logpdf(x, m, math.sqrt(0.4))
    assert nats == pytest.approx(-log.sum() / 11)
    assert squared == pytest.approx(np.mean((x - m) ** 2))
    assert type(nats) is type(squared) is float


def test_mean_elbo_is_the_mean_over_images():
    model, (images, pixels) = network(), bytes_and_pixels()
    expected = elbo(model, pixels, generator=generator(1)).mean().item()
    assert mean_elbo(model, images, generator(1)) == pytest.approx(expected)


# ---- reconstruction gain ------------------------------------------------------------------------


def test_gain_of_a_decoder_made_by_hand():
    # One pixel per variable, the third variable is not wired to anything.
    model = VAE((1, 1, 2), (), 3, "gaussian", decoder_variance=0.5).double()
    with torch.no_grad():
        model.mu.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        model.mu.bias.zero_()
        model.decoder[0].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        model.decoder[0].bias.zero_()
    x = torch.tensor([[0.8, 0.2], [0.4, 0.0]]).double().reshape(2, 1, 1, 2)
    # Reconstruction is perfect; without variable j pixel j is missed by x_j: x_j² / (2 · 0.5).
    expected = torch.tensor([(0.64 + 0.16) / 2, 0.04 / 2, 0.0]).double()
    torch.testing.assert_close(reconstruction_gain(model, x), expected)


def linear_parts(model, pixels):
    """μ, σ², decoder columns and the residual at the posterior mean, in numpy."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    x = pixels.reshape(len(pixels), -1).numpy()
    mu = x @ weights["mu.weight"].T + weights["mu.bias"]
    variance = np.exp(x @ weights["logvar.weight"].T + weights["logvar.bias"])
    w = weights["decoder.0.weight"]
    return mu, variance, w, x - weights["decoder.0.bias"] - mu @ w.T


@pytest.mark.parametrize("variance", [0.1, 0.4, 2.0])
def test_gain_of_a_linear_gaussian_decoder(variance):
    model = network(likelihood="gaussian", hidden=(), variance=variance)
    images, pixels = bytes_and_pixels()
    mu, _, w, residual = linear_parts(model, pixels)
    # |r + μ_j w_j|² − |r|² = 2 μ_j w_j·r + μ_j² |w_j|²
    expected = (2 * mu * (residual @ w) + mu**2 * (w**2).sum(0)).mean(0) / (2 * variance)
    found = reconstruction_gain(model, images)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_noisy_gain_of_a_linear_gaussian_decoder_has_its_expected_value():
    model = network(likelihood="gaussian", hidden=())
    images, pixels = bytes_and_pixels()
    mu, variance, w, residual = linear_parts(model, pixels)
    # With z = μ + σ ε: the part of the noise in the whole is lost with the variable, so σ² enters
    # with a minus sign.
    expected = (2 * mu * (residual @ w) + (mu**2 - variance) * (w**2).sum(0)).mean(0) / 0.8
    noise = generator(5)
    draws = np.stack([reconstruction_gain(model, images, noise).numpy() for _ in range(400)])
    error = draws.std(0, ddof=1) / math.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - expected) < 5 * error).all()
    without_noise = reconstruction_gain(model, images).numpy()
    assert (np.abs(without_noise - expected) > 10 * error).all()


def test_a_variable_with_more_noise_than_news_has_a_negative_noisy_gain():
    model = VAE((1, 1, 1), (), 1, "gaussian").double()
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.mu.bias.fill_(0.1)
        model.logvar.bias.fill_(0.0)
        model.decoder[0].weight.fill_(1.0)
    x = torch.full((5000, 1, 1, 1), 0.1).double()
    assert reconstruction_gain(model, x).item() == pytest.approx(0.005)
    # (0.1² − 1) / 2; the standard error is below 0.01.
    assert reconstruction_gain(model, x, generator()).item() == pytest.approx(-0.495, abs=0.05)


@pytest.mark.parametrize("noisy", [False, True])
def test_gain_of_a_bernoulli_network_variable_by_variable(noisy):
    model, (images, pixels) = network(), bytes_and_pixels()
    mu, logvar = (t.detach() for t in model.encode(pixels))
    z = mu + (logvar / 2).exp() * random(11, 3, key=9) if noisy else mu
    for j, found in enumerate(
        reconstruction_gain(model, images, generator(9) if noisy else None).tolist()
    ):
        without = z * torch.tensor([0.0 if k == j else 1.0 for k in range(3)])
        log = [
            (pixels * p.log() + (1 - pixels) * (1 - p).log()).sum().item() / 11
            for p in (model.decode(z).detach(), model.decode(without).detach())
        ]
        assert found == pytest.approx(log[0] - log[1])


def test_gain_of_an_ignored_variable_is_exactly_zero():
    model, (images, _) = network(), bytes_and_pixels()
    with torch.no_grad():
        model.decoder[0].weight[:, 1] = 0
    for noise in (None, generator()):
        gain = reconstruction_gain(model, images, noise)
        assert gain[1] == 0
        assert gain.count_nonzero() == 2


# ---- log-likelihood -----------------------------------------------------------------------------


def linear_vae(mistake=0.0):
    """A linear VAE whose encoder is the exact posterior but for a shift and a factor e^mistake."""
    variance = 0.2
    model = LinearVAE((1, 1, 4), latent=2, decoder_variance=variance).double()
    # Orthogonal columns: only then is the exact posterior diagonal.
    w = torch.tensor([[0.6, 0.0], [0.0, 0.9], [0.8, 0.0], [0.0, -0.5]]).double()
    b = torch.tensor([0.3, 0.5, 0.2, 0.1]).double()
    precision = 1 + w.square().sum(0) / variance
    with torch.no_grad():
        model.decoder[0].weight.copy_(w)
        model.decoder[0].bias.copy_(b)
        model.mu.weight.copy_(w.T / variance / precision[:, None])
        model.mu.bias.copy_(-(w.T @ b) / variance / precision + mistake / precision.sqrt())
        model.logvar.bias.copy_(-precision.log() + mistake)
    return model


def exact_log_likelihood(model, x):
    w, b = (p.detach().numpy() for p in (model.decoder[0].weight, model.decoder[0].bias))
    return stats.multivariate_normal(b, w @ w.T + 0.2 * np.eye(4)).logpdf(x.flatten(1).numpy())


def test_log_likelihood_of_a_linear_vae_is_as_exact_as_its_standard_error_says():
    model, x = linear_vae(mistake=0.4), random(500, 1, 1, 4)
    found, error = log_likelihood(model, x, 1000, generator(1))
    assert found.shape == error.shape == (500,)
    exact = exact_log_likelihood(model, x)
    np.testing.assert_allclose(linear_vae_log_likelihood(model, x), exact, rtol=1e-10)
    scores = (found.numpy() - exact) / error.numpy()
    assert (np.abs(scores) < 4).all()
    # Standard errors of the mean and of the deviation of 500 normal scores: 0.045 and 0.032.
    assert abs(scores.mean()) < 0.2
    assert scores.std() == pytest.approx(1, abs=0.15)
    assert 0.001 < error.min() < error.max() < 0.05


def test_log_likelihood_needs_one_draw_only_where_the_posterior_is_exact():
    model, x = linear_vae(), random(20, 1, 1, 4)
    for samples in (1, 3):
        found, error = log_likelihood(model, x, samples, generator())
        np.testing.assert_allclose(found, exact_log_likelihood(model, x), rtol=1e-10)
        np.testing.assert_allclose(error, 0, atol=1e-10)


def test_log_likelihood_of_a_bernoulli_network_agrees_with_the_integral():
    model, (images, pixels) = network(latent=1), bytes_and_pixels(3)
    with torch.no_grad():  # draws that reach wherever the exact posterior does
        model.logvar.weight.zero_()
        model.logvar.bias.zero_()
    found, error = log_likelihood(model, images, 12_000, generator(1))
    grid = torch.linspace(-9, 9, 4001).double()
    with torch.no_grad():
        mean = model.decode(grid[:, None])
        for i in range(3):
            log = pixels[i] * mean.log() + (1 - pixels[i]) * (1 - mean).log()
            density = log.sum((1, 2, 3)).exp().numpy() * stats.norm.pdf(grid.numpy())
            exact = math.log(integrate.simpson(density, x=grid.numpy()))
            assert found[i].item() == pytest.approx(exact, abs=5 * error[i].item())
    assert error.max() < 0.05


@few
@given(
    n=st.integers(1, 12),
    samples=st.integers(1, 12),
    decodes=st.integers(1, 15),
    batch=st.integers(1, 15),
)
@example(n=7, samples=1, decodes=10, batch=3)
@example(n=3, samples=11, decodes=4, batch=9)
def test_log_likelihood_counts_each_draw_of_each_image_once(n, samples, decodes, batch):
    x = random(n, 1, 1, 4)
    drawn = {}

    def numbered_weights(model, part, count, generator):
        """Draw number i of any image weighs i, times e to its first pixel."""
        assert count * len(part) <= decodes, "more codes at once than there is memory for"
        first = part[:, 0, 0, 0]
        start = drawn.get(first[0].item(), 0)
        drawn.update(dict.fromkeys(first.tolist(), start + count))
        return torch.arange(start + 1, start + count + 1).double().log()[:, None] + first

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "DECODES", decodes)
        patch.setattr(metrics, "BATCH", batch)
        patch.setattr(metrics, "importance_weights", numbered_weights)
        found, error = log_likelihood(linear_vae(), x, samples)
    assert drawn == dict.fromkeys(x[:, 0, 0, 0].tolist(), samples)
    weights = np.arange(1, samples + 1)
    np.testing.assert_allclose(found, x[:, 0, 0, 0] + math.log(weights.mean()), rtol=1e-10)
    relative = weights.std() / weights.mean() / math.sqrt(samples)
    np.testing.assert_allclose(error, np.full(n, relative), rtol=1e-10, atol=1e-12)


def test_log_likelihood_depends_on_the_generator_alone():
    model, (images, _) = network(), bytes_and_pixels()
    first = log_likelihood(model, images, 20, generator(1))
    torch.manual_seed(99)
    for a, b in zip(first, log_likelihood(model, images, 20, generator(1)), strict=True):
        assert torch.equal(a, b)
    other = log_likelihood(model, images, 20, generator(2))
    assert not torch.equal(first.log_likelihood, other.log_likelihood)


def test_log_likelihood_draws_a_hundred_samples_unless_told_otherwise():
    model, (images, _) = network(), bytes_and_pixels()
    found = log_likelihood(model, images[:2], generator=generator(1))
    expected = log_likelihood(model, images[:2], 100, generator(1))
    assert torch.equal(found.log_likelihood, expected.log_likelihood)


@pytest.mark.parametrize("samples", [0, -1])
def test_log_likelihood_without_samples_is_an_error(samples):
    with pytest.raises(ValueError, match=r"^samples: expected at least 1, got "):
        log_likelihood(network(), bytes_and_pixels()[0], samples)


def test_log_likelihood_of_a_deterministic_autoencoder_is_an_error():
    with pytest.raises(ValueError, match=r"^model: expected a VAE, got Autoencoder"):
        log_likelihood(network(Autoencoder), bytes_and_pixels()[0])


# ---- decomposition of the mean KL ---------------------------------------------------------------


@few
@given(key=seeds, n=st.integers(1, 12), latent=st.integers(1, 3), batch=st.integers(1, 15))
def test_decomposition_agrees_with_torch_mixtures_on_the_same_draws(key, n, latent, batch):
    mu, logvar = random(n, latent, key=key), random(n, latent, key=key + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BATCH", batch)
        found = marginal_decomposition(mu, logvar, generator(key))
    posteriors = D.Independent(D.Normal(mu, (logvar / 2).exp()), 1)
    z = mu + posteriors.stddev * random(n, latent, key=key)
    mixture = D.MixtureSameFamily(D.Categorical(torch.ones(n).double()), posteriors)
    prior = D.Independent(D.Normal(torch.zeros(latent).double(), 1.0), 1)
    log_q, log_marginal, log_p = (d.log_prob(z) for d in (posteriors, mixture, prior))
    torch.testing.assert_close(found.mutual_information, (log_q - log_marginal).mean())
    torch.testing.assert_close(found.marginal_kl, (log_marginal - log_p).mean())
    kl = D.kl_divergence(posteriors, prior.expand((n,)))
    torch.testing.assert_close(found.mean_kl, kl.mean())


def test_the_two_parts_add_up_to_the_mean_kl():
    mu, logvar = 1.5 * random(40, 2), random(40, 2, key=1) - 1
    parts = [marginal_decomposition(mu, logvar, generator(key)) for key in range(150)]
    sums = torch.stack([p.mutual_information + p.marginal_kl for p in parts])
    error = sums.std() / math.sqrt(len(sums))
    assert abs(sums.mean() - parts[0].mean_kl) < 5 * error
    assert error < 0.04
    assert all(p.mean_kl == parts[0].mean_kl for p in parts)


def test_a_mixture_on_the_line_agrees_with_the_integrals():
    mu = torch.tensor([[-1.5], [-0.2], [0.4], [2.0]]).double()
    logvar = torch.tensor([[-1.0], [-2.0], [0.3], [-0.5]]).double()
    normals = [
        stats.norm(m, math.exp(v / 2))
        for m, v in zip(mu.flatten().tolist(), logvar.flatten().tolist(), strict=True)
    ]

    def density(z):
        return sum(q.pdf(z) for q in normals) / 4

    entropy, _ = integrate.quad(lambda z: -density(z) * math.log(density(z)), -9, 9)
    divergence, _ = integrate.quad(
        lambda z: density(z) * (math.log(density(z)) - stats.norm.logpdf(z)), -9, 9
    )
    information = entropy - sum(q.entropy() for q in normals) / 4
    noise = generator(2)
    parts = [marginal_decomposition(mu, logvar, noise) for _ in range(1200)]
    for name, exact in [("mutual_information", information), ("marginal_kl", divergence)]:
        draws = torch.stack([getattr(part, name) for part in parts])
        error = (draws.std() / math.sqrt(len(draws))).item()
        assert error < 0.025
        assert draws.mean().item() == pytest.approx(float(exact), abs=5 * error)
    assert parts[0].mean_kl.item() == pytest.approx(float(information + divergence), abs=1e-6)


@few
@given(
    key=seeds,
    n=st.integers(1, 20),
    latent=st.integers(1, 3),
    spread=st.sampled_from([0.0, 1.0, 1e3]),
    logvar=st.sampled_from([-50.0, -3.0, 0.0, 50.0]),
)
def test_the_mutual_information_never_exceeds_log_n_and_nothing_is_nan(
    key, n, latent, spread, logvar
):
    parts = marginal_decomposition(
        spread * random(n, latent, key=key),
        torch.full((n, latent), logvar, dtype=torch.float64),
        generator(key),
    )
    assert all(part.shape == () and part.isfinite() for part in parts)
    assert parts.mutual_information <= math.log(n) + 1e-9


def test_equal_posteriors_say_nothing():
    parts = marginal_decomposition(
        torch.full((30, 2), 0.7).double(), torch.full((30, 2), -1.0).double(), generator()
    )
    assert parts.mutual_information.item() == pytest.approx(0, abs=1e-12)
    kl = 2 * 0.5 * (0.49 + math.exp(-1) + 1 - 1)
    assert parts.mean_kl.item() == pytest.approx(kl)


def test_well_separated_posteriors_say_all_they_can():
    mu = torch.arange(30.0).double()[:, None] * 100
    parts = marginal_decomposition(mu, torch.zeros(30, 1).double(), generator())
    assert parts.mutual_information.item() == pytest.approx(math.log(30), abs=1e-12)


def test_posteriors_at_the_prior_cost_nothing():
    parts = marginal_decomposition(torch.zeros(20, 3), torch.zeros(20, 3), generator())
    assert parts.mean_kl == 0
    assert abs(parts.mutual_information) < 1e-6
    assert abs(parts.marginal_kl) < 1e-6


def test_a_deterministic_posterior_has_no_decomposition():
    with pytest.raises(ValueError, match=r"^logvar: expected values from -700 to 700"):
        marginal_decomposition(torch.zeros(3, 1), torch.tensor([[0.0], [-math.inf], [0.0]]))


def test_the_decomposition_takes_log_variances_up_to_700_and_no_further():
    mu = torch.zeros(2, 1)
    assert marginal_decomposition(mu, torch.full((2, 1), 700.0)).mean_kl > 0
    assert marginal_decomposition(mu, torch.full((2, 1), -700.0)).mean_kl > 0
    with pytest.raises(ValueError, match=r"^logvar: expected values from -700 to 700"):
        marginal_decomposition(mu, torch.full((2, 1), 700.5))


def test_decomposition_of_tiny_variances_is_no_nan_in_float32():
    parts = marginal_decomposition(torch.zeros(3, 1), torch.full((3, 1), -100.0), generator())
    assert not any(part.isnan() for part in parts)


# ---- Fréchet distance ---------------------------------------------------------------------------


@few
@given(key=seeds, n=st.integers(9, 40), m=st.integers(9, 40), features=st.integers(1, 6))
def test_frechet_distance_agrees_with_scipy(key, n, m, features):
    a = random(n, features, key=key) @ random(features, features, key=key + 1)
    b = 1 + random(m, features, key=key + 2) @ random(features, features, key=key + 3)
    cov_a, cov_b = (np.atleast_2d(np.cov(c.numpy().T)) for c in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    shift = a.numpy().mean(0) - b.numpy().mean(0)
    expected = shift @ shift + np.trace(cov_a + cov_b - 2 * np.real(root))
    found = frechet_distance(a, b)
    assert type(found) is float
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(b, a) == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert frechet_distance(a.float(), b.float()) == pytest.approx(found, rel=1e-4, abs=1e-4)


def test_frechet_distance_on_the_line():
    a, b = 2 + 3 * random(50, 1), 0.5 * random(40, 1, key=1)
    expected = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected.item())


def test_frechet_distance_of_known_clouds():
    a = random(30, 4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-12)
    shift = torch.tensor([1.0, -2.0, 0.0, 0.5])
    assert frechet_distance(a, a + shift) == pytest.approx(5.25)
    # Scaling by 3 about the mean: tr S (3 − 1)².
    scaled = a.mean(0) + 3 * (a - a.mean(0))
    assert frechet_distance(a, scaled) == pytest.approx(4 * np.cov(a.numpy().T).trace())
    rotation = torch.linalg.qr(random(4, 4, key=8))[0]
    b = 1 + 2 * random(20, 4, key=5)
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(frechet_distance(a, b))


def test_frechet_distance_with_fewer_points_than_features():
    a, b = random(4, 10), 2 * random(5, 10, key=1)
    cov_a, cov_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    # tr (S_a S_b)^½ from the eigenvalues of the product itself, which are real and not negative.
    cross = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0)).sum()
    shift = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = shift + cov_a.trace() + cov_b.trace() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_of_constant_clouds_is_that_of_the_points():
    assert frechet_distance(torch.zeros(3, 2), torch.ones(2, 2)) == pytest.approx(2)
    assert frechet_distance(torch.zeros(3, 2), torch.zeros(3, 2)) == 0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)),
        ((3,), (3, 1)),
        ((3, 1), (3,)),
        ((3, 2), (3, 1)),
        ((1, 2), (3, 2)),
        ((3, 2), (1, 2)),
        ((0, 2), (3, 2)),
    ],
)
def test_frechet_distance_of_bad_clouds_is_an_error(a, b):
    with pytest.raises(ValueError, match=r"^a and b: expected \(points, features\), got "):
        frechet_distance(torch.zeros(a), torch.zeros(b))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_frechet_distance_of_points_that_are_no_numbers_is_an_error(value):
    a = torch.zeros(3, 2)
    a[1, 0] = value
    with pytest.raises(ValueError, match=r"^a and b: expected finite numbers, got NaN or infinity"):
        frechet_distance(a, torch.rand(4, 2))


def test_pixels_in_another_precision_are_measured_in_that_of_the_model():
    model = VAE((1, 3, 4), (5,), 2).double()
    pixels = torch.rand(6, 1, 3, 4, dtype=torch.float64)
    exact, rough = encode_images(model, pixels), encode_images(model, pixels.float())
    for a, b in zip(exact, rough, strict=True):
        assert a.dtype == b.dtype == torch.float64
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_statistics_of_what_is_no_number_are_an_error():
    codes = torch.zeros(3, 2)
    for mu, logvar in ((codes * math.nan, codes), (codes, codes * math.nan)):
        with pytest.raises(ValueError, match=r"^mu and logvar: expected numbers, got NaN$"):
            latent_statistics(mu, logvar)
