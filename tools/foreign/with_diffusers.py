"""diffusers: a small `AutoencoderKL` on digits of 32×32, with the KL weighed as in its examples."""

import torch
from common import digits, keep
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from vaelib import diagnose

EPOCHS, KL_SCALE = 3, 1e-6


def images(part: str, count: int) -> Tensor:
    """In [-1, 1], as diffusers has them."""
    return F.pad(digits(part, count), (2, 2, 2, 2)) * 2 - 1


def loss(x: Tensor, output: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
    return (F.mse_loss(output, x, reduction="sum") + KL_SCALE * kl) / len(x)


torch.manual_seed(0)
vae = AutoencoderKL(
    in_channels=1,
    out_channels=1,
    down_block_types=("DownEncoderBlock2D",) * 3,
    up_block_types=("UpDecoderBlock2D",) * 3,
    block_out_channels=(8, 16, 32),
    latent_channels=4,
    norm_num_groups=4,
    sample_size=32,
)
optimiser = torch.optim.Adam(vae.parameters(), 1e-3)
data = images("train", 2_000)
for _ in range(EPOCHS):
    for rows in torch.randperm(len(data)).split(32):
        x = data[rows]
        posterior = vae.encode(x).latent_dist
        value = loss(x, vae.decode(posterior.sample()).sample, posterior.mean, posterior.logvar)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

found = diagnose(
    encode=vae.encode,
    decode=vae.decode,
    data=images("test", 500),
    likelihood="gaussian",
    loss=loss,
)
keep("diffusers", "AutoencoderKL, 4 channels", "model and loss", found, epochs=EPOCHS)
