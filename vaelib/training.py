"""The training loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import joblib
import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from tqdm import tqdm

from vaelib.data import to_pixels

Loss = Callable[..., Tensor]
Gradient = Callable[[Tensor, int], None]
Watcher = Callable[[int], None]


class Threads(NamedTuple):
    """How many threads training uses, and why."""

    threads: int
    why: str


def training_threads() -> Threads:
    """Say how many threads `Experiment.run` trains with, and why.

    One, whatever the machine has: then a seed gives the same weights on any number of cores, and a
    busy neighbour costs next to nothing. Who sets the environment variable ``VAELIB_THREADS``, or
    else ``OMP_NUM_THREADS``, gets so many, up to the cores that this process may use, by its
    affinity and its container's quota. A sweep uses all of those, one network and one thread each.

    Raises
    ------
    ValueError
        If ``VAELIB_THREADS`` is not a whole number above 0.
    """
    own = os.environ.get("VAELIB_THREADS")
    if own and not (own.isdecimal() and int(own)):
        raise ValueError(f"VAELIB_THREADS: expected a whole number above 0, got {own!r}")
    # OMP_NUM_THREADS may be a list, one number for each level of nesting.
    general = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if own:
        name, wanted = "VAELIB_THREADS", int(own)
    elif general.isdecimal() and int(general):
        name, wanted = "OMP_NUM_THREADS", int(general)
    else:
        return Threads(1, "the default: the same weights on any number of cores")
    cores = joblib.cpu_count()
    if wanted > cores:
        return Threads(cores, f"{name}={wanted}, but this process may use {cores}")
    return Threads(wanted, f"{name}={wanted}")


def minibatches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of n images once, in random order; the last batch may be smaller."""
    yield from torch.randperm(n, generator=generator).split(batch_size)


class Adam:
    """Adam [Kingma and Ba 2015], all parameters in one pass.

    It computes what `torch.optim.Adam` computes, by the same function. But to make one of those
    imports PyTorch's compiler, which takes 150 MB and longer than a chapter's whole set-up.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [parameter.new_zeros(()).float() for parameter in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient."""
        moved = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        adam(
            [self.parameters[i] for i in moved],
            [gradient for i in moved if (gradient := self.parameters[i].grad) is not None],
            [self.means[i] for i in moved],
            [self.squares[i] for i in moved],
            [],
            [self.steps[i] for i in moved],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def fit(
    model: nn.Module,
    images: Tensor,
    loss: Loss,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    final_learning_rate: float | None = None,
    seed: int = 0,
    labels: Tensor | None = None,
    gradient: Gradient | None = None,
    device: str | torch.device = "cpu",
    watch: Watcher | None = None,
    progress: str | None = None,
) -> None:
    """Train a model in place with Adam [Kingma and Ba 2015].

    Parameters
    ----------
    model : Module
        What is trained.
    images : Tensor (n, channels, height, width), uint8 or floating point
        The training set; bytes stay bytes until a batch needs them as pixels.
    loss : callable (x, epoch) -> scalar Tensor
        What is minimised, given a batch of pixels and the number of the epoch, counted from 0.
    epochs, batch_size, learning_rate
        The schedule; the defaults are those of the talk.
    final_learning_rate : float, optional
        In the last epoch; the rate goes there by the same factor from epoch to epoch. By default
        it stays what it is.
    seed : int
        Decides the order of the images.
    labels : Tensor (n,), optional
        With them the loss is called with the labels of the batch too: (x, epoch, labels).
    gradient : callable (x, epoch), optional
        Sets the parameters' gradients by itself, as `elbo_gradient` does, where that is faster
        than to find them from the loss by autograd. The loss is then not evaluated at all.
    device : device, optional
        Where training happens. Model and images are moved there, and stay; the loss gets its
        batches there.
    watch : callable (step), optional
        Called before the first step with 0, and after each step with the number of steps done.
    progress : str, optional
        Label of a progress bar; none is shown without.

    Raises
    ------
    ValueError
        If a number of the schedule is not positive, there are no images, or the weights stop being
        finite.
    """
    if min(epochs, batch_size) < 1 or not learning_rate > 0:
        raise ValueError(
            "epochs, batch_size, learning_rate: expected positive numbers, "
            f"got {epochs}, {batch_size}, {learning_rate}"
        )
    if len(images) == 0:
        raise ValueError("images: expected at least one image, got none")
    final = learning_rate if final_learning_rate is None else final_learning_rate
    if not 0 < final <= learning_rate:
        raise ValueError(
            f"final_learning_rate: expected one up to {learning_rate}, got {final_learning_rate}"
        )
    model.to(device)
    images = images.to(device)
    optimiser = Adam(model.parameters())
    slower = (final / learning_rate) ** (1 / max(1, epochs - 1))
    generator = torch.Generator().manual_seed(seed)
    step = 0
    if watch:
        watch(step)
    total = epochs * -(-len(images) // batch_size)
    with tqdm(total=total, desc=progress, unit="step", disable=progress is None) as bar:
        for epoch in range(epochs):
            for index in minibatches(len(images), batch_size, generator):
                x = images.index_select(0, index.to(device))
                x = to_pixels(x) if x.dtype == torch.uint8 else x
                if gradient:
                    gradient(x, epoch)
                else:
                    model.zero_grad()
                    arguments = (
                        (x, epoch) if labels is None else (x, epoch, labels[index].to(device))
                    )
                    loss(*arguments).backward()
                optimiser.step(learning_rate)
                step += 1
                bar.update()
                if watch:
                    watch(step)
            learning_rate *= slower
            if not all(parameter.isfinite().all() for parameter in model.parameters()):
                raise ValueError(f"loss: it drove the weights to infinity or NaN in epoch {epoch}")
