"""A network that begins as a shallower one: its last hidden layer starts as the identity."""

from __future__ import annotations

import torch
from torch import Tensor


def deepened(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The weights of a dense ReLU network with one hidden layer more, which computes the same.

    What leaves a ReLU is not negative, and a layer of equal width that multiplies it by 1 and adds
    0 passes it on unchanged. The encoder gets that layer behind its last hidden one. The decoder
    gets it behind its first one and not before it: z is negative too. Shown in the chapter *From
    the line to the network*.

    Parameters
    ----------
    weights : dict of Tensor
        The ``state_dict`` of an `Autoencoder` or `VAE`.
    layers : int
        How many hidden layers it has, at least one. They are at even places, with ReLUs between.
    """
    deeper = {}
    for name, value in weights.items():
        if name.startswith("decoder.") and not name.startswith("decoder.0."):
            _, place, kind = name.split(".")
            name = f"decoder.{int(place) + 2}.{kind}"
        deeper[name] = value
    width = weights["mu.weight"].shape[1]
    for layer in (f"encoder.{2 * layers}", "decoder.2"):
        deeper[f"{layer}.weight"] = torch.eye(width)
        deeper[f"{layer}.bias"] = torch.zeros(width)
    return deeper
