"""The form of every dataset, and pixels from what is stored."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageData:
    """A dataset of labelled images, split into a training and a test part, all four as tensors.

    NumPy arrays are accepted and converted.

    Parameters
    ----------
    name
        Which images these are. `load("mnist")` may return data with the name `glyphs`: see `load`.
    train_images, test_images
        uint8, (n, channels, height, width). `to_pixels` turns them into numbers in [0, 1].
    train_labels, test_labels
        int64, (n,).

    Raises
    ------
    TypeError
        If one is neither a tensor nor an array, or has another type of number.
    ValueError
        If one has another shape, is empty, does not fit the others, or has its channels last.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def __post_init__(self) -> None:
        """Convert arrays; check types and shapes."""
        for field in fields(self)[1:]:
            tensor = _as_tensor(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, tensor)
            dtype = torch.int64 if field.name.endswith("labels") else torch.uint8
            if tensor.dtype != dtype:
                raise TypeError(f"{field.name}: expected {dtype}; got {tensor.dtype}")
        for part in ("train", "test"):
            images: Tensor = getattr(self, f"{part}_images")
            labels: Tensor = getattr(self, f"{part}_labels")
            if images.ndim != 4 or 0 in images.shape:
                raise ValueError(
                    f"{part}_images: expected shape (n, channels, height, width), none of them 0; "
                    f"got {tuple(images.shape)}"
                )
            check_image_shape(f"{part}_images", images.shape)
            if labels.shape != images.shape[:1]:
                raise ValueError(
                    f"{part}_labels: expected shape ({len(images)},), one label for each image; "
                    f"got {tuple(labels.shape)}"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"test_images: expected images of {tuple(self.train_images.shape[1:])}, as in "
                f"train_images; got {tuple(self.test_images.shape[1:])}"
            )


def to_pixels(images: Tensor | NDArray[np.generic], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return pixels, 0 black and 1 white, from bytes or from pixels.

    Shown in the chapter on the autoencoder.

    Parameters
    ----------
    images
        A tensor or a NumPy array of any shape: bytes (uint8), which are divided by 255, or floating
        point numbers, which only change their type: the likelihood checks what they may be. It is
        not changed.
    dtype
        The result's floating point type: float32 to train with, float64 for numbers to print.

    Returns
    -------
    Tensor
        On the same device. It is `images` itself where nothing had to be converted.

    Raises
    ------
    TypeError
        If `images` holds other integers, or `dtype` is not a floating point type.
    """
    if not dtype.is_floating_point:
        raise TypeError(f"dtype: expected a floating point type; got {dtype}")
    tensor = _as_tensor("images", images)
    if tensor.dtype == torch.uint8:
        return tensor.to(dtype).div_(255)
    if not tensor.is_floating_point():
        raise TypeError(f"images: expected uint8 or floating point numbers; got {tensor.dtype}")
    return tensor.to(dtype)


def check_image_shape(argument: str, shape: tuple[int, ...]) -> None:
    """Raise a ValueError if the last three lengths are those of an image with its channels last.

    Parameters
    ----------
    argument
        What the error calls it.
    shape
        (..., channels, height, width). 32×32×3 is taken for 3 channels last; 512×4×4 is not.
    """
    if len(shape) > 2 and min(shape[-3:-1]) > 4 and shape[-1] in (1, 3, 4):
        raise ValueError(
            f"{argument}: expected (channels, height, width); got {tuple(shape)}, which looks like "
            "(height, width, channels). Use movedim(-1, -3) on the images"
        )


def _as_tensor(argument: str, value: object) -> Tensor:
    if isinstance(value, np.ndarray):
        # torch takes neither arrays that cannot be written nor negative strides.
        return torch.from_numpy(np.require(value, requirements=["C", "W"]))
    if not isinstance(value, Tensor):
        raise TypeError(f"{argument}: expected a tensor or an array; got {type(value).__name__}")
    return value
