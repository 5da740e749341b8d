"""The full generated sets are pinned, and the drawn digits are as hard as MNIST."""

import hashlib
import time

import pytest
import torch
from test_data import GLYPHS_SHA256

from vaelib import data
from vaelib.data import ImageData, glyphs, tiles, to_pixels

TILES_SHA256 = "4eaa6fa5aa6cf9fa9a818c37b5798d37343207c38bd9b763d73c44b3fe18cdc3"


def digest(images: ImageData) -> str:
    """Of the images and labels in the order in which they were drawn."""
    parts = (images.train_images, images.test_images, images.train_labels, images.test_labels)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def digits() -> ImageData:
    """The full set of glyphs, drawn without any cache."""
    begin = time.process_time()
    drawn = glyphs.draw(70_000)
    assert time.process_time() - begin < 20
    return data._split("glyphs", *drawn)


def test_the_full_sets_are_pinned(digits: ImageData) -> None:
    assert digest(digits) == GLYPHS_SHA256
    images = data._split("tiles", *tiles.draw(70_000))
    parts = (images.train_images, images.train_labels, images.test_images, images.test_labels)
    stored = b"".join(part.numpy().tobytes() for part in parts)
    assert hashlib.sha256(stored).hexdigest() == TILES_SHA256
    # Two degrees of freedom, without grain: hardly any image comes twice.
    train = {image.tobytes() for image in images.train_images.numpy()}
    assert len(train) > 59_900
    assert sum(image.tobytes() in train for image in images.test_images.numpy()) < 20


def test_the_glyphs_resemble_mnist(digits: ImageData) -> None:
    assert digits.train_images.shape == (60_000, 1, 28, 28)
    assert digits.test_images.shape == (10_000, 1, 28, 28)
    assert digits.train_labels.bincount().min() > 5_700
    pixels = to_pixels(digits.train_images).flatten(1)
    assert 0.11 < pixels.mean() < 0.16, "MNIST: 0.131"
    assert (pixels[:, [0, 27, 756, 783]] == 0).float().mean() > 0.995, "corners are black"
    # As many directions of large variance as MNIST has: 12 above 1, the first 5.12.
    spread = torch.linalg.eigvalsh(torch.cov(pixels.T.double())).flip(0)
    assert 9 <= (spread > 1).sum() <= 15
    assert 4 < spread[0] < 6.5


def test_no_test_glyph_is_a_training_glyph(digits: ImageData) -> None:
    train = {image.tobytes() for image in digits.train_images.numpy()}
    assert len(train) == 60_000
    assert not any(image.tobytes() in train for image in digits.test_images.numpy())


def accuracy(model: torch.nn.Module, digits: ImageData, epochs: int, rate: float) -> float:
    """Of a classifier after `epochs` of training with a rate that falls to zero."""
    pixels = to_pixels(digits.train_images).flatten(1)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    steps = epochs * -(-len(pixels) // 128)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels)).split(128):
            labels = digits.train_labels[batch]
            loss = torch.nn.functional.cross_entropy(model(pixels[batch]), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        guess = model(to_pixels(digits.test_images).flatten(1)).argmax(1)
    return (guess == digits.test_labels).double().mean().item()


def test_glyphs_are_too_varied_for_a_linear_classifier_but_not_for_a_small_network(
    digits: ImageData,
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            linear = torch.nn.Linear(784, 10)
            layers = torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
            assert 0.85 < accuracy(linear, digits, epochs=6, rate=5e-3) < 0.94
            assert accuracy(torch.nn.Sequential(*layers), digits, epochs=5, rate=3e-3) > 0.965
    finally:
        torch.set_num_threads(threads)
