"""Every public function, over shapes, extremes, types and layouts: no NaN comes of finite numbers.

Each function is called with batches of none, one and several images, one latent variable and more,
float32 and float64, means and log-variances far beyond anything a network says, and with tensors
that are not contiguous. It gives finite or infinite numbers, never NaN, or an error that begins
with the name of the argument; it leaves its arguments alone; and how a tensor lies in memory makes
no difference.
"""

import inspect
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import vaelib
from vaelib import VAE, Autoencoder, Claim, Classifier, ConvVAE, Experiment, ImageData, LinearVAE

several = settings(deadline=None, max_examples=60, database=None, derandomize=True)
few = settings(several, max_examples=25)

SIDE = 4
MODELS: dict[str, Callable[..., Autoencoder]] = {
    "Autoencoder": Autoencoder,
    "VAE": VAE,
    "ConvVAE": ConvVAE,
    "LinearVAE": LinearVAE,
}
LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian")


@dataclass(frozen=True)
class Case:
    """What varies between the calls."""

    batch: int
    latent: int
    dtype: torch.dtype
    extreme: float  # 0 for ordinary numbers, else the log-variance of every variable
    likelihood: str
    strided: bool
    seed: int

    def numbers(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + len(shape))
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
        return self.laid_out((low + (high - low) * drawn).to(self.dtype))

    def laid_out(self, tensor: Tensor) -> Tensor:
        """The same numbers, every second place in memory."""
        return torch.stack([tensor, tensor], -1)[..., 0] if self.strided else tensor

    @property
    def images(self) -> Tensor:
        """Pixels in [0, 1], some of them exactly at the ends."""
        return self.numbers(self.batch, 1, SIDE, SIDE, low=-0.3, high=1.3).clamp(0, 1)

    @property
    def bytes(self) -> Tensor:
        return self.laid_out((255 * self.images).to(torch.uint8))

    @property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """Means and log-variances (batch, latent)."""
        reach = 1e6 if self.extreme else 2.0
        mu = self.numbers(self.batch, self.latent, low=-reach, high=reach)
        logvar = self.numbers(self.batch, self.latent, low=-3.0)
        return mu, self.laid_out(logvar + self.extreme)

    def model(self, kind: str = "VAE") -> Any:
        """A model that says what is extreme."""
        likelihood = "gaussian" if kind == "LinearVAE" else self.likelihood
        made = built(kind, self.latent, likelihood, self.dtype)
        if isinstance(made, VAE):
            with torch.no_grad():
                bias = made.get_parameter("logvar.bias")
                bias.fill_(self.extreme or -1.0)
        return made


@cache
def built(kind: str, latent: int, likelihood: str, dtype: torch.dtype) -> Autoencoder:
    hidden = {"ConvVAE": (2, 3), "LinearVAE": ()}.get(kind, (3,))
    torch.manual_seed(0)
    return MODELS[kind]((1, SIDE, SIDE), hidden, latent, likelihood=likelihood).to(dtype)


cases = st.builds(
    Case,
    batch=st.sampled_from([0, 1, 2, 5]),
    latent=st.sampled_from([1, 3]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    extreme=st.sampled_from([0.0, 50.0, -50.0]),
    likelihood=st.sampled_from(LIKELIHOODS),
    strided=st.booleans(),
    seed=st.integers(0, 99),
)


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def flat(found: Any) -> list[Any]:
    """All numbers and tensors of a result."""
    if isinstance(found, Tensor | int | float):
        return [found]
    if isinstance(found, dict | list | tuple):
        values = found.values() if isinstance(found, dict) else found
        return [number for part in values for number in flat(part)]
    return flat(vars(found))


def called(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What a function gives: never NaN, arguments left alone, the layout in memory no matter."""
    before = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
    found = flat(function(*arguments))
    compact = [a.contiguous() if isinstance(a, Tensor) else a for a in arguments]
    for number, same in zip(found, flat(function(*compact)), strict=True):
        value, other = torch.as_tensor(number), torch.as_tensor(same)
        assert not value.isnan().any()
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-4)
    for argument, old in zip(arguments, before, strict=True):
        if isinstance(argument, Tensor):
            assert torch.equal(argument, old), "it wrote into its argument"
    return found


def refused(name: str, function: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b.*: expected .*got "):
        function(*arguments)


def with_images(case: Case, function: Callable[..., Any], *arguments: Any) -> list[Any] | None:
    """A function that needs at least one image, on pixels and on the same images as bytes."""
    if not case.batch:
        return refused("images", function, *arguments)
    called(function, *arguments[:-1], case.bytes)
    return called(function, *arguments)


# ---- one property for each public name -----------------------------------------------------------


def gaussian_kl(case: Case) -> None:
    mu, logvar = case.posterior
    (kl,) = called(vaelib.gaussian_kl, mu, logvar)
    assert kl.shape == mu.shape
    assert kl.dtype == case.dtype
    assert (kl >= 0).all()
    assert kl.isfinite().all()
    refused("mu and logvar", vaelib.gaussian_kl, mu, logvar[:, :0])


def sample_posterior(case: Case) -> None:
    mu, logvar = case.posterior
    (z,) = called(lambda *a: vaelib.sample_posterior(*a, noise()), mu, logvar)
    assert (z.shape, z.dtype) == (mu.shape, case.dtype)
    assert z.isfinite().all()


def reconstruction_log_likelihood(case: Case) -> None:
    model, (z, _) = case.model(), case.posterior
    (found,) = called(lambda *a: vaelib.reconstruction_log_likelihood(model, *a), case.images, z)
    assert found.shape == (case.batch,)
    assert found.isfinite().all()
    twice = torch.stack([z, z])
    (both,) = called(lambda *a: vaelib.reconstruction_log_likelihood(model, *a), case.images, twice)
    assert both.shape == (2, case.batch)
    torch.testing.assert_close(both[0], found)


def elbo(case: Case) -> None:
    for kind in ("VAE", "ConvVAE", "LinearVAE"):
        for beta in (1.0, 0.0, torch.ones(case.latent, dtype=case.dtype)):
            model = case.model(kind)
            (found,) = called(lambda x, m=model, b=beta: vaelib.elbo(m, x, b, noise()), case.images)
            assert (found.shape, found.dtype) == ((case.batch,), case.dtype)
            assert found.isfinite().all()
    with pytest.raises(ValueError, match=r"^model: expected a VAE, got Autoencoder"):
        vaelib.elbo(case.model("Autoencoder"), case.images)


def iwae_bound(case: Case) -> None:
    for samples in (1, 3):
        (found,) = called(
            lambda x, k=samples: vaelib.iwae_bound(case.model(), x, k, noise()), case.images
        )
        assert found.shape == (case.batch,)
        assert found.isfinite().all()
    refused("samples", vaelib.iwae_bound, case.model(), case.images, 0)


def free_bits(case: Case) -> None:
    kl = vaelib.gaussian_kl(*case.posterior)
    for nats in (0.0, 0.5, 1e9):
        (found,) = called(vaelib.free_bits, case.laid_out(kl), nats)
        assert found.shape == kl.shape
        if case.batch:
            assert (found.mean(0) >= nats * (1 - 1e-6)).all()
    refused("nats", vaelib.free_bits, kl, -1.0)
    refused("nats", vaelib.free_bits, kl, math.nan)


def drop_variables(case: Case) -> None:
    z, _ = case.posterior
    for rate in (0.0, 0.5, 0.999):
        (found,) = called(lambda z, r=rate: vaelib.drop_variables(z, r, noise()), z)
        assert ((found == z) | (found == 0)).all()
    for rate in (-0.1, 1.0, math.nan):
        refused("rate", vaelib.drop_variables, z, rate)


def latent_statistics(case: Case) -> None:
    mu, logvar = case.posterior
    if not case.batch:
        return refused("mu and logvar", vaelib.latent_statistics, mu, logvar)
    found = called(vaelib.latent_statistics, mu, logvar)
    assert all(value.shape == (case.latent,) for value in found)
    assert all((value >= 0).all() and value.isfinite().all() for value in found)
    said = vaelib.latent_statistics(mu, logvar)
    assert said.active().dtype == torch.bool
    assert (said.law >= said.mu_variance).all()
    if case.batch == 1:
        assert not said.mu_variance.any()
    for bad in (mu.double() * math.nan, torch.full_like(mu, math.nan)):
        with pytest.raises(ValueError, match=r"^mu and logvar: expected numbers, got NaN"):
            vaelib.latent_statistics(bad, logvar)


def encode_images(case: Case) -> None:
    for kind in MODELS:
        model = case.model(kind)
        if found := with_images(case, lambda x, m=model: vaelib.encode_images(m, x), case.images):
            assert all(part.shape == (case.batch, case.latent) for part in found)
            assert all(part.dtype == case.dtype for part in found)


def reconstruct(case: Case) -> None:
    if found := with_images(case, lambda x: vaelib.reconstruct(case.model(), x), case.images):
        assert found[0].shape == case.images.shape


def reconstruction_gain(case: Case) -> None:
    for generator in (lambda: None, noise):
        if found := with_images(
            case,
            lambda x, g=generator: vaelib.reconstruction_gain(case.model(), x, g()) * 1e-9,
            case.images,
        ):
            assert found[0].shape == (case.latent,)
            assert found[0].isfinite().all()


def reconstruction_error(case: Case) -> None:
    if found := with_images(
        case, lambda x: vaelib.reconstruction_error(case.model(), x), case.images
    ):
        assert all(map(math.isfinite, found))
        assert found[1] >= 0


def mean_elbo(case: Case) -> None:
    with_images(case, lambda x: vaelib.mean_elbo(case.model(), x, noise()), case.images)


def log_likelihood(case: Case) -> None:
    for samples in (1, 4):
        if found := with_images(
            case,
            lambda x, k=samples: vaelib.log_likelihood(case.model(), x, k, noise()),
            case.images,
        ):
            assert all(part.shape == (case.batch,) for part in found)
            assert (found[1] >= 0).all()
            assert samples > 1 or not found[1].any()


def marginal_decomposition(case: Case) -> None:
    mu, logvar = case.posterior
    if not case.batch:
        return refused("mu and logvar", vaelib.marginal_decomposition, mu, logvar)
    found = called(lambda *a: vaelib.marginal_decomposition(*a, noise()), mu, logvar)
    mean_kl, information, marginal = found
    assert mean_kl >= 0
    assert information <= math.log(case.batch) + 1e-6 * (1 + abs(float(mean_kl)))
    assert all(value.isfinite() for value in found)
    if case.batch == 1:
        assert abs(information) <= 1e-9 * (1 + abs(float(marginal)))


def frechet_distance(case: Case) -> None:
    reach = 1e6 if case.extreme else 1.0
    a = case.numbers(case.batch, case.latent, low=-reach, high=reach)
    b = case.laid_out(a.flip(0) * 0.5 + 1)
    if case.batch < 2:
        return refused("a and b", vaelib.frechet_distance, a, b)
    (found,) = called(vaelib.frechet_distance, a, b)
    assert 0 <= found < math.inf
    assert vaelib.frechet_distance(a, a) <= 1e-6 * reach**2
    assert vaelib.frechet_distance(b, a) == pytest.approx(found, rel=1e-5, abs=1e-6 * reach**2)


def principal_components(case: Case) -> None:
    for images in (case.images, case.bytes):
        if case.batch < 2:
            refused("images", vaelib.principal_components, images)
            continue
        mean, eigenvalues, directions = called(vaelib.principal_components, images)
        assert (mean.shape, directions.shape) == ((SIDE**2,), (SIDE**2, SIDE**2))
        assert (eigenvalues >= 0).all()
        assert (eigenvalues.diff() <= 1e-12).all()


def linear_vae_optimum(case: Case) -> None:
    reach = 1e30 if case.extreme > 0 else 5.0
    eigenvalues = case.numbers(case.batch, low=0.0, high=reach)
    for variance, beta in ((1.0, 1.0), (1e-6, 4.0), (1e30, 1e-3)):
        found = called(
            lambda e, v=variance, b=beta: vaelib.linear_vae_optimum(e, v, b), eigenvalues
        )
        assert all(part.shape == eigenvalues.shape for part in found)
        assert all((part >= 0).all() and part.isfinite().all() for part in found)
    with pytest.raises(ValueError, match=r"^eigenvalues: expected numbers >= 0"):
        vaelib.linear_vae_optimum(torch.tensor([1.0, math.nan]), 1.0)


def linear_vae_log_likelihood(case: Case) -> None:
    model = case.model("LinearVAE")
    for images in (case.images, case.bytes):
        if not case.batch:
            refused("images", vaelib.linear_vae_log_likelihood, model, images)
            continue  # needs the patch no-images-linear
        (found,) = called(lambda x: vaelib.linear_vae_log_likelihood(model, x), images)
        assert (found.shape, found.dtype) == ((case.batch,), torch.float64)
    with pytest.raises(ValueError, match=r"^model: expected a LinearVAE, got VAE"):
        vaelib.linear_vae_log_likelihood(case.model(), case.images)


def to_pixels(case: Case) -> None:
    (found,) = called(vaelib.to_pixels, case.bytes, case.dtype)
    assert (found.shape, found.dtype) == (case.bytes.shape, case.dtype)
    assert ((found >= 0) & (found <= 1)).all()


@cache
def judge(dtype: torch.dtype) -> Classifier:
    torch.manual_seed(0)
    return Classifier((1, SIDE, SIDE), 3, 2).to(dtype)


def image_features(case: Case) -> None:
    for images in (case.images, case.bytes):
        (found,) = called(lambda x: vaelib.image_features(judge(case.dtype), x), images)
        assert (found.shape, found.dtype) == ((case.batch, 3), case.dtype)


def classifier(case: Case) -> None:
    (found,) = called(judge(case.dtype), case.images)
    assert found.shape == (case.batch, 2)


def of_model(kind: str) -> Callable[[Case], None]:
    def check(case: Case) -> None:
        model = case.model(kind)
        mu, logvar = called(model.encode, case.images)
        assert mu.shape == logvar.shape == (case.batch, case.latent)
        (decoded,) = called(model.decode, case.posterior[0])
        assert decoded.shape == case.images.shape
        assert decoded.isfinite().all()
        if model.likelihood != "gaussian":
            assert ((decoded >= 0) & (decoded <= 1)).all()
        (drawn,) = flat(model.sample(case.batch, noise()))
        assert (drawn.shape, drawn.dtype) == (case.images.shape, case.dtype)
        pruned = model.prune([case.latent - 1])
        (shorter, _) = called(pruned.encode, case.images)
        torch.testing.assert_close(shorter, mu[:, -1:])
        refused("z", model.decode, case.posterior[0][:, 1:])
        refused("x", model.encode, case.images[..., 1:])
        if case.batch:
            # A linear VAE takes any finite numbers.
            for bad in (math.nan, math.inf) + ((-0.01, 1.01) if kind != "LinearVAE" else ()):
                spoiled = case.images.clone()
                spoiled[-1, 0, -1, -1] = bad
                refused("x", model.encode, spoiled)

    return check


def elbo_gradient(case: Case) -> None:
    for kind in ("Autoencoder", "VAE"):
        model = case.model(kind)

        def gradients(x: Tensor, model: Autoencoder = model) -> list[Tensor]:
            model.zero_grad()
            vaelib.elbo_gradient(model, x, generator=noise())
            return [p.grad.clone() for p in model.parameters() if p.grad is not None]

        if not case.batch:
            refused("x", gradients, case.images)  # needs the patch no-images-gradient
            continue
        # In float32 a sum of numbers of 1e20 depends on its order.
        found = gradients(case.images) if case.extreme else called(gradients, case.images)
        assert len(found) == len(list(model.parameters()))
        assert all(gradient.isfinite().all() for gradient in found)


def count_parameters(case: Case) -> None:
    model = case.model()
    assert vaelib.count_parameters(model) == sum(map(torch.numel, model.state_dict().values()))


def fit(case: Case) -> None:
    torch.manual_seed(0)
    model = VAE((1, SIDE, SIDE), (3,), case.latent, likelihood=case.likelihood)

    def loss(x: Tensor, _epoch: int) -> Tensor:
        return -vaelib.elbo(model, x, generator=noise()).mean()

    for images in (case.images.float(), case.bytes):
        before = images.clone()
        train = partial(vaelib.fit, epochs=2, batch_size=2)
        if not case.batch:
            refused("images", train, model, images, loss)
            continue
        train(model, images, loss)
        assert torch.equal(images, before)
        assert all(weight.isfinite().all() for weight in model.parameters())


def show_images(case: Case) -> None:
    for images in (case.images, case.bytes):
        if not case.batch:
            refused("images", vaelib.show_images, images)  # needs the patch no-images-to-show
            continue
        try:
            picture = vaelib.show_images(images, columns=2).get_images()[0].get_array()
        finally:
            plt.close("all")
        assert picture.shape == (-(-case.batch // 2) * (SIDE + 1), 2 * (SIDE + 1))
        assert np.isfinite(picture.data).all()


def image_data(case: Case) -> None:
    labels = torch.zeros(case.batch, dtype=torch.int64)
    arguments = ("any", case.bytes, labels, case.bytes, labels)
    if not case.batch:
        return refused("train_images", ImageData, *arguments)
    assert ImageData(*arguments).train_images.shape == case.images.shape
    refused("test_labels", ImageData, *arguments[:-1], labels[1:])


def claims(case: Case) -> None:
    said = Claim("an-id", "A sentence.", "this book", -1.0, math.inf, "why")
    numbers = case.numbers(case.batch, low=-0.9, high=1e30)
    if not case.batch:
        return refused("value of claim", said.accepts, numbers)
    assert said.accepts(numbers)
    for bad in (math.nan, math.inf, -1.1):
        numbers[-1] = bad
        assert not said.accepts(numbers)


PROPERTIES: dict[str, Callable[[Case], None]] = {
    **{
        function.__name__: function
        for function in (
            *(gaussian_kl, sample_posterior, reconstruction_log_likelihood, elbo, iwae_bound),
            *(free_bits, drop_variables, latent_statistics, encode_images, reconstruct),
            *(reconstruction_gain, reconstruction_error, mean_elbo, log_likelihood),
            *(marginal_decomposition, frechet_distance, principal_components),
            *(linear_vae_optimum, linear_vae_log_likelihood, to_pixels, image_features),
            *(elbo_gradient, count_parameters, fit, show_images),
        )
    },
    **{kind: of_model(kind) for kind in MODELS},
    **{"Classifier": classifier, "ImageData": image_data, "Claim": claims},
}
# Checked below, or not about numbers.
BELOW = {"Experiment", "classifier_experiment", "table"}
ELSEWHERE = {
    *("COLOURS", "use_style", "show_source", "show_verdicts", "Verdict", "scoreboard", "claim"),
    *("claim_values", "load", "Run", "sweep", "training_threads"),
    # What the functions above give.
    *("LatentStatistics", "LikelihoodEstimate", "LinearOptimum", "MarginalDecomposition"),
    "PrincipalComponents",
}


def test_every_public_name_has_its_property_or_its_reason() -> None:
    parts = (set(PROPERTIES), BELOW, ELSEWHERE)
    assert set().union(*parts) == set(vaelib.__all__)
    assert sum(map(len, parts)) == len(vaelib.__all__)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", PROPERTIES)
@several
@given(case=cases)
def test_no_nan_comes_of_finite_numbers(name: str, case: Case) -> None:
    with torch.random.fork_rng(devices=[]):
        PROPERTIES[name](case)


# ---- numbers as arguments ------------------------------------------------------------------------

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)


# Needs the patch water-level: βη² that is 0 or ∞ in floating point gave NaN.
@several
@given(
    eigenvalues=st.lists(st.floats(0, 1e300), min_size=1, max_size=4),
    variance=positive,
    beta=positive,
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_no_water_level_gives_nan(
    eigenvalues: list[float], variance: float, beta: float, dtype: torch.dtype
) -> None:
    spectrum = torch.tensor(eigenvalues, dtype=torch.float64).clamp(max=torch.finfo(dtype).max)
    try:
        found = vaelib.linear_vae_optimum(spectrum.to(dtype), variance, beta)
    except ValueError as error:
        assert re.match(r"noise_variance, beta: expected .*, got ", str(error))  # noqa: PT017
        assert not 1e-30 < beta * variance < 1e30
        return
    for part in found:
        assert not part.isnan().any()
        assert (part >= 0).all()
    assert (found.mu_variance + found.posterior_variance - 1).abs().max() < 1e-6


ANYTHING: Sequence[Any] = (0, 1, -1, 2.5, 1e308, -1e308, 1e-320, math.nan, math.inf, -math.inf)
FIELDS = tuple(
    name
    for name, field in inspect.signature(Experiment).parameters.items()
    if isinstance(field.default, int | float) or field.default is None
)


def no_constant(name: str) -> None:
    pytest.fail(f"{name} is no JSON")


# Needs the patch infinite-fields: an infinite weight or learning rate was taken, and trained.
@pytest.mark.parametrize("value", ANYTHING)
@pytest.mark.parametrize("field", FIELDS)
def test_a_number_of_an_experiment_is_taken_or_refused_by_name(field: str, value: Any) -> None:
    try:
        experiment = Experiment(**{field: value})
    except ValueError as error:
        assert re.match(rf"(\w+ and )?{field}\b|.*\b{field}\b.*: expected", str(error))  # noqa: PT017
        return
    assert math.isfinite(getattr(experiment, field) or 0)
    said = json.loads(experiment.canonical, parse_constant=no_constant)
    assert Experiment(**said) == experiment


@several
@given(values=st.lists(st.floats() | st.integers() | st.text(max_size=5), max_size=5))
def test_a_table_shows_numbers_to_three_digits(values: list[Any]) -> None:
    assume(all("\n" not in str(value) for value in values))
    shown = vaelib.table({"name": values}).columns["name"]
    for value, cell in zip(values, shown, strict=True):
        if not isinstance(value, float) or not math.isfinite(value):
            assert cell == str(value)
        elif abs(value) < 1e-9:
            assert cell == "0"
        else:
            assert float(cell) == pytest.approx(value, rel=5.01e-3)
            assert len(re.sub(r"e.*|\D", "", cell).lstrip("0")) <= max(3, len(str(int(value))))


@few
@given(dataset=st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True))
def test_the_classifier_of_any_dataset_is_an_experiment(dataset: str) -> None:
    experiment = vaelib.classifier_experiment(dataset)
    assert (experiment.dataset, experiment.model) == (dataset, "Classifier")
    assert experiment.name.startswith(f"{dataset}-classifier")
