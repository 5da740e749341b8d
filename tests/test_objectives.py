"""KL, draws, likelihoods and the ELBO against torch.distributions, integrals and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Exact, network, normal, pixels, seeded
from scipy import integrate, stats
from torch import distributions as D

from vaelib import (
    VAE,
    Autoencoder,
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    elbo,
    gaussian_kl,
    importance_weights,
    reconstruction_log_likelihood,
    sample_posterior,
)
from vaelib.likelihoods import CLIPPED_LOGIT, log_normaliser

few = settings(deadline=None, max_examples=30, database=None)
LIKELIHOODS = [
    "bernoulli",
    "continuous_bernoulli",
    "clipped_continuous_bernoulli",
    "gaussian",
]
PRIOR = D.Normal(0.0, 1.0)


def posterior(mu, logvar):
    return D.Normal(mu, (logvar / 2).exp())


# ---- KL divergence ------------------------------------------------------------------------------


@few
@given(
    key=st.integers(0, 2**31),
    n=st.integers(0, 5),
    latent=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 1.0, 10.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_kl_agrees_with_torch_distributions(key, n, latent, scale, dtype):
    mu = scale * normal(n, latent, key=key, dtype=dtype)
    logvar = scale * normal(n, latent, key=key + 1, dtype=dtype)
    kl = gaussian_kl(mu, logvar)
    assert (kl.shape, kl.dtype) == ((n, latent), dtype)
    exact = D.kl_divergence(posterior(mu.double(), logvar.double()), PRIOR)
    rounding = 1e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(kl.double(), exact, rtol=20 * rounding, atol=rounding)


@pytest.mark.parametrize(("mu", "logvar"), [(0.0, 0.0), (1.3, -2.0), (-0.4, 0.7), (2.0, 1.5)])
def test_kl_agrees_with_the_integral(mu, logvar):
    q = stats.norm(mu, math.exp(logvar / 2))
    integral, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), *q.interval(1 - 1e-14)
    )
    kl = gaussian_kl(*torch.tensor([[[mu]], [[logvar]]], dtype=torch.float64))
    assert kl.item() == pytest.approx(integral, abs=1e-8)


def test_kl_keeps_its_digits_in_float32_near_the_prior():
    assert gaussian_kl(torch.zeros(1), torch.zeros(1)) == 0
    size = torch.logspace(-6, -1, 2000)
    logvar = torch.cat([size, -size])
    kl = gaussian_kl(torch.zeros_like(logvar), logvar).double()
    v = logvar.double()
    # σ² itself rounds at 6e-8, which would drown a KL of 1e-8. Of σ² − 1 only its own digits round.
    allowed = 2**-23 * v.abs() + v.abs() ** 5
    assert ((kl - (v**2 / 4 + v**3 / 12 + v**4 / 48)).abs() <= allowed).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_kl_and_its_gradient_are_finite_at_extreme_variances(logvar, dtype):
    lv = torch.full((2, 1), logvar, dtype=dtype, requires_grad=True)
    kl = gaussian_kl(torch.full((2, 1), 1e3, dtype=dtype), lv)
    torch.testing.assert_close(kl, torch.full_like(kl, (1e6 + math.exp(logvar) - logvar - 1) / 2))
    kl.sum().backward()
    torch.testing.assert_close(lv.grad, torch.full_like(kl, 0.5 * math.expm1(logvar)))


def test_kl_is_infinite_without_variance_and_nan_with_an_infinite_one():
    mu = torch.tensor([[0.0, -3.0]], requires_grad=True)
    kl = gaussian_kl(mu, torch.full((1, 2), -math.inf))
    assert torch.isposinf(kl).all()
    kl.sum().backward()
    torch.testing.assert_close(mu.grad, mu.detach())
    assert gaussian_kl(mu, torch.full((1, 2), math.inf)).isnan().all()


# ---- draws from the posterior -------------------------------------------------------------------


def test_draws_have_the_moments_of_the_posterior_and_are_independent():
    n = 100_000
    mu, logvar = torch.tensor([[1.5, -2.0, 0.0], [-3.0, 0.0, 2.0]]).double()
    z = sample_posterior(mu.expand(n, 3), logvar.expand(n, 3), seeded())
    noise = (z - mu) / (logvar / 2).exp()
    assert noise.mean(0).abs().max() < 5 / math.sqrt(n)
    assert (noise.T.cov() - torch.eye(3)).abs().max() < 5 * math.sqrt(2 / n)
    assert stats.kstest(noise[:5000, 0].numpy(), "norm").pvalue > 1e-4
    assert z[:, 0].unique().numel() == n


def test_draws_are_differentiable_in_mu_and_logvar():
    mu, logvar = normal(5, 4).requires_grad_(), normal(5, 4, key=1).requires_grad_()
    z = sample_posterior(mu, logvar, seeded(5))
    by_mu, by_logvar = torch.autograd.grad(z.sum(), (mu, logvar))
    torch.testing.assert_close(by_mu, torch.ones(5, 4).double())
    torch.testing.assert_close(by_logvar, (z - mu) / 2)  # of σ ε by log σ²


def test_draws_depend_on_the_generator_alone():
    mu = torch.zeros(5, 4)
    first = sample_posterior(mu, mu, seeded(1))
    state = torch.manual_seed(99).get_state()
    assert torch.equal(first, sample_posterior(mu, mu, seeded(1)))
    assert not torch.equal(first, sample_posterior(mu, mu, seeded(2)))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(sample_posterior(first, torch.full_like(mu, -math.inf)), first)


# ---- likelihoods --------------------------------------------------------------------------------


def reference(likelihood, output, x):
    """log P(x|z) in nats by other code, summed over all pixels."""
    if likelihood == "continuous_bernoulli":
        return D.ContinuousBernoulli(logits=output).log_prob(x).sum(-1)
    if likelihood == "clipped_continuous_bernoulli":
        return (
            D.ContinuousBernoulli(probs=output.sigmoid().clamp(1e-4, 1 - 1e-4)).log_prob(x).sum(-1)
        )
    if likelihood == "gaussian":
        return D.Normal(output, math.sqrt(0.4)).log_prob(x).sum(-1)
    p = torch.from_numpy(1 / (1 + np.exp(-output.detach().numpy())))
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("binary", [False, True])
def test_likelihoods_agree_with_torch_distributions(likelihood, binary):
    model = network(likelihood=likelihood)
    x, z = pixels(), 3 * normal(3, 5, 4)
    x = x.round() if binary else x
    expected = reference(likelihood, model.decoder(z), x.flatten(1))
    if binary and likelihood == "bernoulli":
        expected = D.Bernoulli(logits=model.decoder(z)).log_prob(x.flatten(1)).sum(-1)
    nats = reconstruction_log_likelihood(model, x, z)
    assert nats.shape == (3, 5)
    torch.testing.assert_close(nats, expected)
    torch.testing.assert_close(reconstruction_log_likelihood(model, x, z[1]), expected[1])


@pytest.mark.parametrize("variance", [0.01, 4.0, torch.tensor(0.3)])
def test_the_variance_of_a_gaussian_is_the_same_for_all_pixels(variance):
    output, x = normal(5, 6), pixels(5, 6)
    expected = D.Normal(output, math.sqrt(variance)).log_prob(x).sum(-1)
    found = Gaussian(variance).log_prob(output, x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert torch.equal(Gaussian(variance).mean(output), output)
    assert torch.equal(Gaussian().log_prob(output, x), Gaussian(1.0).log_prob(output, x))
    double = torch.tensor(0.3, dtype=torch.float64)
    assert Gaussian(double).log_prob(output.float(), x.float()).dtype == torch.float32


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_likelihoods_differentiate_at_any_layout(likelihood):
    model, x = network(likelihood=likelihood), pixels(2, 1, 3, 2).transpose(2, 3)
    z = normal(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: reconstruction_log_likelihood(model, x, z), (z,))
    assert torch.autograd.gradcheck(model.decode, (z,))


# From 0 over the border of the series to where torch.distributions has lost its digits.
LOGITS = [0.0, 1e-12, 1e-6, 1e-3, 9.9e-3, 1.01e-2, 0.1, 1.0, 7.0, 40.0, 700.0]


@pytest.mark.parametrize("logit", [*LOGITS, *(-logit for logit in LOGITS)])
def test_the_continuous_bernoulli_is_normalised_and_its_mean_is_the_integral(logit):
    # All the weight is within a few times 1/|λ| of one end.
    peak, width = max(logit, 0.0), min(1.0, 50 / max(abs(logit), 1e-9))
    start = 1 - width if logit > 0 else 0.0
    weight, moment = (
        integrate.quad(lambda t: t**k * math.exp(logit * t - peak), start, start + width)[0]  # noqa: B023
        for k in (0, 1)
    )
    output = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    nats = log_normaliser(output)
    assert nats.item() == pytest.approx(peak + math.log(weight), abs=1e-10)
    (slope,) = torch.autograd.grad(nats, output)
    assert slope.item() == pytest.approx(moment / weight, abs=1e-8)
    mean = ContinuousBernoulli().mean(output.detach())
    assert mean.item() == pytest.approx(moment / weight, abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Bernoulli, ContinuousBernoulli])
def test_sure_decoders_have_finite_likelihoods_and_means(kind, dtype):
    output = torch.tensor([-1e4, -100.0, 100.0, 1e4], dtype=dtype, requires_grad=True)
    nats = kind().log_prob(output[:, None], torch.ones(4, 1, dtype=dtype))
    # The pixel is white: a decoder that is sure of black misses it by the whole logit.
    normaliser = output.abs().log() if kind is ContinuousBernoulli else torch.zeros(4)
    expected = output.clamp(max=0) + normaliser
    torch.testing.assert_close(nats, expected.to(dtype), atol=1e-3, rtol=1e-6)
    nats.sum().backward()
    assert output.grad.isfinite().all()
    mean = kind().mean(1e16 * output)
    assert ((mean >= 0) & (mean <= 1)).all()


def test_a_clipped_continuous_bernoulli_stops_where_its_authors_do():
    output = torch.tensor([-50.0, -9.3, -9.2, 9.2, 9.3, 50.0], dtype=torch.float64)
    output.requires_grad_()
    clipped, x = ContinuousBernoulli(CLIPPED_LOGIT), torch.zeros(6, 1).double()
    chance = output.detach().sigmoid().clamp(1e-4, 1 - 1e-4)
    expected = D.ContinuousBernoulli(probs=chance)
    nats = clipped.log_prob(output[:, None], x)
    torch.testing.assert_close(nats, expected.log_prob(x[:, 0]))
    torch.testing.assert_close(clipped.mean(output), expected.mean)
    nats.sum().backward()
    assert (output.grad != 0).tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("codes", [(1, 4), (6, 4), (3, 1, 4), (5, 3, 4)])
def test_images_and_codes_must_be_as_many(likelihood, codes):
    with pytest.raises(ValueError, match=r"^x and z"):
        reconstruction_log_likelihood(network(likelihood=likelihood), pixels(), normal(*codes))


@pytest.mark.parametrize("bad", [math.nan, 255.0, -0.5])
def test_pixels_out_of_range_have_no_likelihood(bad):
    x = pixels()
    x[2, 0, 1, 1] = bad
    for likelihood in LIKELIHOODS[:3]:
        with pytest.raises(ValueError, match=r"^x"):
            reconstruction_log_likelihood(network(likelihood=likelihood), x, normal(5, 4))


def test_half_precision_sums_its_pixels_in_float32():
    # 5,000 pixels that cost 20 nats each: 100,000, and half precision ends at 65,504.
    class Sure:
        likelihood = Bernoulli()

        def decoder(self, z):
            return torch.full((len(z), 5000), -20.0, dtype=z.dtype)

    for dtype in (torch.float16, torch.bfloat16):
        x, z = torch.ones(2, 1, 50, 100, dtype=dtype), torch.zeros(2, 1, dtype=dtype)
        nats = reconstruction_log_likelihood(Sure(), x, z)
        assert nats.dtype == torch.float32
        assert nats.tolist() == pytest.approx([-100_000] * 2)


# ---- the ELBO -----------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0, torch.tensor([0.0, 1.0, 2.5, 4.0]).double()])
def test_elbo_is_its_parts(likelihood, beta):
    model, x = network(likelihood=likelihood), pixels()
    q = posterior(*model.encode(x))
    z = q.mean + q.stddev * normal(5, 4, key=3)
    kl = D.kl_divergence(q, PRIOR) @ (beta * torch.ones(4).double())
    expected = reference(likelihood, model.decoder(z), x.flatten(1)) - kl
    torch.testing.assert_close(elbo(model, x, beta, seeded(3)), expected)


def test_elbo_defaults_to_beta_one():
    model, x = network(), pixels()
    assert torch.equal(elbo(model, x, generator=seeded(1)), elbo(model, x, 1.0, seeded(1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-50.0, 50.0])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_bounds_and_their_gradients_are_finite_at_extreme_variances(likelihood, logvar, dtype):
    model = network(likelihood=likelihood, latent=1).to(dtype)
    with torch.no_grad():
        model.logvar.weight.zero_()
        model.logvar.bias.fill_(logvar)
    x = pixels().to(dtype)
    for value in (elbo(model, x), importance_weights(model, x, 3)):
        assert value.dtype == dtype
        assert value.isfinite().all()
        model.zero_grad()
        value.sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_deterministic_autoencoder_has_an_infinite_kl():
    assert torch.isneginf(elbo(network(Autoencoder), pixels())).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_importance_weights_agree_with_torch_distributions_on_the_same_draws(likelihood):
    model, x = network(likelihood=likelihood), pixels()
    q = posterior(*model.encode(x))
    z = q.mean + q.stddev * normal(3, 5, 4, key=3)
    ratio = (PRIOR.log_prob(z) - q.log_prob(z)).sum(-1)
    expected = reference(likelihood, model.decoder(z), x.flatten(1)) + ratio
    weights = importance_weights(model, x, 3, seeded(3))
    assert weights.shape == (3, 5)
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("mistake", [0.3, -0.5])
def test_elbo_is_the_exact_log_likelihood_less_the_divergence_of_the_posterior(mistake):
    # From N(μ, ⅓), which is the exact one.
    gap = 0.5 * (math.exp(mistake) - mistake - 1 + 3 * mistake**2)
    for x in torch.tensor([[0.9], [-2.0]]).double():
        draws = elbo(Exact(mistake), x.expand(40_000, 1), generator=seeded(1))
        error = (draws.std() / math.sqrt(len(draws))).item()
        expected = Exact.log_likelihood(x).item() - gap
        assert draws.mean().item() == pytest.approx(expected, abs=5 * error)
        assert error < gap / 6


def test_every_importance_weight_is_exact_with_the_exact_posterior():
    x = normal(5, 1)
    weights = importance_weights(Exact(), x, 3, seeded(4))
    torch.testing.assert_close(weights, Exact.log_likelihood(x).expand(3, 5))


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_no_images_have_no_nats(kind):
    model, x = network(kind), pixels(0, 1, 2, 3)
    assert reconstruction_log_likelihood(model, x, torch.zeros(3, 0, 4).double()).shape == (3, 0)
    assert elbo(model, x).shape == (0,)
