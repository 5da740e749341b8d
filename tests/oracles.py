"""What the tests of the core share: numbers by a seed, small networks, and a second device."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from vaelib import VAE, Autoencoder, Gaussian

SHAPE = (1, 2, 3)  # of an image; 5 images, 4 latent variables, 3 samples: no two are alike


def seeded(key: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(key)


def normal(*shape: int, key: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=seeded(key), dtype=dtype)


def pixels(*shape: int, key: int = 0) -> Tensor:
    return torch.rand(*(shape or (5, *SHAPE)), generator=seeded(key), dtype=torch.float64)


def network(kind: type[Autoencoder] = VAE, likelihood: str = "bernoulli", **settings: Any) -> Any:
    """A small network in float64 in which nothing is 0."""
    torch.manual_seed(1)
    settings = {"shape": SHAPE, "hidden": (7,), "latent": 4, "decoder_variance": 0.4, **settings}
    model = kind(likelihood=likelihood, **settings).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


class Exact:
    """z ~ N(0, 1), x = z + noise of variance ½; Q is the exact posterior but for a mistake."""

    likelihood = Gaussian(0.5)

    def __init__(self, mistake: float = 0.0):
        self.mistake = mistake

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return 2 / 3 * x + self.mistake, torch.full_like(x, self.mistake - math.log(3))

    def decoder(self, z: Tensor) -> Tensor:
        return z

    @staticmethod
    def log_likelihood(x: Tensor) -> Tensor:
        return D.Normal(0.0, math.sqrt(1.5)).log_prob(x).flatten()


class Elsewhere(Tensor):
    """A tensor on a device of its own, which calls itself meta and computes on the CPU."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Elsewhere":
        self = Tensor._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), dtype=inner.dtype, device="meta"
        )
        self.inner = inner
        return self

    @classmethod
    def __torch_dispatch__(cls, function: Any, *_: Any) -> Any:
        raise AssertionError(f"{function} outside of the second device")


class SecondDevice(TorchDispatchMode):
    """As with a graphics card: tensors of two devices do not mix, nor do generators.

    ``drawn`` says for each normal draw whether it was made there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[bool] = []

    def __torch_dispatch__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in given if isinstance(tensor, Elsewhere)]
        here = [tensor for tensor in given if not isinstance(tensor, Elsewhere) and tensor.ndim]
        name = function.overloadpacket.__name__
        device = kwargs.get("device")
        if there and here and name != "copy_":
            raise RuntimeError(f"{name}: tensors of two devices")
        elsewhere = bool(there) if device is None else torch.device(device).type == "meta"
        if elsewhere and kwargs.get("generator") is not None:
            raise RuntimeError(f"{name}: the generator is of another device")
        if name == "randn":
            self.drawn.append(elsewhere)
        if device is not None:
            kwargs["device"] = "cpu"
        known = {id(tensor.inner): tensor for tensor in there}

        def inner(leaf: Any) -> Any:
            return leaf.inner if isinstance(leaf, Elsewhere) else leaf

        def outer(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            return known[id(leaf)] if id(leaf) in known else Elsewhere(leaf)

        result = function(*tree_map(inner, args), **tree_map(inner, kwargs))
        return tree_map(outer, result) if elsewhere else result


def moved(model: nn.Module) -> nn.Module:
    """The model on the second device."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            there = Elsewhere(parameter.detach().clone())
            module._parameters[name] = nn.Parameter(there, requires_grad=False)
    return model
