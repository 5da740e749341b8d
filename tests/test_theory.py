"""Closed forms of the linear case against NumPy, SciPy, an optimiser and EM that share no code."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from vaelib import linear_vae_optimum, principal_components, theory

several = settings(deadline=None, max_examples=50, database=None)
spectra = st.lists(st.floats(0, 1e3), min_size=1, max_size=6)
sizes = st.floats(1e-3, 1e3)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# ---- principal components -----------------------------------------------------------------------


def assert_components_of(x, components, rtol=1e-9):
    """Columns are eigenvectors of NumPy's covariance, in the order of its eigenvalues."""
    covariance = np.cov(x.T, bias=True)
    mean, eigenvalues, directions = (part.numpy() for part in components)
    assert {part.dtype for part in (mean, eigenvalues, directions)} == {np.dtype("float64")}
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12, atol=1e-12)
    expected = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(eigenvalues, expected, rtol=rtol, atol=1e-10)
    assert (eigenvalues >= 0).all()
    np.testing.assert_allclose(directions.T @ directions, np.eye(len(mean)), atol=1e-10)
    np.testing.assert_allclose(covariance @ directions, directions * eigenvalues, atol=1e-6)
    assert (directions.max(0) == np.abs(directions).max(0)).all()


@several
@given(seed=st.integers(0, 2**31), n=st.integers(2, 30), rows=st.integers(1, 12))
def test_principal_components_agree_with_numpy(seed, n, rows):
    random = np.random.default_rng(seed)
    x = 3 + random.normal(size=(n, 6)) @ random.normal(size=(6, 6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory, "ROWS", rows)  # one of them holds a real set of images
        assert_components_of(x, principal_components(torch.tensor(x).reshape(n, 1, 2, 3)))


@pytest.mark.parametrize("as_given", [torch.from_numpy, lambda array: array])
def test_bytes_are_pixels_and_float32_is_summed_in_float64(as_given):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 1, 2, 3), dtype=np.uint8)
    assert_components_of(images.reshape(50, 6) / 255, principal_components(as_given(images)))
    x = random.random((500, 4), dtype=np.float32) + 1000
    assert_components_of(x.astype(float), principal_components(as_given(x)), rtol=1e-6)


@pytest.mark.parametrize(("n", "value"), [(0, 1), (1, 1), (3, math.nan), (3, math.inf)])
def test_too_few_or_bad_images_are_an_error(n, value):
    images = torch.rand(n, 1, 2, 2)
    images[1:2] = value
    with pytest.raises(ValueError, match=r"^images"):
        principal_components(images)


# ---- the optimum of the linear VAE --------------------------------------------------------------


def test_the_optimum_in_numbers():
    # Worked out by hand for noise 1: σ² = 1/λ and KL = ½ log λ where λ > 1.
    optimum = linear_vae_optimum(tensor(5, 3, 1.5, 0.8, 0.4, 0.1), 1.0)
    np.testing.assert_allclose(optimum.var_mu, [0.8, 2 / 3, 1 / 3, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(optimum.sigma2, [0.2, 1 / 3, 2 / 3, 1, 1, 1])
    np.testing.assert_allclose(optimum.kl, [0.805, 0.549, 0.203, 0, 0, 0], atol=5e-4)
    edge = linear_vae_optimum(tensor(0.5, 0.5 + 1e-9), 0.25, 2.0)  # at λ = βη² all is lost
    assert edge.kl.gt(0).tolist() == [False, True]


@several
@given(spectrum=spectra, noise=sizes, beta=sizes, more=st.floats(1, 10), power=st.integers(-8, 8))
def test_properties_of_the_optimum(spectrum, noise, beta, more, power):
    values = tensor(*spectrum)
    var_mu, sigma2, kl = optimum = linear_vae_optimum(values, noise, beta)
    np.testing.assert_allclose(var_mu + sigma2, 1, rtol=1e-14)
    # The mean of ½ (μ² + σ² − log σ² − 1) is ½ (Var μ + σ² − log σ² − 1).
    np.testing.assert_allclose(
        kl, 0.5 * (var_mu + sigma2 - sigma2.log() - 1), rtol=1e-9, atol=1e-12
    )
    assert torch.equal(kl > 0, values > beta * noise)
    # Only the ratio λ/βη² counts, and a larger one never takes information away.
    factor = 2.0**power  # of which no product rounds
    for other in (
        linear_vae_optimum(factor * values, factor * noise, beta),
        linear_vae_optimum(factor * values, noise, factor * beta),
    ):
        assert all(torch.equal(a, b) for a, b in zip(other, optimum, strict=True))
    assert (linear_vae_optimum(values, noise, more * beta).kl <= kl).all()


positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)


@several
@given(
    spectrum=st.lists(st.floats(0, 1e38), min_size=1, max_size=4),
    noise=positive,
    beta=positive,
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_a_water_level_is_in_the_precision_of_the_eigenvalues_or_an_error(
    spectrum, noise, beta, dtype
):
    limits = torch.finfo(dtype)
    eigenvalues = tensor(*spectrum).to(dtype)
    if not limits.tiny <= noise * beta <= limits.max:
        with pytest.raises(ValueError, match=r"^noise_variance, beta"):
            linear_vae_optimum(eigenvalues, noise, beta)
        return
    optimum = linear_vae_optimum(eigenvalues, noise, beta)
    assert all((part >= 0).all() for part in optimum)  # of which NaN is none


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_lowest_and_the_highest_water_level_are_taken(dtype):
    limits = torch.finfo(dtype)
    for level in (limits.tiny, limits.max):
        assert linear_vae_optimum(torch.ones(1, dtype=dtype), level).kl.isfinite()


@pytest.mark.parametrize("value", [-1e-9, math.nan])
def test_eigenvalues_that_are_none_are_an_error(value):
    with pytest.raises(ValueError, match=r"^eigenvalues"):
        linear_vae_optimum(tensor(1.0, value), 1.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_noise_or_beta_that_is_not_positive_is_an_error(bad):
    for arguments in ((bad,), (1.0, bad), (bad, -1.0)):
        with pytest.raises(ValueError, match=r"^noise_variance, beta"):
            linear_vae_optimum(tensor(1.0), *arguments)


def random_covariance(random, size=5):
    """Eigenvalues from 4 to 0.15 in directions along no axis."""
    basis, _ = np.linalg.qr(random.normal(size=(size, size)))
    return basis * np.geomspace(4, 0.15, size) @ basis.T


def minimise_exact_objective(covariance, latent, noise, beta, random):
    """W, V and σ² of a linear VAE, by L-BFGS on E_X of its negative ELBO, up to its constant.

    With centred data all expectations are traces: no sampling, no network, no torch.
    """
    size = len(covariance)

    def parts(flat):
        w, v = flat[: size * latent], flat[size * latent : 2 * size * latent]
        return w.reshape(size, latent), v.reshape(latent, size), flat[2 * size * latent :]

    def objective(flat):
        w, v, logvar = parts(flat)
        variance, lengths = np.exp(logvar), (w**2).sum(0)
        vs = v @ covariance
        vsv = vs @ v.T
        misfit = np.trace(covariance) - 2 * np.trace(w @ vs) + np.trace(w.T @ w @ vsv)
        kl = 0.5 * (np.diag(vsv) + variance - logvar - 1).sum()
        value = 0.5 / noise * (misfit + variance @ lengths) + beta * kl
        by_w = (w @ vsv + w * variance - vs.T) / noise
        by_v = (w.T @ w @ vs - w.T @ covariance) / noise + beta * vs
        by_logvar = 0.5 * variance * lengths / noise + 0.5 * beta * (variance - 1)
        return value, np.concatenate([by_w.ravel(), by_v.ravel(), by_logvar])

    start = random.normal(size=2 * size * latent + latent)
    assert optimize.check_grad(lambda f: objective(f)[0], lambda f: objective(f)[1], start) < 1e-4
    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-9, "maxcor": 30}
    best = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    return *parts(best.x), best.fun


def exact_log_likelihood(w, bias, noise, x):
    """log P(x) of a linear decoder: x is Gaussian, with the covariance W Wᵀ + η² I."""
    return stats.multivariate_normal(bias, w @ w.T + noise * np.eye(len(w))).logpdf(x)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("noise", "beta"), [(0.5, 1.0), (0.2, 4.0), (1.5, 0.3), (1.0, 5.0)])
def test_a_general_optimiser_finds_the_same_optimum(seed, noise, beta):
    random = np.random.default_rng(seed)
    covariance = random_covariance(random)
    w, v, logvar, value = minimise_exact_objective(covariance, 4, noise, beta, random)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1][:4].copy()
    expected = linear_vae_optimum(torch.from_numpy(eigenvalues), noise, beta)
    order = np.argsort(logvar)
    np.testing.assert_allclose(np.exp(logvar[order]), expected.sigma2, atol=1e-5)
    var_mu = np.diag(v @ covariance @ v.T)
    np.testing.assert_allclose(var_mu[order], expected.var_mu, atol=1e-5)
    kl = 0.5 * (var_mu + np.exp(logvar) - logvar - 1)
    np.testing.assert_allclose(kl[order], expected.kl, atol=1e-5)
    # The decoder's columns have the squared lengths max(0, λ − βη²).
    lengths = np.maximum(0, eigenvalues - beta * noise)
    np.testing.assert_allclose((w**2).sum(0)[order], lengths, atol=1e-4)

    if beta == 1:  # the bound is tight: its value there is the log-likelihood itself
        # Points whose mean is 0 and whose covariance is the given one exactly.
        half = np.sqrt(5) * np.linalg.cholesky(covariance).T
        exact = exact_log_likelihood(w, np.zeros(5), noise, np.concatenate([half, -half])).mean()
        assert exact == pytest.approx(-value - 2.5 * math.log(2 * math.pi * noise), abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_probabilistic_pca_by_em_finds_the_same_optimum(seed):
    random = np.random.default_rng(seed)
    noise = 0.5
    x = random.multivariate_normal(np.full(5, 0.5), random_covariance(random), size=400)
    centred = x - x.mean(0)
    w = random.normal(size=(5, 4))
    for _ in range(3000):
        inverse = np.linalg.inv(w.T @ w + noise * np.eye(4))
        z = centred @ w @ inverse  # E step: posterior means; the covariance is noise · inverse
        second = z.T @ z + len(x) * noise * inverse
        w = np.linalg.solve(second, z.T @ centred).T  # M step, the noise being fixed

    eigenvalues = principal_components(torch.from_numpy(x)).eigenvalues[:4]
    assert (eigenvalues > noise).sum() == 3, "three variables live, one dies"
    singular = np.linalg.svd(w, compute_uv=False)
    np.testing.assert_allclose(singular**2, (eigenvalues - noise).clamp(min=0), atol=1e-6)
    expected = linear_vae_optimum(eigenvalues, noise)
    sigma2 = np.linalg.eigvalsh(noise * np.linalg.inv(w.T @ w + noise * np.eye(4)))
    np.testing.assert_allclose(sigma2, expected.sigma2, atol=1e-6)
    means = np.linalg.eigvalsh(np.cov(z.T, bias=True))[::-1]
    np.testing.assert_allclose(means, expected.var_mu, atol=1e-6)
