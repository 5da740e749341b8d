"""How a model is measured: in evaluation mode, without gradients, on images of any form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vaelib.data import to_pixels

BATCH = 500  # images at once: large enough to be fast, small enough for 100 MB in float64

# Bytes or pixels (n, ...), or a Dataset or DataLoader of batches of them, with or without labels.
Images = Tensor | np.ndarray[Any, Any] | Iterable[Any]
P = ParamSpec("P")
R = TypeVar("R")


def evaluation_mode(
    function: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], R]:
    """Let a function measure its first argument, a model, without changing it."""

    @functools.wraps(function)
    def measured(model: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        missing = [name for name in ("encode", "decoder", "likelihood") if not hasattr(model, name)]
        if not missing and not hasattr(model.likelihood, "log_prob"):
            missing = ["log_prob in its likelihood"]
        if missing:
            raise TypeError(
                "model: expected encode(x) -> (mu, logvar), decoder(z) and a likelihood with "
                f"log_prob(output, x); {type(model).__name__} is without {', '.join(missing)}. "
                "latent_statistics(mu, logvar) measures the codes of any model"
            )
        training = [module for module in _modules(model) if module.training]
        try:
            for module in training:
                module.training = False
            with torch.no_grad():
                return function(model, *args, **kwargs)
        finally:
            for module in training:
                module.training = True

    return measured


def image_batches(model: Any, images: Images) -> Iterator[Tensor]:
    """Yield the images in pieces, as pixels in the precision and on the device of the model."""
    if isinstance(images, Dataset):
        images = DataLoader(images, BATCH)
    if isinstance(images, Tensor | np.ndarray):
        images = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    if isinstance(images, Iterator):
        raise TypeError("images: expected what can be read twice, got an iterator")
    parameters = (weight for module in _modules(model) for weight in module.parameters())
    like = next(parameters, torch.zeros((), dtype=torch.float32))
    pixels = (
        to_pixels(batch[0] if isinstance(batch, tuple | list) else batch, like.dtype)
        for batch in images
    )
    batches = (x.to(like.device) for x in pixels if len(x))
    first = next(batches, None)
    if first is None:
        raise ValueError("images: expected at least one image, got none")
    _check_code(model.encode(first[:1]))
    yield first
    yield from batches


def to_cpu(values: Any) -> Tensor:
    """What a caller has, a tensor, an array or a list of numbers, as a tensor on the CPU."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    # A copy: torch takes neither arrays that cannot be written nor negative strides.
    return torch.from_numpy(np.array(values))


def _modules(model: Any) -> list[nn.Module]:
    """All modules of a model, or of the attributes of an object that is no module itself."""
    parts = [model] if isinstance(model, nn.Module) else getattr(model, "__dict__", {}).values()
    return [module for part in parts if isinstance(part, nn.Module) for module in part.modules()]


def _check_code(code: Any) -> None:
    pair = code if isinstance(code, tuple | list) and len(code) == 2 else [code]
    if len(pair) != 2 or not all(isinstance(part, Tensor) for part in pair):
        kinds = ", ".join(type(part).__name__ for part in pair)
        raise TypeError(f"model: expected encode(x) -> (mu, logvar), two tensors, got {kinds}")
