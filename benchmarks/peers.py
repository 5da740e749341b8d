"""One step of training, by us and by what people would use instead: same layers, batch, optimiser.

Each function returns a callable that trains for some steps, and how many it trains for. The network
is 784-hidden-latent and back, ReLU, Bernoulli likelihood, batch 128, Adam at 1e-3, on MNIST.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.adam import adam

from vaelib import VAE, ConvVAE, elbo, load, to_pixels
from vaelib.lab import elbo_gradient
from vaelib.training import minibatches

Trainer = tuple[Callable[[], object], int]
BATCH = 128
NETS: dict[str, dict[str, Any]] = {
    "784-400-20": {"hidden": (400,), "latent": 20},
    "784-256-64-32-24-16": {"hidden": (256, 64, 32, 24), "latent": 16},
    "convolutional": {"hidden": (8, 16, 256), "latent": 16},
}


def model(net: str, device: str = "cpu") -> VAE:
    torch.manual_seed(0)
    kind = ConvVAE if net == "convolutional" else VAE
    return kind((1, 28, 28), **NETS[net], initialisation="glorot").to(device)


def forever(n: int) -> Any:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield from (index for index in minibatches(n, BATCH, generator) if len(index) == BATCH)


# --- the limit ------------------------------------------------------------------------------------


def products(net: str, dtype: torch.dtype, device: str) -> Callable[[], object]:
    """The matrix products of one step alone: forward, by the weights, by the inputs."""
    linear = [layer for layer in model(net).modules() if isinstance(layer, nn.Linear)]
    place: dict[str, Any] = {"dtype": dtype, "device": device}
    work = []
    for position, layer in enumerate(linear):
        x = torch.rand(BATCH, layer.in_features).to(**place)
        y = torch.rand(BATCH, layer.out_features).to(**place)
        w = torch.rand(layer.out_features, layer.in_features).to(**place)
        work += [(x, w.t(), torch.empty_like(y)), (y.t(), x, torch.empty_like(w))]
        if position:  # nobody needs the slope by the pixels
            work.append((y, w, torch.empty_like(x)))

    def run() -> None:
        for left, right, out in work:
            torch.mm(left, right, out=out)

    return run


def stacked_products(net: str, networks: int) -> Callable[[], object]:
    """The same for so many networks at once, each layer's products in one call."""
    linear = [layer for layer in model(net).modules() if isinstance(layer, nn.Linear)]
    work = []
    for position, layer in enumerate(linear):
        x = torch.rand(networks, BATCH, layer.in_features)
        y = torch.rand(networks, BATCH, layer.out_features)
        w = torch.rand(networks, layer.out_features, layer.in_features)
        work += [(x, w.mT, torch.empty_like(y)), (y.mT, x, torch.empty_like(w))]
        if position:
            work.append((y, w, torch.empty_like(x)))

    def run() -> None:
        for left, right, out in work:
            torch.bmm(left, right, out=out)

    return run


def convolutions(net: str) -> Callable[[], object]:
    """The convolutions of one step alone, forward and back."""
    work, vae = [], model(net)
    for layers, x in ((vae.encoder, torch.rand(BATCH, 1, 28, 28)), (vae.decoder, None)):
        x = torch.rand(BATCH, NETS[net]["latent"]) if x is None else x
        for layer in layers:
            y = layer(x).detach()
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                transposed = isinstance(layer, nn.ConvTranspose2d)
                by_input = layer is not vae.encoder[0]  # nobody needs the slope by the pixels
                work.append((x, layer, torch.rand_like(y), transposed, by_input))
            x = y

    @torch.no_grad()
    def run() -> None:
        for x, layer, slope, transposed, by_input in work:
            layer(x)
            torch.ops.aten.convolution_backward(
                *(slope, x, layer.weight, [len(slope[0])], layer.stride, layer.padding),
                *(layer.dilation, transposed, layer.output_padding, 1, [by_input, True, True]),
            )

    return run


def adam_pass(net: str, device: str) -> Callable[[], object]:
    """One fused pass of Adam over all parameters, in one vector."""
    n = sum(parameter.numel() for parameter in model(net).parameters())
    draws, zeros = torch.randn(2, n, device=device), torch.zeros(2, n, device=device)
    vectors = [*draws, *zeros]
    options = {"beta1": 0.9, "beta2": 0.999, "lr": 1e-3, "weight_decay": 0.0, "eps": 1e-8}
    lists = [[vector] for vector in vectors]
    return partial(
        adam,
        *lists,
        [],
        [torch.zeros((), device=device)],
        fused=True,
        amsgrad=False,
        maximize=False,
        **options,
    )


def limit(net: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Trainer:
    parts = [products(net, dtype, device), adam_pass(net, device)]
    if net == "convolutional":
        parts.append(convolutions(net))

    def run() -> None:
        for part in parts:
            part()

    return run, 1


# --- ours -----------------------------------------------------------------------------------------


def ours(net: str, precision: torch.dtype | None = None, device: str = "cpu") -> Trainer:
    """The steps that `Experiment.run` takes."""
    images, vae = load("mnist").train_images.to(device), model(net, device)
    batches, noise = forever(len(images)), torch.Generator(device).manual_seed(0)
    optimiser = torch.optim.Adam(vae.parameters(), fused=True)

    def run() -> None:
        x = to_pixels(images.index_select(0, next(batches).to(device)))
        if net == "convolutional":
            vae.zero_grad()
            (-elbo(vae, x, generator=noise).mean()).backward()
        else:
            elbo_gradient(vae, x, generator=noise, precision=precision)
        optimiser.step()

    return run, 1


def by_autograd(net: str, device: str = "cpu") -> Trainer:
    """The plain loop in memory: the ELBO, autograd, and PyTorch's Adam."""
    images, vae = load("mnist").train_images.to(device), model(net, device)
    batches, noise = forever(len(images)), torch.Generator(device).manual_seed(0)
    optimiser = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)

    def run() -> None:
        x = to_pixels(images.index_select(0, next(batches).to(device)))
        vae.zero_grad()
        (-elbo(vae, x, generator=noise).mean()).backward()
        optimiser.step()

    return run, 1


# --- others ---------------------------------------------------------------------------------------


def dataloader(net: str) -> Trainer:
    """The loop of most tutorials: torchvision's MNIST, ToTensor, a DataLoader that shuffles."""
    import os

    from torchvision import datasets, transforms

    root = os.environ["VAELIB_DATA"]
    images = datasets.MNIST(root, train=True, transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True)
    vae = model(net)
    optimiser = torch.optim.Adam(vae.parameters(), lr=1e-3)

    def batches() -> Any:
        while True:
            yield from loader

    stream = batches()

    def run() -> float:
        x, _ = next(stream)
        features = vae.encoder(x if net == "convolutional" else x.flatten(1))
        mu, logvar = vae.mu(features), vae.logvar(features)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        pixels = torch.sigmoid(vae.decoder(z))
        loss = F.binary_cross_entropy(pixels, x.flatten(1), reduction="sum")
        loss = loss - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return run, 1


def pythae(net: str, batches: int = 20) -> Trainer:
    """pythae's VAE in its own trainer's loop, over its own DataLoader."""
    import logging
    import tempfile

    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    x = load("mnist").train_images[: BATCH * batches].float() / 255
    trainer = BaseTrainer(
        model=pythae_model(net),
        train_dataset=BaseDataset(x, torch.zeros(len(x))),
        training_config=BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(),
            num_epochs=1,
            learning_rate=1e-3,
            per_device_train_batch_size=BATCH,
            optimizer_cls="Adam",
            train_dataloader_num_workers=0,
            no_cuda=True,
        ),
    )
    trainer.prepare_training()
    callbacks = trainer.callback_handler
    callbacks.callbacks = [c for c in callbacks.callbacks if "Progress" not in type(c).__name__]
    return partial(trainer.train_step, 1), batches


def pythae_model(net: str) -> Any:
    """pythae's VAE around our layers."""
    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    vae = model(net)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.mu, self.logvar = vae.encoder, vae.mu, vae.logvar

        def forward(self, x: torch.Tensor) -> Any:
            features = self.layers(x if net == "convolutional" else x.flatten(1))
            return ModelOutput(embedding=self.mu(features), log_covariance=self.logvar(features))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = vae.decoder

        def forward(self, z: torch.Tensor) -> Any:
            pixels = self.layers(z).sigmoid().view(-1, 1, 28, 28)
            return ModelOutput(reconstruction=pixels)

    config = VAEConfig(
        input_dim=(1, 28, 28), latent_dim=NETS[net]["latent"], reconstruction_loss="bce"
    )
    return PythaeVAE(config, Encoder(), Decoder())


def jax_products(net: str) -> Trainer:
    """JAX: the matrix products of one step alone."""
    import jax
    import jax.numpy as jnp

    linear = [layer for layer in model(net).modules() if isinstance(layer, nn.Linear)]
    work = []
    for layer in linear:
        x = jnp.ones((BATCH, layer.in_features))
        y = jnp.ones((BATCH, layer.out_features))
        work.append((x, y, jnp.ones((layer.in_features, layer.out_features))))

    @jax.jit
    def multiply(work: Any) -> Any:
        forward = [x @ w for x, _, w in work]
        by_weights = [x.T @ y for x, y, _ in work]
        return forward, by_weights, [y @ w.T for _, y, w in work[1:]]

    return lambda: jax.block_until_ready(multiply(work)), 1


def jax_epoch(net: str, batches: int = 20) -> Trainer:
    """JAX: all batches in one compiled program, ``lax.scan`` over steps."""
    import jax
    import jax.numpy as jnp
    from jax import lax, random

    shape = NETS[net]
    widths = (784, *shape["hidden"])
    back = (shape["latent"], *reversed(shape["hidden"]), 784)
    keys = iter(random.split(random.PRNGKey(0), 40))

    def linear(inputs: int, outputs: int) -> Any:
        bound = (6 / (inputs + outputs)) ** 0.5
        weight = random.uniform(next(keys), (inputs, outputs), minval=-bound, maxval=bound)
        return weight, jnp.zeros(outputs)

    weights = {
        "encoder": [linear(*pair) for pair in itertools.pairwise(widths)],
        "mu": linear(widths[-1], shape["latent"]),
        "logvar": linear(widths[-1], shape["latent"]),
        "decoder": [linear(*pair) for pair in itertools.pairwise(back)],
    }
    images = jnp.asarray(load("mnist").train_images.reshape(-1, 784).numpy())

    def loss(weights: Any, x: Any, key: Any) -> Any:
        h = x
        for w, b in weights["encoder"]:
            h = jax.nn.relu(h @ w + b)
        mu = h @ weights["mu"][0] + weights["mu"][1]
        logvar = h @ weights["logvar"][0] + weights["logvar"][1]
        h = mu + jnp.exp(0.5 * logvar) * random.normal(key, mu.shape)
        for w, b in weights["decoder"][:-1]:
            h = jax.nn.relu(h @ w + b)
        logits = h @ weights["decoder"][-1][0] + weights["decoder"][-1][1]
        nats = jnp.sum(jax.nn.softplus(logits) - x * logits)
        return (nats + 0.5 * jnp.sum(mu**2 + jnp.exp(logvar) - logvar - 1)) / len(x)

    def step(carry: Any, index: Any) -> Any:
        weights, means, squares, count, key = carry
        key, noise = random.split(key)
        gradient = jax.grad(loss)(weights, images[index].astype(jnp.float32) / 255, noise)
        count = count + 1
        means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradient)
        squares = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, squares, gradient)
        first, second = 1 - 0.9**count, 1 - 0.999**count
        weights = jax.tree.map(
            lambda w, m, s: w - 1e-3 * (m / first) / (jnp.sqrt(s / second) + 1e-8),
            weights, means, squares,
        )  # fmt: skip
        return (weights, means, squares, count, key), None

    epoch = jax.jit(lambda carry, order: lax.scan(step, carry, order)[0], donate_argnums=0)
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    state = [(weights, *zeros, jnp.zeros(()), random.PRNGKey(1))]
    order = np.random.default_rng(0).permutation(60_000)[: BATCH * batches]
    order = jnp.asarray(order.reshape(batches, BATCH))

    def run() -> None:
        state[0] = epoch(state[0], order)
        jax.block_until_ready(state[0])

    return run, batches
