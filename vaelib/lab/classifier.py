"""A classifier of images: in its features the quality of samples is measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaelib._measuring import BATCH
from vaelib.data import to_pixels


class Classifier(nn.Module):
    """Small convolutional classifier of images (channels, height, width).

    ``features`` is the width of its last hidden layer.
    """

    def __init__(self, shape: Sequence[int], features: int, classes: int = 10) -> None:
        super().__init__()
        channels, height, width = shape
        self.shape = tuple(shape)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * (-(-height // 4)) * (-(-width // 4)), features),
            nn.ReLU(),
        )
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to logits (batch, classes)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def loss(self, x: Tensor, epoch: int, labels: Tensor) -> Tensor:
        """Mean cross-entropy of a batch."""
        return F.cross_entropy(self(x), labels)


@torch.no_grad()
def image_features(classifier: Classifier, images: Tensor) -> Tensor:
    """The last hidden layer of a classifier: (n, channels, height, width) → (n, features)."""
    dtype = classifier.head.weight.dtype
    return torch.cat([classifier.features(to_pixels(x, dtype)) for x in images.split(BATCH)])


@torch.no_grad()
def image_logits(classifier: Classifier, images: Tensor) -> Tensor:
    """The logits of a classifier: (n, channels, height, width) → (n, classes)."""
    logits: Tensor = classifier.head(image_features(classifier, images))
    return logits
