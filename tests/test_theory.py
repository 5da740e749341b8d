"""Closed forms of the linear case against NumPy, SciPy, an optimiser and EM that share no code."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from vaelib import (
    VAE,
    LinearVAE,
    linear_vae_log_likelihood,
    linear_vae_optimum,
    principal_components,
    theory,
)

few = settings(deadline=None, max_examples=25, database=None)
spectra = st.lists(st.floats(0, 1e3), min_size=1, max_size=6)
sizes = st.floats(1e-3, 1e3)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# ---- principal components -----------------------------------------------------------------------


@few
@given(seed=st.integers(0, 2**31), n=st.integers(2, 30), rows=st.integers(1, 12))
def test_principal_components_agree_with_numpy(seed, n, rows):
    random = np.random.default_rng(seed)
    x = 3 + random.normal(size=(n, 6)) @ random.normal(size=(6, 6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theory, "ROWS", rows)
        mean, eigenvalues, directions = principal_components(torch.tensor(x).reshape(n, 1, 2, 3))
    covariance = np.cov(x.T, bias=True)
    values = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(eigenvalues, values, rtol=1e-9, atol=1e-10)
    assert (eigenvalues >= 0).all()
    np.testing.assert_allclose(directions.T @ directions, np.eye(6), atol=1e-10)
    # Columns, not rows, and in the order of the eigenvalues.
    np.testing.assert_allclose(
        covariance @ directions.numpy(), directions.numpy() * values, atol=1e-9
    )


def test_bytes_are_taken_as_pixels_between_0_and_1():
    images = torch.randint(0, 256, (50, 1, 3, 3), dtype=torch.uint8)
    x = images.numpy().reshape(50, 9) / 255
    found = principal_components(images)
    assert {part.dtype for part in found} == {torch.float64}
    np.testing.assert_allclose(found.mean, x.mean(0))
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    np.testing.assert_allclose(found.eigenvalues, values[::-1], rtol=1e-9)
    alike = np.abs(np.diag(found.directions.numpy().T @ vectors[:, ::-1]))
    np.testing.assert_allclose(alike, 1, atol=1e-9)


def test_float32_images_are_summed_in_float64():
    x = torch.rand(500, 4, generator=torch.Generator().manual_seed(0)) + 1000
    found = principal_components(x)
    assert {part.dtype for part in found} == {torch.float64}
    values = np.linalg.eigvalsh(np.cov(x.double().numpy().T, bias=True))[::-1]
    np.testing.assert_allclose(found.eigenvalues, values, rtol=1e-6)


def test_directions_point_to_where_their_largest_entry_is_positive():
    images = torch.randn(50, 1, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    directions = principal_components(images).directions
    for direction in directions.T:
        assert direction.max() == direction.abs().max()
    opposite = principal_components(-images).directions
    torch.testing.assert_close(opposite, directions)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.rand(0, 1, 2, 2), "at least two, got 0"),
        (torch.rand(1, 1, 2, 2), "at least two, got 1"),
        (torch.full((3, 1, 2, 2), math.nan), "finite numbers, got NaN or infinity"),
        (torch.rand(3, 1, 2, 2).index_fill(0, torch.tensor([1]), math.inf), "finite numbers"),
    ],
)
def test_too_few_or_bad_images_are_an_error(images, says):
    with pytest.raises(ValueError, match=rf"^images: expected {says}"):
        principal_components(images)


# ---- the optimum of the linear VAE --------------------------------------------------------------


def test_the_optimum_in_numbers():
    # Worked out by hand for noise 1: σ² = 1/λ and KL = ½ log λ where λ > 1.
    found = linear_vae_optimum(tensor(5, 3, 1.5, 0.8, 0.4, 0.1), 1.0)
    np.testing.assert_allclose(found.mu_variance, [0.8, 2 / 3, 1 / 3, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.posterior_variance, [0.2, 1 / 3, 2 / 3, 1, 1, 1])
    np.testing.assert_allclose(found.kl, [0.805, 0.549, 0.203, 0, 0, 0], atol=5e-4)


@few
@given(spectrum=spectra, noise=sizes, beta=sizes)
def test_the_law_of_variances_and_the_kl_hold_exactly(spectrum, noise, beta):
    mu_variance, variance, kl = linear_vae_optimum(tensor(*spectrum), noise, beta)
    np.testing.assert_allclose(mu_variance + variance, 1, rtol=1e-14)
    assert (mu_variance >= 0).all()
    assert (variance > 0).all()
    # The mean of ½ (μ² + σ² − log σ² − 1) is ½ (Var μ + σ² − log σ² − 1).
    np.testing.assert_allclose(
        kl, 0.5 * (mu_variance + variance - variance.log() - 1), rtol=1e-9, atol=1e-12
    )


@few
@given(spectrum=spectra, noise=sizes, beta=sizes)
def test_all_collapses_if_and_only_if_no_eigenvalue_stands_above_the_noise(spectrum, noise, beta):
    found = linear_vae_optimum(tensor(*spectrum), noise, beta)
    assert bool((found.kl == 0).all()) == (max(spectrum) <= beta * noise)


def test_the_edge_itself_is_collapsed():
    assert linear_vae_optimum(tensor(0.5, 0.5 + 1e-9), 0.25, 2.0).kl.gt(0).tolist() == [False, True]


@few
@given(spectrum=spectra, noise=sizes, beta=sizes, power=st.integers(-8, 8))
def test_only_the_ratio_of_eigenvalue_and_noise_counts(spectrum, noise, beta, power):
    values, factor = tensor(*spectrum), 2.0**power  # of which no product rounds
    expected = linear_vae_optimum(values, noise, beta)
    for other in (
        linear_vae_optimum(factor * values, factor * noise, beta),
        linear_vae_optimum(factor * values, noise, factor * beta),
        linear_vae_optimum(values, factor * noise, beta / factor),
    ):
        for a, b in zip(other, expected, strict=True):
            assert torch.equal(a, b)


@few
@given(spectrum=spectra, noise=sizes, more=st.floats(1, 10))
def test_more_noise_or_beta_never_brings_a_variable_to_life(spectrum, noise, more):
    before = linear_vae_optimum(tensor(*spectrum), noise)
    after = linear_vae_optimum(tensor(*spectrum), noise, more)
    assert (after.mu_variance <= before.mu_variance).all()
    assert (after.kl <= before.kl).all()


@pytest.mark.parametrize("value", [-1e-9, math.nan])
def test_eigenvalues_that_are_none_are_an_error(value):
    with pytest.raises(ValueError, match=r"^eigenvalues: expected numbers >= 0"):
        linear_vae_optimum(tensor(1.0, value), 1.0)


@pytest.mark.parametrize(
    "arguments",
    [(0.0,), (-1.0,), (math.nan,), (math.inf,), (1.0, 0.0), (1.0, math.nan), (1.0, math.inf)],
)
def test_a_noise_or_beta_that_is_not_positive_is_an_error(arguments):
    with pytest.raises(ValueError, match=r"^noise_variance, beta: expected numbers > 0, got "):
        linear_vae_optimum(tensor(1.0), *arguments)


def test_a_level_beyond_the_precision_of_the_eigenvalues_is_an_error():
    limits = torch.finfo(torch.float64)
    for level in (limits.tiny, limits.max):  # the last that will do
        assert linear_vae_optimum(tensor(1.0), level).kl.isfinite().all()
    says = r"^noise_variance, beta: expected a product from 2e-308 to 2e\+308, got "
    for noise, beta in ((limits.tiny, 0.5), (limits.max, 2.0)):
        with pytest.raises(ValueError, match=rf"{says}{re.escape(f'{noise} and {beta}')}$"):
            linear_vae_optimum(tensor(1.0), noise, beta)


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
    found = optimize.minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-9, "maxcor": 30},
    )
    return *parts(found.x), found.fun


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("noise", "beta"), [(0.5, 1.0), (0.2, 4.0), (1.5, 0.3), (1.0, 5.0)])
def test_a_general_optimiser_finds_the_same_optimum(seed, noise, beta):
    random = np.random.default_rng(seed)
    covariance = random_covariance(random)
    w, v, logvar, value = minimise_exact_objective(covariance, 4, noise, beta, random)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1][:4].copy()
    expected = linear_vae_optimum(torch.from_numpy(eigenvalues), noise, beta)
    order = np.argsort(logvar)
    np.testing.assert_allclose(np.exp(logvar[order]), expected.posterior_variance, atol=1e-5)
    mu_variance = np.diag(v @ covariance @ v.T)
    np.testing.assert_allclose(mu_variance[order], expected.mu_variance, atol=1e-5)
    kl = 0.5 * (mu_variance + np.exp(logvar) - logvar - 1)
    np.testing.assert_allclose(kl[order], expected.kl, atol=1e-5)
    # The decoder's columns have the squared lengths max(0, λ − βη²).
    lengths = np.maximum(0, eigenvalues - beta * noise)
    np.testing.assert_allclose((w**2).sum(0)[order], lengths, atol=1e-4)

    if beta == 1:  # the bound is tight: its value there is the log-likelihood itself
        model = LinearVAE((1, 1, 5), latent=4, decoder_variance=noise).double()
        with torch.no_grad():
            model.decoder[0].weight.copy_(torch.from_numpy(w))
            model.decoder[0].bias.zero_()
        # Points whose mean is 0 and whose covariance is the given one exactly.
        half = np.sqrt(5) * np.linalg.cholesky(covariance).T
        x = torch.from_numpy(np.concatenate([half, -half])).reshape(10, 1, 1, 5)
        exact = linear_vae_log_likelihood(model, x).mean().item()
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
    posterior = np.linalg.eigvalsh(noise * np.linalg.inv(w.T @ w + noise * np.eye(4)))
    np.testing.assert_allclose(posterior, expected.posterior_variance, atol=1e-6)
    means = np.linalg.eigvalsh(np.cov(z.T, bias=True))[::-1]
    np.testing.assert_allclose(means, expected.mu_variance, atol=1e-6)


# ---- the exact log-likelihood -------------------------------------------------------------------


def linear_vae(**arguments):
    torch.manual_seed(0)
    return LinearVAE((1, 2, 3), latent=3, **{"decoder_variance": 0.4, **arguments})


def scipy_log_likelihood(model, x):
    w = model.decoder[0].weight.detach().double().numpy()
    covariance = w @ w.T + model.decoder_variance.item() * np.eye(len(w))
    bias = model.decoder[0].bias.detach().double().numpy()
    return stats.multivariate_normal(bias, covariance).logpdf(x)


@pytest.mark.parametrize("learned", [False, True])
def test_linear_log_likelihood_agrees_with_scipy(learned):
    model = linear_vae(learned_variance=learned).double()
    images = torch.randint(0, 256, (7, 1, 2, 3), dtype=torch.uint8)
    pixels = images.numpy().reshape(7, 6) / 255
    found = linear_vae_log_likelihood(model, images)
    assert found.shape == (7,)
    assert found.dtype == torch.float64
    assert not found.requires_grad
    np.testing.assert_allclose(found, scipy_log_likelihood(model, pixels), rtol=1e-10)
    far = 20 * torch.randn(7, 1, 2, 3, dtype=torch.float64)
    np.testing.assert_allclose(
        linear_vae_log_likelihood(model, far),
        scipy_log_likelihood(model, far.flatten(1).numpy()),
        rtol=1e-10,
    )


def test_linear_log_likelihood_of_a_float32_model_is_computed_in_float64():
    model, x = linear_vae(), torch.rand(5, 1, 2, 3)
    found = linear_vae_log_likelihood(model, x)
    assert found.dtype == torch.float64
    expected = scipy_log_likelihood(model, x.flatten(1).double().numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_linear_log_likelihood_of_one_image_and_of_none_and_of_another_shape():
    model, x = linear_vae(), torch.rand(3, 1, 2, 3)
    found = linear_vae_log_likelihood(model, x)
    torch.testing.assert_close(linear_vae_log_likelihood(model, x[1:2]), found[1:2])
    for images in (x[:0], torch.rand(3, 1, 3, 2)):
        says = f"images: expected at least one image (1, 2, 3), got {tuple(images.shape)}"
        with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
            linear_vae_log_likelihood(model, images)


def test_linear_log_likelihood_of_another_model_is_an_error():
    with pytest.raises(ValueError, match=r"^model: expected a LinearVAE, got VAE"):
        linear_vae_log_likelihood(VAE((1, 2, 3), (), 3, "gaussian"), torch.rand(2, 1, 2, 3))
