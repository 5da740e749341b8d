"""Estimates against exact densities, integrals, mixtures of torch.distributions and SciPy."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import Exact, network, normal, pixels, seeded
from scipy import integrate, stats
from torch import distributions as D

from vaelib import Autoencoder, estimates, frechet_distance, log_likelihood, marginal_decomposition

few = settings(deadline=None, max_examples=25, database=None)

# ---- the density of a Gaussian ------------------------------------------------------------------


def test_the_density_is_that_of_torch():
    z, mu, logvar = (normal(3, 4, key=key) for key in range(3))
    expected = D.Normal(mu, (logvar / 2).exp()).log_prob(z)
    torch.testing.assert_close(
        estimates._log_normal((z - mu) / (logvar / 2).exp(), logvar), expected
    )


# ---- log-likelihood -----------------------------------------------------------------------------


def test_log_likelihood_is_as_exact_as_its_standard_error_says():
    x = normal(500, 1, dtype=torch.float32)
    nats, error = log_likelihood(Exact(0.4), x, 1000, seeded(1))
    assert nats.shape == error.shape == (500,)
    scores = (nats - Exact.log_likelihood(x)) / error
    assert scores.abs().max() < 4.5
    # Standard errors of the mean and of the deviation of 500 normal scores: 0.045 and 0.032.
    assert abs(scores.mean()) < 0.2
    assert scores.std().item() == pytest.approx(1, abs=0.15)
    assert 0.001 < error.min() < error.max() < 0.05


@pytest.mark.parametrize("samples", [1, 3])
def test_one_draw_suffices_where_the_posterior_is_exact(samples):
    x = normal(20, 1, dtype=torch.float32)
    nats, error = log_likelihood(Exact(), x, samples, seeded())
    torch.testing.assert_close(nats, Exact.log_likelihood(x))
    assert error.max() < 1e-5


def test_log_likelihood_of_a_bernoulli_network_agrees_with_the_integral():
    model, x = network(latent=1), pixels(3, 1, 2, 3)
    with torch.no_grad():  # draws that reach wherever the exact posterior does
        model.logvar.weight.zero_()
        model.logvar.bias.zero_()
    nats, error = log_likelihood(model, x, 12_000, seeded(1))
    assert error.max() < 0.05
    grid = torch.linspace(-9, 9, 4001).double()
    p = model.decode(grid[:, None]).detach()
    for i in range(3):
        log = (x[i] * p.log() + (1 - x[i]) * (1 - p).log()).sum((1, 2, 3))
        density = log.exp().numpy() * stats.norm.pdf(grid.numpy())
        exact = math.log(integrate.simpson(density, x=grid.numpy()))
        assert nats[i].item() == pytest.approx(exact, abs=5 * error[i].item())


@few
@given(
    n=st.integers(1, 12),
    samples=st.integers(1, 12),
    decodes=st.integers(1, 15),
    batch=st.integers(1, 15),
)
@example(n=7, samples=1, decodes=10, batch=3)
@example(n=3, samples=11, decodes=4, batch=9)
def test_each_draw_of_each_image_counts_once(n, samples, decodes, batch):
    x, drawn = normal(n, 1, dtype=torch.float32), {}

    def numbered_weights(model, part, count, generator):
        """Draw number i of any image weighs i, times e to its pixel."""
        assert count * len(part) <= decodes, "more codes at once than there is memory for"
        start = drawn.get(part[0].item(), 0)
        drawn.update(dict.fromkeys(part.flatten().tolist(), start + count))
        return torch.arange(start + 1, start + count + 1).log()[:, None] + part[:, 0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimates, "DECODES", decodes)
        patch.setattr(estimates, "BATCH", batch)
        patch.setattr(estimates, "importance_weights", numbered_weights)
        nats, error = log_likelihood(Exact(), x, samples)
    assert drawn == dict.fromkeys(x.flatten().tolist(), samples)
    weights = np.arange(1, samples + 1)
    np.testing.assert_allclose(nats, x[:, 0] + math.log(weights.mean()), rtol=1e-5, atol=1e-6)
    relative = weights.std() / weights.mean() / math.sqrt(samples)
    np.testing.assert_allclose(error, np.full(n, relative), rtol=1e-4, atol=1e-6)


def test_a_hundred_draws_that_depend_on_the_generator_alone():
    model, x = network(), pixels()
    first = log_likelihood(model, x, generator=seeded(1))
    torch.manual_seed(99)
    assert all(map(torch.equal, first, log_likelihood(model, x, 100, seeded(1))))
    assert not torch.equal(first[0], log_likelihood(model, x, 100, seeded(2))[0])


def test_what_has_no_log_likelihood_is_an_error():
    for samples in (0, -1, 2.5):
        with pytest.raises(ValueError, match=r"^samples"):
            log_likelihood(network(), pixels(), samples)
    with pytest.raises(ValueError, match=r"^model"):
        log_likelihood(network(Autoencoder), pixels())


# ---- decomposition of the mean KL ---------------------------------------------------------------


@few
@given(
    key=st.integers(0, 2**31),
    n=st.integers(1, 12),
    latent=st.integers(1, 3),
    batch=st.integers(1, 15),
)
def test_decomposition_agrees_with_torch_mixtures_on_the_same_draws(key, n, latent, batch):
    mu, logvar = normal(n, latent, key=key), normal(n, latent, key=key + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimates, "BATCH", batch)
        parts = marginal_decomposition(mu, logvar, seeded(key))
    posteriors = D.Independent(D.Normal(mu, (logvar / 2).exp()), 1)
    z = mu + posteriors.stddev * normal(n, latent, key=key)
    mixture = D.MixtureSameFamily(D.Categorical(torch.ones(n).double()), posteriors)
    prior = D.Independent(D.Normal(torch.zeros(latent).double(), 1.0), 1)
    log_q, log_marginal, log_p = (d.log_prob(z) for d in (posteriors, mixture, prior))
    torch.testing.assert_close(parts.mutual_information, (log_q - log_marginal).mean())
    torch.testing.assert_close(parts.marginal_kl, (log_marginal - log_p).mean())
    kl = D.kl_divergence(posteriors, prior.expand((n,)))
    torch.testing.assert_close(parts.mean_kl, kl.mean())


def test_a_mixture_on_the_line_agrees_with_the_integrals_and_its_standard_errors_are_right():
    mu = torch.tensor([[-1.5], [-0.2], [0.4], [2.0]]).double().repeat(10, 1)
    logvar = torch.tensor([[-1.0], [-2.0], [0.3], [-0.5]]).double().repeat(10, 1)
    normals = [
        stats.norm(m.item(), math.exp(v / 2)) for m, v in zip(mu[:4], logvar[:4], strict=True)
    ]

    def density(z):
        return sum(q.pdf(z) for q in normals) / 4

    entropy, _ = integrate.quad(lambda z: -density(z) * math.log(density(z)), -9, 9)
    divergence, _ = integrate.quad(
        lambda z: density(z) * (math.log(density(z)) - stats.norm.logpdf(z)), -9, 9
    )
    information = entropy - sum(q.entropy() for q in normals) / 4
    noise = seeded(2)
    parts = [marginal_decomposition(mu, logvar, noise) for _ in range(400)]
    assert parts[0].mean_kl.item() == pytest.approx(float(information + divergence), abs=1e-6)
    for name, exact, own_error in (
        ("mutual_information", information, "information_error"),
        ("marginal_kl", divergence, "marginal_error"),
    ):
        draws = torch.stack([getattr(part, name) for part in parts])
        said = torch.stack([getattr(part, own_error) for part in parts])
        error = (draws.std() / math.sqrt(len(draws))).item()
        assert draws.mean().item() == pytest.approx(float(exact), abs=5 * error)
        # One call is as far off as it says. The deviation of 400 draws is known to 3.5 %; what the
        # images themselves differ by is in the error too, so it is never too small.
        assert 0.9 < (said.mean() / draws.std()).item() < 1.4


@few
@given(
    key=st.integers(0, 2**31),
    n=st.integers(1, 20),
    latent=st.integers(1, 3),
    spread=st.sampled_from([0.0, 1.0, 1e3]),
    logvar=st.sampled_from([-700.0, -50.0, -3.0, 0.0, 50.0]),
)
def test_the_mutual_information_never_exceeds_log_n_and_nothing_is_nan(
    key, n, latent, spread, logvar
):
    mu = spread * normal(n, latent, key=key)
    parts = marginal_decomposition(mu, torch.full_like(mu, logvar), seeded(key))
    assert all(part.shape == () and part.isfinite() for part in parts)
    assert parts.mutual_information <= math.log(n) + 1e-9


def test_equal_posteriors_say_nothing_and_separate_ones_all_they_can():
    parts = marginal_decomposition(np.full((30, 2), 0.7), np.full((30, 2), -1.0), seeded())
    assert parts.mutual_information.item() == pytest.approx(0, abs=1e-12)
    assert parts.mean_kl.item() == pytest.approx(0.49 + math.exp(-1) + 1 - 1)
    parts = marginal_decomposition(100 * np.arange(30.0)[:, None], np.zeros((30, 1)), seeded())
    assert parts.mutual_information.item() == pytest.approx(math.log(30), abs=1e-12)


@pytest.mark.parametrize("logvar", [-math.inf, -700.5, 700.5])
def test_variances_beyond_float64_have_no_density(logvar):
    codes = torch.zeros(5, 1)
    marginal_decomposition(codes, codes + math.copysign(700, logvar))
    with pytest.raises(ValueError, match=r"^logvar"):
        marginal_decomposition(codes, codes + logvar)


# ---- Fréchet distance ---------------------------------------------------------------------------


@few
@given(
    key=st.integers(0, 2**31),
    n=st.integers(9, 40),
    m=st.integers(9, 40),
    features=st.integers(1, 6),
)
def test_frechet_distance_agrees_with_scipy(key, n, m, features):
    a = normal(n, features, key=key) @ normal(features, features, key=key + 1)
    b = 1 + normal(m, features, key=key + 2) @ normal(features, features, key=key + 3)
    cov_a, cov_b = (np.atleast_2d(np.cov(c.numpy().T)) for c in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    shift = a.numpy().mean(0) - b.numpy().mean(0)
    expected = shift @ shift + np.trace(cov_a + cov_b - 2 * np.real(root))
    distance = frechet_distance(a, b)
    assert type(distance) is float
    assert distance == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9, abs=1e-9)
    # Of itself: a small eigenvalue, as mixing makes it, would lose half of the digits.
    plain = normal(n + 10, features, key=key)
    assert frechet_distance(plain, plain.flip(0)) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_with_fewer_points_than_features():
    a, b = normal(4, 10), 2 * normal(5, 10, key=1)
    cov_a, cov_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    # tr (S_a S_b)^½ from the eigenvalues of the product itself, which are real and not negative.
    cross = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0)).sum()
    shift = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = shift + cov_a.trace() + cov_b.trace() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(torch.zeros(3, 2), torch.ones(2, 2)) == pytest.approx(2)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), (3,)),
        ((3, 1), (3,)),
        ((3, 2), (3, 1)),
        ((1, 2), (3, 2)),
        ((3, 2), (1, 2)),
        ((0, 2), (3, 2)),
    ],
)
def test_frechet_distance_is_that_of_two_clouds_of_at_least_two_points(a, b):
    with pytest.raises(ValueError, match=r"^a and b.*at least two points"):
        frechet_distance(torch.zeros(a), torch.zeros(b))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_frechet_distance_of_points_that_are_no_numbers_is_an_error(bad):
    cloud = torch.zeros(3, 2)
    cloud[1, 0] = bad
    for a, b in ((cloud, torch.ones(4, 2)), (torch.ones(4, 2), cloud)):
        with pytest.raises(ValueError, match=r"^a and b"):
            frechet_distance(a, b)
