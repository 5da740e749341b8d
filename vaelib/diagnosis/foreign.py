"""Somebody's encoder, decoder and data, called in the one way that the diagnosis needs."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from vaelib._measuring import BATCH
from vaelib.data import to_pixels
from vaelib.diagnosis.codes import read_code
from vaelib.likelihoods import Bernoulli, Gaussian

INPUTS = ("data", "x", "X", "image", "images", "pixel_values", "input", "inputs")
OUTPUTS = ("sample", "reconstruction", "recon_x", "recon", "x_hat", "logits", "mean", "px")
Batch = tuple[Tensor, tuple[Any, ...]]  # what is encoded, and what goes with it: labels, conditions


class Foreign:
    """A model as two functions, and its data.

    Parameters
    ----------
    encode, decode : callable
        As `diagnose` takes them. A function that has more than one argument without a default gets
        what comes with the images in a batch: labels or conditions.
    likelihood
        As `diagnose` takes it.
    spread : str
        What the second of a pair from ``encode`` is.
    """

    def __init__(
        self,
        encode: Callable[..., Any],
        decode: Callable[..., Any] | None,
        likelihood: Any,
        spread: str,
    ) -> None:
        self._encode, self._decode, self.spread = encode, decode, spread
        self.likelihood = likelihood
        self.modules = [m for function in (encode, decode) for m in _modules_of(function)]
        weights = [w for module in self.modules for w in module.parameters()]
        self.like = next((weight for weight in weights if weight.is_floating_point()), None)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, and afterwards the mode and the random numbers as they were."""
        training = [m for module in self.modules for m in module.modules() if m.training]
        frozen = [w for module in self.modules for w in module.parameters() if w.requires_grad]
        try:
            for module in training:
                module.training = False
            for weight in frozen:
                weight.requires_grad_(False)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                yield
        finally:
            for module in training:
                module.training = True
            for weight in frozen:
                weight.requires_grad_(True)

    def batches(self, data: Any) -> Iterator[Batch]:
        """The data in pieces, as pixels where the model is: each with what comes with it."""
        if isinstance(data, Tensor | np.ndarray):
            data = (data,)
        if isinstance(data, tuple):
            data = TensorDataset(*(torch.as_tensor(part) for part in data))
        if isinstance(data, Dataset):
            data = DataLoader(data, BATCH)
        if not isinstance(data, Iterable):
            raise TypeError(f"data: expected images, a Dataset or a DataLoader, got {data!r}")
        empty = True
        for batch in data:
            x, *rest = batch if isinstance(batch, tuple | list) else (batch,)
            if isinstance(x, Mapping):
                keys = [key for key in INPUTS if key in x]
                if not keys:
                    raise TypeError(f"data: a batch has none of {', '.join(INPUTS)}, but {[*x]}")
                x = x[keys[0]]
            if len(x):
                empty = False
                yield self._here(x), tuple(map(self._beside, rest))
        if empty:
            raise ValueError("data: expected at least one row, got none")

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """μ and log σ² of a batch in float64."""
        x, conditions = batch
        return read_code(self._encode(x, *conditions[: _more(self._encode)]), self.spread)

    def log_prob(self, batch: Batch, z: Tensor) -> Tensor:
        """log P(x|z) in nats for each row, in float64: z is in float64 too."""
        x = batch[0]
        output = self.output(batch, z)
        if isinstance(output, Distribution):
            by_row: Tensor = output.log_prob(x)
            return _per_row(by_row)
        if len(output) != len(x):
            raise ValueError(f"decode: expected {len(x)} rows, got {len(output)}")
        if self.likelihood is None:
            raise ValueError("likelihood: expected one with decode, as 'bernoulli' or 'gaussian'")
        return _per_row(log_prob(self.likelihood, output, x))

    def output(self, batch: Batch, z: Tensor) -> Tensor | Distribution:
        """What the decoder returns: a distribution of x, or a tensor."""
        assert self._decode is not None
        output = self._decode(self.as_own(z, batch), *batch[1][: _more(self._decode)])
        return output if isinstance(output, Distribution) else _tensor_of(output)

    def as_own(self, value: Tensor, batch: Batch) -> Tensor:
        """A value in the precision of the model, or else of its data."""
        return value.to(batch[0].dtype if self.like is None else self.like.dtype)

    def _here(self, x: Any) -> Tensor:
        value: Tensor = torch.as_tensor(x)
        value = to_pixels(value) if value.dtype == torch.uint8 else value
        if self.like is None:
            return value
        return value.to(self.like) if value.is_floating_point() else value.to(self.like.device)

    def _beside(self, value: Any) -> Any:
        if self.like is None or not isinstance(value, Tensor):
            return value
        return value.to(self.like.device)


def log_prob(likelihood: Any, output: Tensor, x: Tensor) -> Tensor:
    """log P(x) under what a decoder returned, by any form of likelihood that `diagnose` takes."""
    if likelihood == "bernoulli":
        if not (output.min() >= 0 and output.max() <= 1):
            raise ValueError(
                "likelihood: 'bernoulli' expects probabilities from decode, got values from "
                f"{output.min():.3g} to {output.max():.3g}; logits are 'bernoulli_logits'"
            )
        Bernoulli().check(x)
        target = x.reshape(output.shape).double()
        return -F.binary_cross_entropy(output.double(), target, reduction="none")
    result: Tensor
    if isinstance(likelihood, str):
        known = {"bernoulli_logits": Bernoulli(), "gaussian": Gaussian()}
        if likelihood not in known:
            raise ValueError(
                "likelihood: expected 'bernoulli', 'bernoulli_logits', 'gaussian', a likelihood "
                f"of vaelib or a function of (output, x), got {likelihood!r}"
            )
        likelihood = known[likelihood]
    if hasattr(likelihood, "log_prob"):
        likelihood.check(x)
        result = likelihood.log_prob(output.flatten(1).double(), x.flatten(1).double())
    else:
        result = likelihood(output, x)
    return result


def _per_row(values: Tensor) -> Tensor:
    return values.double().flatten(1).sum(1) if values.ndim > 1 else values.double()


def _tensor_of(output: Any) -> Tensor:
    """The tensor that a decoder returned, alone or with others."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        return output[0]
    for name in OUTPUTS:
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(value, Tensor):
            return value
    raise TypeError(f"decode: expected a tensor or a distribution, got {type(output).__name__}")


def _more(function: Callable[..., Any]) -> int:
    """How many arguments without a default a function has after the first."""
    try:
        signature = inspect.signature(
            function.forward if isinstance(function, nn.Module) else function
        )
    except (TypeError, ValueError):
        return 0
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in signature.parameters.values() if p.kind in kinds and p.default is p.empty]
    return max(0, len(needed) - 1)


def _modules_of(function: Any) -> list[nn.Module]:
    """The modules that a function is a method of, or has in hand."""
    if isinstance(function, nn.Module):
        return [function]
    owner = getattr(function, "__self__", None)
    found = [owner, *vars(owner).values()] if hasattr(owner, "__dict__") else [owner]
    inner = inspect.unwrap(getattr(function, "__func__", function))
    if inspect.isfunction(inner):
        names = inspect.getclosurevars(inner)
        found += [*names.nonlocals.values(), *names.globals.values()]
        found += [getattr(value, "__self__", None) for value in [*found]]
    partial = [getattr(function, "func", None), *getattr(function, "args", ())]
    return [part for part in [*found, *partial] if isinstance(part, nn.Module)]
