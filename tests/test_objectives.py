"""KL, draws, likelihoods and the ELBO against torch.distributions, integrals and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import distributions as D

from vaelib import (
    VAE,
    Autoencoder,
    LinearVAE,
    drop_variables,
    elbo,
    free_bits,
    gaussian_kl,
    iwae_bound,
    reconstruction_log_likelihood,
    sample_posterior,
)
from vaelib.objectives import importance_weights, log_normaliser

few = settings(deadline=None, max_examples=30, database=None)
seed = st.integers(0, 2**31)


def random(*shape, key=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(key), dtype=dtype)


def generator(key=0):
    return torch.Generator().manual_seed(key)


# ---- KL divergence ------------------------------------------------------------------------------


@few
@given(
    key=seed,
    n=st.integers(0, 4),
    latent=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 1.0, 10.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_kl_agrees_with_torch_distributions(key, n, latent, scale, dtype):
    mu = scale * random(n, latent, key=key, dtype=dtype)
    logvar = scale * random(n, latent, key=key + 1, dtype=dtype)
    kl = gaussian_kl(mu, logvar)
    assert kl.shape == (n, latent)
    assert kl.dtype == dtype
    exact = D.kl_divergence(
        D.Normal(mu.double(), logvar.double().mul(0.5).exp()), D.Normal(0.0, 1.0)
    )
    rounding = 1e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(kl.double(), exact, rtol=20 * rounding, atol=rounding)


@pytest.mark.parametrize(("mu", "logvar"), [(0.0, 0.0), (1.3, -2.0), (-0.4, 0.7), (2.0, 1.5)])
def test_kl_agrees_with_the_integral(mu, logvar):
    q = stats.norm(mu, math.exp(logvar / 2))
    integral, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), *q.interval(1 - 1e-14)
    )
    found = gaussian_kl(*torch.tensor([[[mu]], [[logvar]]], dtype=torch.float64))
    assert found.item() == pytest.approx(integral, abs=1e-8)


def test_kl_is_zero_at_the_prior_and_nowhere_else():
    zero = torch.zeros(1, 1)
    assert gaussian_kl(zero, zero).item() == 0
    for mu, logvar in [(1e-2, 0.0), (-1e-2, 0.0), (0.0, 1e-2), (0.0, -1e-2)]:
        assert gaussian_kl(zero + mu, zero + logvar).item() > 0


def test_kl_is_per_image_and_variable_not_summed():
    mu = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    kl = gaussian_kl(mu, torch.zeros(3, 2))
    torch.testing.assert_close(kl, torch.tensor([[0.5, 0.0], [0.0, 2.0], [0.0, 0.0]]))


def test_kl_takes_log_variances_not_log_deviations():
    # σ² = e² gives ½ (e² − 2 − 1); as a log-deviation it would be ½ (e⁴ − 4 − 1).
    found = gaussian_kl(torch.zeros(1, 1), torch.full((1, 1), 2.0)).item()
    assert found == pytest.approx(0.5 * (math.e**2 - 3), rel=1e-6)


def test_kl_is_infinite_without_variance_and_not_nan():
    mu = torch.tensor([[0.0, -3.0]], requires_grad=True)
    kl = gaussian_kl(mu, torch.full((1, 2), -math.inf))
    assert torch.isposinf(kl).all()
    kl.sum().backward()
    torch.testing.assert_close(mu.grad, mu.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_kl_and_its_gradient_are_finite_at_extreme_variances(logvar, dtype):
    lv = torch.full((2, 1), logvar, dtype=dtype, requires_grad=True)
    kl = gaussian_kl(torch.full((2, 1), 1e3, dtype=dtype), lv)
    expected = 0.5 * (1e6 + math.exp(logvar) - logvar - 1)
    torch.testing.assert_close(kl, torch.full_like(kl, expected))
    kl.sum().backward()
    torch.testing.assert_close(lv.grad, torch.full_like(kl, 0.5 * math.expm1(logvar)))


def test_kl_keeps_its_digits_in_float32_near_the_prior():
    size = torch.logspace(-6, -1, 2000)
    logvar = torch.cat([size, -size])[:, None]
    kl = gaussian_kl(torch.zeros_like(logvar), logvar).double()
    exact = logvar.double().square() / 4 + logvar.double() ** 3 / 12 + logvar.double() ** 4 / 48
    # σ² itself rounds at 6e-8, which would drown a KL of 1e-8. Of σ² − 1 only its own digits round.
    allowed = 2**-23 * logvar.double().abs() + logvar.double().abs() ** 5
    assert ((kl - exact).abs() <= allowed).all()


@few
@given(key=seed, n=st.integers(1, 3), latent=st.integers(1, 3))
def test_kl_gradients(key, n, latent):
    mu = (2 * random(n, latent, key=key)).requires_grad_()
    logvar = (2 * random(n, latent, key=key + 1)).requires_grad_()
    assert torch.autograd.gradcheck(gaussian_kl, (mu, logvar))
    by_mu, by_logvar = torch.autograd.grad(gaussian_kl(mu, logvar).sum(), (mu, logvar))
    torch.testing.assert_close(by_mu, mu.detach())
    torch.testing.assert_close(by_logvar, (logvar.detach().exp() - 1) / 2)


def test_kl_of_non_contiguous_tensors():
    mu, logvar = random(3, 5).T, random(3, 5, key=1).T
    torch.testing.assert_close(
        gaussian_kl(mu, logvar), gaussian_kl(mu.contiguous(), logvar.contiguous())
    )


def test_kl_of_different_shapes_is_an_error():
    for other in ((2, 1), (1, 3), (3,), (3, 2)):
        with pytest.raises(ValueError, match=r"^mu and logvar: expected one shape, got "):
            gaussian_kl(torch.zeros(2, 3), torch.zeros(other))


# ---- draws from the posterior -------------------------------------------------------------------


def test_draws_have_the_moments_of_the_posterior():
    n = 100_000
    mu, logvar = torch.tensor([1.5, -2.0, 0.0]).double(), torch.tensor([-3.0, 0.0, 2.0]).double()
    z = sample_posterior(mu.expand(n, 3), logvar.expand(n, 3), generator())
    variance = logvar.exp()
    assert ((z.mean(0) - mu).abs() < 5 * (variance / n).sqrt()).all()
    # The sample variance of n normal draws has a standard error of σ² √(2/n).
    assert ((z.var(0) - variance).abs() < 5 * variance * math.sqrt(2 / n)).all()
    standard = (z - mu) / variance.sqrt()
    assert stats.kstest(standard[:5000, 0].numpy(), "norm").pvalue > 1e-4
    correlation = standard.T @ standard / n
    assert (correlation - correlation.diag().diag()).abs().max() < 5 / math.sqrt(n)
    # Each image has its own noise.
    assert z[:, 0].unique().numel() == n


def test_draws_are_differentiable_in_mu_and_logvar():
    mu, logvar = random(4, 3).requires_grad_(), random(4, 3, key=1).requires_grad_()
    z = sample_posterior(mu, logvar, generator(5))
    by_mu, by_logvar = torch.autograd.grad(z.sum(), (mu, logvar))
    sigma = D.Normal(mu, logvar.exp().sqrt()).stddev.detach()
    noise = (z - mu).detach() / sigma
    torch.testing.assert_close(by_mu, torch.ones(4, 3).double())
    torch.testing.assert_close(by_logvar, noise * sigma / 2)
    assert torch.autograd.gradcheck(lambda m, v: sample_posterior(m, v, generator(5)), (mu, logvar))


def test_draws_depend_on_the_generator_alone():
    mu, logvar = torch.zeros(3, 2), torch.zeros(3, 2)
    first = sample_posterior(mu, logvar, generator(1))
    torch.manual_seed(99)
    assert torch.equal(first, sample_posterior(mu, logvar, generator(1)))
    assert not torch.equal(first, sample_posterior(mu, logvar, generator(2)))
    state = torch.get_rng_state()
    sample_posterior(mu, logvar, generator(1))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_at_the_extremes(dtype):
    mu = torch.tensor([[1.0, -1.0]], dtype=dtype)
    assert torch.equal(sample_posterior(mu, torch.full_like(mu, -math.inf)), mu)
    for logvar in (-50.0, 50.0):
        z = sample_posterior(mu, torch.full_like(mu, logvar))
        assert z.dtype == dtype
        assert z.isfinite().all()
    assert sample_posterior(mu[:0], mu[:0]).shape == (0, 2)


# ---- likelihoods --------------------------------------------------------------------------------


def network(likelihood, shape=(2, 3, 4), latent=3, variance=0.3, hidden=(5,)):
    torch.manual_seed(0)
    return VAE(shape, hidden, latent, likelihood, decoder_variance=variance).double()


def test_bernoulli_likelihood_of_binary_pixels():
    model, z = network("bernoulli"), 3 * random(6, 3)
    x = (torch.rand(6, 2, 3, 4) > 0.5).double()
    expected = D.Bernoulli(probs=model.decode(z)).log_prob(x).sum((1, 2, 3))
    found = reconstruction_log_likelihood(model, x, z)
    assert found.shape == (6,)
    torch.testing.assert_close(found, expected)


def test_bernoulli_likelihood_of_grey_pixels():
    model, z = network("bernoulli"), 3 * random(6, 3)
    x = torch.rand(6, 2, 3, 4, dtype=torch.float64)
    p, grey = model.decode(z).detach().numpy(), x.numpy()
    expected = (grey * np.log(p) + (1 - grey) * np.log1p(-p)).sum((1, 2, 3))
    np.testing.assert_allclose(
        reconstruction_log_likelihood(model, x, z).detach(), expected, rtol=1e-10
    )


@pytest.mark.parametrize("variance", [0.01, 0.3, 1.0, 4.0])
def test_gaussian_likelihood(variance):
    model, z = network("gaussian", variance=variance), random(6, 3)
    x = torch.rand(6, 2, 3, 4, dtype=torch.float64)
    expected = D.Normal(model.decode(z), math.sqrt(variance)).log_prob(x).sum((1, 2, 3))
    found = reconstruction_log_likelihood(model, x, z)
    assert found.shape == (6,)
    torch.testing.assert_close(found, expected)


def test_continuous_bernoulli_likelihood():
    model, z = network("continuous_bernoulli"), 3 * random(6, 3)
    x = torch.rand(6, 2, 3, 4, dtype=torch.float64)
    logits = model.decoder(z).detach().unflatten(1, (2, 3, 4))
    assert logits.abs().max() > 1
    found = reconstruction_log_likelihood(model, x, z)
    assert found.shape == (6,)
    expected = D.ContinuousBernoulli(logits=logits).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(found, expected)


# From 0 over the border of the series to sizes at which torch.distributions still has its digits.
LOGITS = [0.0, 1e-12, 1e-6, 1e-3, 9.9e-3, 1.01e-2, 0.1, 1.0, 7.0]


def test_the_normaliser_agrees_with_torch_distributions_near_0_too():
    logits = torch.tensor([-v for v in LOGITS] + LOGITS).double()
    # log p(x) = η x − log ∫: at x = 0 only the normaliser is left.
    expected = -D.ContinuousBernoulli(logits=logits).log_prob(torch.zeros(()).double())
    torch.testing.assert_close(log_normaliser(logits), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("logit", [-40.0, -3.0, -0.005, 0.005, 3.0, 40.0])
def test_the_normaliser_agrees_with_the_integral(logit):
    peak = max(logit, 0.0)
    integral, _ = integrate.quad(lambda x: math.exp(logit * x - peak), 0, 1, epsabs=0)
    found = log_normaliser(torch.tensor(logit).double()).item()
    assert found == pytest.approx(peak + math.log(integral), abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_normaliser_stays_finite(dtype):
    logits = torch.tensor([-1e4, -100.0, 100.0, 1e4], dtype=dtype, requires_grad=True)
    expected = torch.tensor([0.0, 0.0, 100.0, 1e4]) - logits.detach().abs().log()
    torch.testing.assert_close(log_normaliser(logits), expected.to(dtype))
    (gradient,) = torch.autograd.grad(log_normaliser(logits).sum(), logits)
    torch.testing.assert_close(gradient, torch.tensor([1e-4, 0.01, 0.99, 1 - 1e-4]).to(dtype))


def test_the_slope_of_the_normaliser_is_the_mean_of_the_density():
    logits = torch.tensor([-40.0, *(-v for v in LOGITS), *LOGITS, 40.0]).double().requires_grad_()
    (slope,) = torch.autograd.grad(log_normaliser(logits).sum(), logits)
    for logit, found in zip(logits.tolist(), slope.tolist(), strict=True):
        peak = max(logit, 0.0)
        weight, _ = integrate.quad(lambda x, a=logit, b=peak: math.exp(a * x - b), 0, 1, epsabs=0)
        moment, _ = integrate.quad(
            lambda x, a=logit, b=peak: x * math.exp(a * x - b), 0, 1, epsabs=0
        )
        assert found == pytest.approx(moment / weight, abs=1e-8), f"at the logit {logit}"


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_several_codes_an_image_are_so_many_codes(likelihood):
    model, z = network(likelihood), random(4, 5, 3)
    x = torch.rand(5, 2, 3, 4, dtype=torch.float64)
    found = reconstruction_log_likelihood(model, x, z)
    assert found.shape == (4, 5)
    expected = torch.stack([reconstruction_log_likelihood(model, x, part) for part in z])
    torch.testing.assert_close(found, expected)
    assert reconstruction_log_likelihood(model, x[:0], z[:, :0]).shape == (4, 0)


def test_a_learned_variance_falls_to_the_mean_squared_error():
    torch.manual_seed(0)
    model = VAE(
        (2, 3, 4), (5,), 3, "gaussian", decoder_variance=2.0, learned_variance=True
    ).double()
    x, z = torch.rand(6, 2, 3, 4, dtype=torch.float64), random(6, 3)
    assert model.decoder_variance.item() == pytest.approx(2)
    optimiser = torch.optim.SGD([model.log_decoder_variance], lr=1.0)
    for _ in range(300):
        optimiser.zero_grad()
        (-reconstruction_log_likelihood(model, x, z).mean() / 24).backward()
        optimiser.step()
    # At its optimum η² is the mean squared error, and the fit costs ½ log(2πe MSE) a pixel.
    error = (model.decode(z) - x).square().mean().item()
    assert model.decoder_variance.item() == pytest.approx(error, rel=1e-9)
    nats = -reconstruction_log_likelihood(model, x, z).mean().item() / 24
    assert nats == pytest.approx(0.5 * math.log(2 * math.pi * math.e * error))


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_likelihoods_differentiate_and_take_any_batch(likelihood):
    model, z = network(likelihood), random(2, 3).requires_grad_()
    x = torch.rand(2, 2, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: reconstruction_log_likelihood(model, x, z), (z,))
    assert reconstruction_log_likelihood(model, x[:1], z[:1]).shape == (1,)
    assert reconstruction_log_likelihood(model, x[:0], z[:0]).shape == (0,)
    turned = x.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
    assert not turned.is_contiguous()
    torch.testing.assert_close(
        reconstruction_log_likelihood(model, turned, z), reconstruction_log_likelihood(model, x, z)
    )


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_bernoulli_likelihood_of_a_sure_decoder_stays_finite(logit):
    model = VAE((1, 1, 2), (), 1)
    with torch.no_grad():
        model.decoder[0].weight.zero_()
        model.decoder[0].bias.fill_(logit)
    x = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    # One of the two pixels is missed by the whole logit, the other is right.
    assert reconstruction_log_likelihood(model, x, torch.zeros(1, 1)).item() == pytest.approx(-1e4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
@pytest.mark.parametrize("codes", [(1, 3), (4, 3), (2, 1, 3), (3, 2, 3)])
def test_images_and_codes_must_be_as_many(likelihood, codes):
    x = torch.rand(3, 2, 3, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^x and z: expected images \(2, 3, 4\) and one code"):
        reconstruction_log_likelihood(network(likelihood), x, random(*codes))


# ---- the ELBO -----------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0, torch.tensor([0.0, 1.0, 2.5]).double()])
@pytest.mark.parametrize("sample", [True, False])
def test_elbo_is_its_parts(likelihood, beta, sample):
    model = network(likelihood)
    x = torch.rand(5, 2, 3, 4, dtype=torch.float64)
    found = elbo(model, x, beta, generator(3), sample)
    assert found.shape == (5,)
    mu, logvar = model.encode(x)
    posterior = D.Normal(mu, (logvar / 2).exp())
    noise = random(5, 3, key=3)
    z = mu + posterior.stddev * noise if sample else mu
    if likelihood == "bernoulli":
        logits = model.decoder(z).unflatten(1, (2, 3, 4))
        p = logits.sigmoid()
        fit = x * p.log() + (1 - x) * (1 - p).log()
    else:
        fit = D.Normal(model.decode(z), math.sqrt(0.3)).log_prob(x)
    kl = D.kl_divergence(posterior, D.Normal(0.0, 1.0))
    expected = torch.stack(
        [
            fit[i].sum() - sum((beta * torch.ones(3))[j] * kl[i, j] for j in range(3))
            for i in range(5)
        ]
    )
    torch.testing.assert_close(found, expected)


def test_elbo_defaults_to_beta_one_and_one_draw():
    model, x = network("gaussian"), torch.rand(5, 2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(
        elbo(model, x, generator=generator(1)), elbo(model, x, 1.0, generator(1), True)
    )
    assert not torch.equal(
        elbo(model, x, generator=generator(1)), elbo(model, x, generator=generator(2))
    )


def test_elbo_gradients_by_finite_differences():
    model, x = network("bernoulli"), torch.rand(2, 2, 3, 4, dtype=torch.float64)
    names = [name for name, _ in model.named_parameters()]
    values = tuple(p.detach().clone().requires_grad_() for p in model.parameters())

    class Bound(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self):
            return elbo(self.model, x, 2.0, generator(7))

    def function(*values):
        parameters = {f"model.{name}": value for name, value in zip(names, values, strict=True)}
        return torch.func.functional_call(Bound(), parameters, ())

    assert torch.autograd.gradcheck(function, values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-50.0, 50.0])
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
def test_elbo_and_its_gradients_are_finite_at_extreme_variances(likelihood, logvar, dtype):
    model = VAE((1, 2, 2), (4,), 1, likelihood).to(dtype)
    with torch.no_grad():
        model.logvar.weight.zero_()
        model.logvar.bias.fill_(logvar)
    value = elbo(model, torch.rand(1, 1, 2, 2, dtype=dtype), generator=generator())
    assert value.dtype == dtype
    assert value.isfinite().all()
    value.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_elbo_of_an_empty_batch():
    assert elbo(network("bernoulli"), torch.zeros(0, 2, 3, 4).double()).shape == (0,)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_deterministic_autoencoder_has_no_elbo(beta):
    model = Autoencoder((1, 2, 2), (3,), 2)
    with pytest.raises(ValueError, match=r"^model: expected a VAE, got Autoencoder"):
        elbo(model, torch.rand(3, 1, 2, 2), beta)


def test_elbo_of_bad_images_is_an_error():
    with pytest.raises(ValueError, match=r"^x: "):
        elbo(network("bernoulli"), torch.full((1, 2, 3, 4), math.nan).double())


def linear_gaussian(mistake=0.0):
    """A linear decoder with orthogonal columns: its exact posterior is Gaussian and diagonal."""
    variance = 0.2
    model = LinearVAE((1, 1, 3), latent=2, decoder_variance=variance).double()
    w = torch.tensor([[0.6, 0.0], [0.0, 0.9], [0.8, 0.0]]).double()
    b = torch.tensor([0.3, 0.5, 0.2]).double()
    precision = 1 + (w * w).sum(0) / variance
    with torch.no_grad():
        model.decoder[0].weight.copy_(w)
        model.decoder[0].bias.copy_(b)
        model.mu.weight.copy_(w.T / variance / precision[:, None])
        model.mu.bias.copy_(-(w.T @ b) / variance / precision + mistake)
        model.logvar.bias.copy_(-precision.log() + mistake)
    marginal = D.MultivariateNormal(b, w @ w.T + variance * torch.eye(3).double())
    return model, marginal


@pytest.mark.parametrize("mistake", [0.0, 0.3, -0.5])
def test_elbo_bounds_the_exact_log_likelihood_and_meets_it_at_the_exact_posterior(mistake):
    model, marginal = linear_gaussian(mistake)
    n = 40_000
    for x in torch.tensor([[0.9, 0.1, 0.7], [0.2, 1.0, 0.0]]).double():
        with torch.no_grad():
            draws = elbo(model, x.expand(n, 1, 1, 3), generator=generator(1))
        mean, error = draws.mean().item(), (draws.std() / math.sqrt(n)).item()
        exact = marginal.log_prob(x).item()
        assert mean < exact + 5 * error
        precision = 1 + model.decoder[0].weight.square().sum(0) / 0.2
        # The gap is the divergence from the exact posterior, whose precision is known.
        off = mistake * torch.ones(2).double()
        ratio = off.exp()
        gap = 0.5 * (ratio - off - 1 + off.square() * precision).sum().item()
        assert mean == pytest.approx(exact - gap, abs=5 * error)
        assert error < 0.02


def test_a_beta_above_one_lowers_the_bound_by_the_kl():
    model, x = network("gaussian"), torch.rand(5, 2, 3, 4, dtype=torch.float64)
    one, two = (elbo(model, x, beta, generator(1)) for beta in (1.0, 3.0))
    mu, logvar = model.encode(x)
    kl = D.kl_divergence(D.Normal(mu, (logvar / 2).exp()), D.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(one - two, 2 * kl)


# ---- the importance-weighted bound --------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_importance_weights_agree_with_torch_distributions_on_the_same_draws(likelihood):
    model, x = network(likelihood), torch.rand(5, 2, 3, 4, dtype=torch.float64)
    found = importance_weights(model, x, 4, generator(3))
    assert found.shape == (4, 5)
    mu, logvar = model.encode(x)
    posterior = D.Normal(mu, (logvar / 2).exp())
    z = mu + posterior.stddev * random(4, 5, 3, key=3)
    mean = model.decode(z.flatten(0, 1)).unflatten(0, (4, 5))
    if likelihood == "bernoulli":
        fit = x * mean.log() + (1 - x) * (1 - mean).log()
    else:
        fit = D.Normal(mean, math.sqrt(0.3)).log_prob(x)
    ratio = D.Normal(0.0, 1.0).log_prob(z) - posterior.log_prob(z)
    expected = fit.sum((2, 3, 4)) + ratio.sum(2)
    torch.testing.assert_close(found, expected)
    bound = iwae_bound(model, x, 4, generator(3))
    torch.testing.assert_close(bound, expected.exp().mean(0).log())


def test_iwae_is_the_elbo_with_one_draw_and_rises_to_the_log_likelihood_with_more():
    model, marginal = linear_gaussian(mistake=0.5)
    x, n = torch.tensor([0.9, 0.1, 0.7]).double(), 20_000
    many = x.expand(n, 1, 1, 3)
    with torch.no_grad():
        reference = elbo(model, many, generator=generator(1))
        bounds = [iwae_bound(model, many, k, generator(k)) for k in (1, 4, 16, 64)]
    means = [bound.mean().item() for bound in bounds]
    errors = [bound.std().item() / math.sqrt(n) for bound in bounds]
    both = math.hypot(errors[0], reference.std().item() / math.sqrt(n))
    assert means[0] == pytest.approx(reference.mean().item(), abs=5 * both)
    exact = marginal.log_prob(x).item()
    for i in range(3):
        assert means[i] < means[i + 1] - 5 * math.hypot(errors[i], errors[i + 1])
    assert means[-1] < exact + 5 * errors[-1]
    assert exact - means[-1] < 0.15 * (exact - means[0])


@pytest.mark.parametrize("samples", [1, 3])
def test_iwae_is_exact_with_the_exact_posterior_whatever_the_draws(samples):
    model, marginal = linear_gaussian()
    x = torch.tensor([[0.9, 0.1, 0.7], [0.2, 1.0, 0.0]]).double()
    exact = marginal.log_prob(x)
    weights = importance_weights(model, x.reshape(2, 1, 1, 3), samples, generator(samples))
    torch.testing.assert_close(weights, exact.expand(samples, 2))
    bound = iwae_bound(model, x.reshape(2, 1, 1, 3), samples, generator(samples))
    torch.testing.assert_close(bound, exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar", [-50.0, 50.0])
def test_iwae_and_its_gradients_are_finite_at_extreme_variances(logvar, dtype):
    model = VAE((1, 2, 2), (4,), 1).to(dtype)
    with torch.no_grad():
        model.logvar.weight.zero_()
        model.logvar.bias.fill_(logvar)
    value = iwae_bound(model, torch.rand(1, 1, 2, 2, dtype=dtype), 3, generator())
    assert value.dtype == dtype
    assert value.isfinite().all()
    value.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_iwae_refuses_what_has_no_bound():
    x = torch.rand(3, 2, 3, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^model: expected a VAE, got Autoencoder"):
        iwae_bound(Autoencoder((2, 3, 4), (3,), 2).double(), x, 5)
    for samples in (0, -1):
        with pytest.raises(ValueError, match=r"^samples: expected at least 1, got "):
            iwae_bound(network("bernoulli"), x, samples)
    with pytest.raises(ValueError, match=r"^x: "):
        iwae_bound(network("bernoulli"), x + 1, 5)


# ---- free bits and dropped variables ------------------------------------------------------------


def test_free_bits_charge_the_floor_below_it_and_the_kl_above():
    # Means over the batch: 0.2 below the floor, 0.9 above it though one image is below.
    kl = torch.tensor([[0.1, 0.2], [0.3, 1.6]]).double().requires_grad_()
    charged = free_bits(kl, 0.5)
    torch.testing.assert_close(charged, torch.tensor([[0.5, 0.2], [0.5, 1.6]]).double())
    loss = charged.sum(1).mean()
    assert loss.item() == pytest.approx(0.5 + 0.9)
    (gradient,) = torch.autograd.grad(loss, kl)
    assert gradient.tolist() == [[0.0, 0.5], [0.0, 0.5]]


@few
@given(key=seed, n=st.integers(1, 5), latent=st.integers(1, 4), nats=st.floats(0, 3))
def test_free_bits_are_the_sum_of_the_larger_of_floor_and_mean_kl(key, n, latent, nats):
    kl = random(n, latent, key=key).square()
    expected = np.maximum(nats, kl.numpy().mean(0)).sum()
    charged = free_bits(kl, nats)
    assert charged.dtype == kl.dtype
    assert charged.sum(1).mean().item() == pytest.approx(expected)


def test_no_free_bits_charge_the_kl_itself():
    kl = random(4, 3).square()
    assert torch.equal(free_bits(kl, 0.0), kl)
    assert free_bits(kl.float(), 0.1).dtype == torch.float32


@pytest.mark.parametrize("nats", [-0.1, math.nan])
def test_negative_free_bits_are_an_error(nats):
    with pytest.raises(ValueError, match=r"^nats: expected a number >= 0, got "):
        free_bits(torch.ones(2, 2), nats)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(20_000, 3), (5, 4000, 3)])
def test_variables_are_dropped_at_their_rate_and_the_rest_is_not_scaled(rate, shape):
    z = random(*shape).requires_grad_()
    left = drop_variables(z, rate, generator(4))
    dropped = left == 0
    error = math.sqrt(rate * (1 - rate) / dropped.numel())
    assert dropped.double().mean().item() == pytest.approx(rate, abs=5 * error)
    assert torch.equal(left[~dropped], z[~dropped])
    # Each number for itself: of the pairs of an image rate² fall together.
    both = (dropped[..., 0] & dropped[..., 1]).double()
    assert both.mean().item() == pytest.approx(rate**2, abs=5 * 0.5 / math.sqrt(both.numel()))
    (gradient,) = torch.autograd.grad(left.sum(), z)
    assert torch.equal(gradient, (~dropped).double())
    assert torch.equal(left, drop_variables(z, rate, generator(4)))
    assert not torch.equal(left, drop_variables(z, rate, generator(5)))


def test_the_chances_are_drawn_in_the_precision_of_z():
    z = random(50, 3).double()
    kept = torch.rand(50, 3, generator=generator(4), dtype=torch.float64) >= 0.3
    assert torch.equal(drop_variables(z, 0.3, generator(4)) != 0, kept)


def test_the_chances_are_drawn_where_z_is():
    # On the meta device, which every machine has: a draw elsewhere would not fit.
    assert drop_variables(torch.ones(5, 3, device="meta"), 0.3).device.type == "meta"


def test_at_the_floor_itself_information_is_free():
    kl = torch.full((4, 2), 0.5, dtype=torch.float64, requires_grad=True)
    charged = free_bits(kl, 0.5)
    assert torch.equal(charged, kl)
    (gradient,) = torch.autograd.grad(charged.sum(), kl)
    assert torch.equal(gradient, torch.zeros_like(kl))


def test_nothing_is_dropped_at_rate_0():
    z = random(1000, 3)
    assert torch.equal(drop_variables(z, 0.0), z)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_that_is_no_probability_below_1_is_an_error(rate):
    with pytest.raises(ValueError, match=r"^rate: expected a probability below 1, got "):
        drop_variables(torch.ones(2, 2), rate)
