"""pythae: its VAE with the encoder and decoder that it brings, trained by its pipeline."""

import tempfile

import torch
from common import digits, keep
from pythae.models import VAE, VAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig

from vaelib import diagnose

EPOCHS = 6

torch.manual_seed(0)
model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce"))
with tempfile.TemporaryDirectory() as folder:
    how = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=EPOCHS,
        learning_rate=1e-3,
        per_device_train_batch_size=128,
        no_cuda=True,
    )
    TrainingPipeline(model=model, training_config=how)(train_data=digits("train", 20_000))

found = diagnose(
    encode=model.encoder,
    decode=model.decoder,
    data=digits("test", 2_000),
    likelihood="bernoulli",
    loss=lambda x, output, mu, logvar: model.loss_function(output, x, mu, logvar, mu),
)
keep("pythae", "VAE, 784-512-16", "model and loss", found, epochs=EPOCHS)
