"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from vaelib.data import to_pixels


def minibatches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of n images once, in random order; the last batch may be smaller."""
    yield from torch.randperm(n, generator=generator).split(batch_size)


def fit(
    model: nn.Module,
    images: Tensor,
    loss: Callable[..., Tensor | None],
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    final_learning_rate: float | None = None,
    seed: int = 0,
    labels: Tensor | None = None,
    on_step: Callable[[int], None] | None = None,
    on_epoch: Callable[[int, torch.optim.Optimizer], None] | None = None,
    progress: str | None = None,
) -> None:
    """Train a model in place, where it is, with Adam [Kingma and Ba 2015].

    It is an error if the weights stop being finite. Shown in the chapter on the linear case.

    Parameters
    ----------
    model : Module
    images : Tensor (n, channels, height, width), uint8 or floating point
        The training set; bytes stay bytes until a batch needs them as pixels.
    loss : callable (x, epoch) -> scalar Tensor or None
        What is minimised, given a batch of pixels and the number of the epoch, counted from 0.
        It may set the gradients itself and return None, as `vaelib.lab.elbo_gradient` does.
    epochs, batch_size, learning_rate
        The schedule; the defaults are those of the talk.
    final_learning_rate : float, optional
        In the last epoch; the rate goes there by the same factor from epoch to epoch.
    seed : int
        Decides the order of the images.
    labels : Tensor (n,), optional
        With them the loss is called with the labels of the batch too: (x, epoch, labels).
    on_step : callable (step), optional
        Called before the first step with 0, and after each step with the number of steps done.
    on_epoch : callable (epoch, optimiser), optional
        Called before each epoch.
    progress : str, optional
        Label of a progress bar, which needs tqdm; none is shown without.
    """
    if min(epochs, batch_size) < 1 or not learning_rate > 0:
        raise ValueError(
            "epochs, batch_size, learning_rate: expected positive numbers, "
            f"got {epochs}, {batch_size}, {learning_rate}"
        )
    if not isinstance(images, Tensor):
        raise TypeError(f"images: expected a tensor of all images, got {type(images).__name__}")
    if len(images) == 0:
        raise ValueError("images: expected at least one image, got none")
    final = learning_rate if final_learning_rate is None else final_learning_rate
    if not 0 < final <= learning_rate:
        raise ValueError(
            f"final_learning_rate: expected one up to {learning_rate}, got {final_learning_rate}"
        )
    weight = next(model.parameters())
    images = images.to(weight.device)
    optimiser = _adam(model, learning_rate)
    slower = (final / learning_rate) ** (1 / max(1, epochs - 1))
    generator = torch.Generator().manual_seed(seed)
    step = 0
    if on_step:
        on_step(step)
    with _progress_bar(progress, epochs * -(-len(images) // batch_size)) as bar:
        for epoch in range(epochs):
            if on_epoch:
                on_epoch(epoch, optimiser)
            for index in minibatches(len(images), batch_size, generator):
                x = to_pixels(images.index_select(0, index.to(images.device)), weight.dtype)
                batch_labels = () if labels is None else (labels[index].to(x.device),)
                value = loss(x, epoch, *batch_labels)
                if value is not None:
                    optimiser.zero_grad()
                    value.backward()
                optimiser.step()
                step += 1
                if bar:
                    bar.update()
                if on_step:
                    on_step(step)
            for group in optimiser.param_groups:
                group["lr"] *= slower
            if not all(parameter.isfinite().all() for parameter in model.parameters()):
                raise ValueError(f"loss: it drove the weights to infinity or NaN in epoch {epoch}")


def _adam(model: nn.Module, learning_rate: float) -> torch.optim.Adam:
    try:
        return torch.optim.Adam(model.parameters(), learning_rate, fused=True)
    except RuntimeError:  # on the CPU before PyTorch 2.4
        return torch.optim.Adam(model.parameters(), learning_rate)


def _progress_bar(label: str | None, steps: int) -> Any:
    if label is None:
        return nullcontext()
    from tqdm import tqdm

    return tqdm(total=steps, desc=label)
