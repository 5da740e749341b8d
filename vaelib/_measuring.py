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
        if missing:
            raise TypeError(
                f"model: expected encode(x) -> (mu, logvar), decoder(z) and a likelihood, got a "
                f"{type(model).__name__} without {', '.join(missing)}. latent_statistics(mu, "
                "logvar) measures the codes of any model"
            )
        modules = list(model.modules()) if isinstance(model, nn.Module) else []
        training = [module for module in modules if module.training]
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
        images = torch.as_tensor(images).split(BATCH)
    like = next(iter(model.parameters()), torch.zeros(()))
    empty = True
    for batch in images:
        part = batch[0] if isinstance(batch, tuple | list) else batch
        if len(part):
            empty = False
            yield to_pixels(part, like.dtype).to(like.device)
    if empty:
        raise ValueError("images: expected at least one image, got none")
