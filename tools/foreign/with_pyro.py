"""Pyro: the encoder, decoder and SVI of its VAE example."""

import pyro
import pyro.distributions as dist
import torch
from common import digits, keep
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor, nn

from vaelib import diagnose

EPOCHS = 6


class Encoder(nn.Module):
    def __init__(self, z_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, hidden_dim)
        self.fc21 = nn.Linear(hidden_dim, z_dim)
        self.fc22 = nn.Linear(hidden_dim, z_dim)
        self.softplus = nn.Softplus()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.softplus(self.fc1(x.reshape(-1, 784)))
        return self.fc21(hidden), torch.exp(self.fc22(hidden))  # mean and standard deviation


class Decoder(nn.Module):
    def __init__(self, z_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(z_dim, hidden_dim)
        self.fc21 = nn.Linear(hidden_dim, 784)
        self.softplus = nn.Softplus()

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.fc21(self.softplus(self.fc1(z))))


class VAE(nn.Module):
    def __init__(self, z_dim: int = 50, hidden_dim: int = 400) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(z_dim, hidden_dim), Decoder(z_dim, hidden_dim)
        self.z_dim = z_dim

    def model(self, x: Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            zero = torch.zeros(len(x), self.z_dim)
            z = pyro.sample("latent", dist.Normal(zero, 1.0).to_event(1))
            pixels = dist.Bernoulli(self.decoder(z), validate_args=False)
            pyro.sample("obs", pixels.to_event(1), obs=x.reshape(-1, 784))

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            pyro.sample("latent", dist.Normal(*self.encoder(x)).to_event(1))


pyro.set_rng_seed(0)
vae = VAE()
svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-3}), Trace_ELBO())
data = digits("train", 20_000)
for _ in range(EPOCHS):
    for rows in torch.randperm(len(data)).split(128):
        svi.step(data[rows])

found = diagnose(
    encode=vae.encoder,
    decode=vae.decoder,
    data=digits("test", 2_000),
    likelihood="bernoulli",
    spread="std",
)
keep("pyro-ppl", "VAE of its example, 784-400-50", "model", found, epochs=EPOCHS)
