"""Every public function of numbers: finite numbers give finite numbers, whatever their layout.

Each is called with none, one and several images, one latent variable and more, float32 and float64,
means and log-variances far beyond anything a network gives, and tensors that are not contiguous. It
gives finite numbers, the same for any layout in memory, or an error that begins with the name of
the argument; and it leaves its arguments alone.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import seeded
from torch import Tensor

import vaelib
from vaelib import VAE, Autoencoder, ConvVAE, ImageData, LinearVAE, lab

KINDS = (Autoencoder, VAE, ConvVAE, LinearVAE)


@dataclasses.dataclass(frozen=True)
class Case:
    """What varies between the calls."""

    batch: int
    latent: int
    dtype: torch.dtype
    extreme: float  # 0 for ordinary numbers, else about the log-variance of every variable
    likelihood: str
    seed: int
    strided: bool = False

    def numbers(self, *shape: int, low: float, high: float, dtype: Any = None) -> Tensor:
        drawn = torch.rand(shape, generator=seeded(self.seed + len(shape)), dtype=torch.float64)
        numbers = (low + (high - low) * drawn).to(dtype or self.dtype)
        # The same numbers, every second place in memory.
        return torch.stack([numbers, numbers], -1)[..., 0] if self.strided else numbers

    @cached_property
    def images(self) -> Tensor:
        """Pixels in [0, 1], some of them exactly at the ends."""
        pixels = self.numbers(self.batch, 1, 4, 4, low=-0.3, high=1.3)
        return pixels.clamp_(0, 1)

    @cached_property
    def bytes(self) -> Tensor:
        return self.numbers(self.batch, 1, 4, 4, low=0, high=255, dtype=torch.uint8)

    @cached_property
    def mu(self) -> Tensor:
        reach = 1e6 if self.extreme else 2.0
        return self.numbers(self.batch, self.latent, low=-reach, high=reach)

    @cached_property
    def logvar(self) -> Tensor:
        return self.numbers(self.batch, self.latent, low=self.extreme - 3, high=self.extreme + 1)

    def model(self, kind: type[Autoencoder] = VAE) -> Any:
        """A model whose posteriors are extreme."""
        torch.manual_seed(0)
        hidden = {ConvVAE: (2, 3), LinearVAE: ()}.get(kind, (3,))
        likelihood = "gaussian" if kind is LinearVAE else self.likelihood
        model: Any = kind((1, 4, 4), hidden, self.latent, likelihood).to(self.dtype)
        if kind is not Autoencoder:
            torch.nn.init.constant_(model.logvar.bias, self.extreme)
        return model

    def measured(self, measure: Callable[[Any, Tensor], Any]) -> Any:
        return [measure(self.model(), images) for images in (self.images, self.bytes)]


cases = st.builds(
    Case,
    batch=st.sampled_from([0, 1, 2, 5]),
    latent=st.sampled_from([1, 3]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    extreme=st.sampled_from([0.0, 50.0, -50.0]),
    likelihood=st.sampled_from(vaelib.models.LIKELIHOODS),
    seed=st.integers(0, 99),
)


def gradients(case: Case) -> list[Tensor]:
    found = []
    for kind in (Autoencoder, VAE):
        model = case.model(kind)
        lab.elbo_gradient(model, case.images, generator=seeded())
        # In float32 a sum of numbers of 1e20 depends on its order.
        size = max(parameter.grad.abs().max() for parameter in model.parameters())
        found += [parameter.grad / (1 + size) for parameter in model.parameters()]
    return found


def fitted(case: Case) -> dict[str, Tensor]:
    model = case.model()
    model.logvar.bias.data.clamp_(max=0)

    def loss(x: Tensor, _: int) -> Tensor:
        return -vaelib.elbo(model, x, generator=seeded()).mean()

    vaelib.fit(model, case.bytes, loss, epochs=2, batch_size=2)
    return model.state_dict()


def of_model(kind: type[Autoencoder]) -> Callable[[Case], Any]:
    def computed(case: Case) -> Any:
        model = case.model(kind)
        mu, logvar = model.encode(case.images)
        found = [
            mu,
            model.decode(case.mu),
            model.sample(2, seeded()),
            model.prune([0]).decode(mu[:, :1]),
        ]
        return found if kind is Autoencoder else [*found, logvar]

    return computed


def data(case: Case) -> list[Tensor]:
    labels = torch.zeros(case.batch, dtype=torch.int64)
    made = ImageData("any", case.bytes, labels, case.bytes, labels)
    return [made.train_images, made.test_images]


# How each is called, and the least number of images that it takes.
CALLS: dict[str, tuple[int, Callable[[Case], Any]]] = {
    "gaussian_kl": (0, lambda c: vaelib.gaussian_kl(c.mu, c.logvar)),
    "sample_posterior": (0, lambda c: vaelib.sample_posterior(c.mu, c.logvar, seeded())),
    "Bernoulli": (
        0,
        lambda c: [vaelib.Bernoulli().mean(c.mu), vaelib.Bernoulli().log_prob(c.mu, c.mu * 0)],
    ),
    "ContinuousBernoulli": (0, lambda c: vaelib.ContinuousBernoulli().mean(c.mu)),
    "Gaussian": (0, lambda c: vaelib.Gaussian(0.1).log_prob(c.mu, c.logvar)),
    "reconstruction_log_likelihood": (
        0,
        lambda c: vaelib.reconstruction_log_likelihood(
            c.model(), c.images, torch.stack([c.mu] * 3)
        ),
    ),
    "elbo": (
        0,
        lambda c: [
            vaelib.elbo(c.model(kind), c.images, beta, seeded())
            for kind in KINDS[1:]
            for beta in (1.0, 0.0, torch.ones(c.latent, dtype=c.dtype))
        ],
    ),
    "importance_weights": (
        0,
        lambda c: vaelib.importance_weights(c.model(), c.images, 3, seeded()),
    ),
    "latent_statistics": (2, lambda c: vaelib.latent_statistics(c.mu, c.logvar)),
    "used": (0, lambda c: vaelib.used(c.mu)),
    "encode_images": (1, lambda c: c.measured(vaelib.encode_images)),
    "reconstruct": (1, lambda c: c.measured(vaelib.reconstruct)),
    "reconstruction_gain": (
        1,
        lambda c: c.measured(lambda m, x: vaelib.reconstruction_gain(m, x, seeded()) / 1e9),
    ),
    "reconstruction_error": (1, lambda c: c.measured(vaelib.reconstruction_error)),
    "mean_elbo": (1, lambda c: c.measured(lambda m, x: vaelib.mean_elbo(m, x, seeded()))),
    "log_likelihood": (
        1,
        lambda c: c.measured(lambda m, x: vaelib.log_likelihood(m, x, 3, seeded())),
    ),
    "marginal_decomposition": (
        1,
        lambda c: vaelib.marginal_decomposition(c.mu, c.logvar, seeded()),
    ),
    "frechet_distance": (2, lambda c: vaelib.frechet_distance(c.mu, c.logvar)),
    "principal_components": (
        2,
        lambda c: [vaelib.principal_components(x).eigenvalues for x in (c.images, c.bytes)],
    ),
    "linear_vae_optimum": (
        0,
        lambda c: [vaelib.linear_vae_optimum(c.mu.abs(), *level) for level in ((1, 1), (1e-6, 4))],
    ),
    "to_pixels": (0, lambda c: vaelib.to_pixels(c.bytes, c.dtype)),
    "ImageData": (1, data),
    "count_parameters": (0, lambda c: vaelib.count_parameters(c.model())),
    "fit": (1, fitted),
    **{kind.__name__: (0, of_model(kind)) for kind in KINDS},
    "lab.elbo_gradient": (1, gradients),
    "lab.iwae_bound": (0, lambda c: lab.iwae_bound(c.model(), c.images, 3, seeded())),
    "lab.free_bits": (0, lambda c: lab.free_bits(c.mu.abs(), 0.5)),
    "lab.drop_variables": (0, lambda c: lab.drop_variables(c.mu, 0.5, seeded())),
}
# Not of numbers, or what the functions above return; the last two are in test_shared_measures.py.
ELSEWHERE = {
    "load",
    "LatentStatistics",
    "LikelihoodEstimate",
    "LinearOptimum",
    "MarginalDecomposition",
    "PrincipalComponents",
    "nearest",
    "empty_and_missed",
    "diagnose",
    "Diagnosis",
    "Finding",
}


def test_every_public_name_has_its_property() -> None:
    public = {
        name
        for name, value in vars(vaelib).items()
        if not (name.startswith("_") or isinstance(value, ModuleType))
    }
    assert {name for name in CALLS if "." not in name} | ELSEWHERE == public


def flat(result: Any) -> list[Tensor]:
    """All numbers of a result."""
    if isinstance(result, Tensor | int | float):
        return [torch.as_tensor(result).detach().double()]
    if isinstance(result, dict):
        result = list(result.values())
    parts = result if isinstance(result, list | tuple) else vars(result).values()
    return [number for part in parts for number in flat(part)]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None, max_examples=20, database=None, derandomize=True)
@given(case=cases)
def test_finite_numbers_give_finite_numbers_whatever_their_layout(name: str, case: Case) -> None:
    least, call = CALLS[name]
    if case.batch < least:
        with pytest.raises(ValueError, match=r"^(\w+_)?(images|mu and logvar|x|a and b)\b"):
            call(case)
        return
    strided = dataclasses.replace(case, strided=True)
    with torch.random.fork_rng(devices=[]):
        for number, same in zip(flat(call(case)), flat(call(strided)), strict=True):
            assert number.isfinite().all()
            torch.testing.assert_close(number, same, rtol=1e-4, atol=1e-4)
    for kept in (case, strided):
        fresh = dataclasses.replace(kept)
        for argument in ("images", "bytes", "mu", "logvar"):
            assert torch.equal(getattr(kept, argument), getattr(fresh, argument))
