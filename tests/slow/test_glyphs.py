"""The drawn digits are as hard as MNIST, and none of the test is in the training set."""

import pytest
import torch

from vaelib import load, to_pixels
from vaelib.data import ImageData


@pytest.fixture(scope="module")
def glyphs() -> ImageData:
    return load("glyphs")


def test_the_glyphs_resemble_mnist(glyphs: ImageData) -> None:
    assert glyphs.train_images.shape == (60_000, 1, 28, 28)
    assert glyphs.test_images.shape == (10_000, 1, 28, 28)
    assert glyphs.train_labels.bincount().min() > 5_700
    pixels = to_pixels(glyphs.train_images).flatten(1)
    assert 0.11 < pixels.mean() < 0.16, "MNIST: 0.131"
    assert (pixels[:, [0, 27, 756, 783]] == 0).float().mean() > 0.995, "corners are black"
    # As many directions of large variance as MNIST has: 12 above 1, the first 5.12.
    spread = torch.linalg.eigvalsh(torch.cov(pixels.T.double())).flip(0)
    assert 9 <= (spread > 1).sum() <= 15
    assert 4 < spread[0] < 6.5


def test_no_test_glyph_is_a_training_glyph(glyphs: ImageData) -> None:
    seen = {image.tobytes() for image in glyphs.train_images.numpy()}
    assert len(seen) == 60_000
    assert not any(image.tobytes() in seen for image in glyphs.test_images.numpy())


def accuracy(model: torch.nn.Module, glyphs: ImageData, epochs: int, rate: float) -> float:
    """Of a classifier after `epochs` of training with a rate that falls to zero."""
    pixels = to_pixels(glyphs.train_images).flatten(1)
    optimiser = torch.optim.Adam(model.parameters(), rate)
    steps = epochs * -(-len(pixels) // 128)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels)).split(128):
            labels = glyphs.train_labels[batch]
            loss = torch.nn.functional.cross_entropy(model(pixels[batch]), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        guess = model(to_pixels(glyphs.test_images).flatten(1)).argmax(1)
    return (guess == glyphs.test_labels).double().mean().item()


def test_glyphs_are_too_varied_for_a_linear_classifier_but_not_for_a_small_network(
    glyphs: ImageData,
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = torch.nn.Linear(784, 10)
        network = torch.nn.Sequential(
            torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
        )
        assert 0.85 < accuracy(linear, glyphs, epochs=6, rate=5e-3) < 0.94
        assert accuracy(network, glyphs, epochs=5, rate=3e-3) > 0.965
