"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from vaelib.data import to_pixels
from vaelib.models import Autoencoder

Loss = Callable[[Tensor, int], Tensor]
Watcher = Callable[[int], None]


def minibatches(images: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield all images once, in random order, as pixels; the last batch may be smaller."""
    for index in torch.randperm(len(images), generator=generator).split(batch_size):
        yield to_pixels(images.index_select(0, index))


def fit(
    model: Autoencoder,
    images: Tensor,
    loss: Loss,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
    watch: Watcher | None = None,
    progress: str | None = None,
) -> None:
    """Train a model in place with Adam [Kingma and Ba 2015].

    Parameters
    ----------
    model : Autoencoder
        What is trained.
    images : Tensor (n, channels, height, width), uint8
        The training set; it stays uint8 until a batch needs it.
    loss : callable (x, epoch) -> scalar Tensor
        What is minimised, given a batch of pixels and the number of the epoch, counted from 0.
    epochs, batch_size, learning_rate
        The schedule; the defaults are those of the talk.
    seed : int
        Decides the order of the images.
    watch : callable (step), optional
        Called before the first step with 0, and after each step with the number of steps done.
    progress : str, optional
        Label of a progress bar; none is shown without.

    Raises
    ------
    ValueError
        If a number of the schedule is not positive, there are no images, or the loss stops being
        finite.
    """
    if min(epochs, batch_size) < 1 or not learning_rate > 0:
        raise ValueError(
            "epochs, batch_size, learning_rate: expected positive numbers, "
            f"got {epochs}, {batch_size}, {learning_rate}"
        )
    if len(images) == 0:
        raise ValueError("images: expected at least one image, got none")
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    generator = torch.Generator().manual_seed(seed)
    step = 0
    if watch:
        watch(step)
    total = epochs * -(-len(images) // batch_size)
    with tqdm(total=total, desc=progress, unit="step", disable=progress is None) as bar:
        for epoch in range(epochs):
            for x in minibatches(images, batch_size, generator):
                value = loss(x, epoch)
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
                step += 1
                bar.update()
                if watch:
                    watch(step)
            if not torch.isfinite(value):
                raise ValueError(f"loss: expected a finite number, got {value} in epoch {epoch}")
