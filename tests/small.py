"""An experiment, and images to train it on, small enough to be trained in a test."""

from typing import Any

import attrs
import torch
from torch import Tensor

from vaelib.data import ImageData
from vaelib.lab import Experiment

SMALL = Experiment(
    dataset="tiny",
    hidden=(6,),
    latent=3,
    epochs=4,
    batch_size=16,
    learning_rate=1e-2,
    seed=3,
)


def small(**changes: Any) -> Experiment:
    return attrs.evolve(SMALL, **changes)


def make_data(name: str = "tiny", shape: tuple[int, int, int] = (1, 3, 4)) -> ImageData:
    """40 images to train on and 40 others, of two factors; the label tells the first of them."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.rand(80, 2, generator=generator)
    pattern = torch.rand(2, shape[0] * shape[1] * shape[2], generator=generator)
    images = (255 * (factors @ pattern / 2).clamp(0, 1)).to(torch.uint8).reshape(80, *shape)
    labels = (3 * factors[:, 0]).long()
    return ImageData(name, images[:40], labels[:40], images[40:], labels[40:])


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two groups of tensors are the same to the last bit."""
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )
