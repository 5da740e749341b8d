"""Keras: a functional VAE, whose codes go out as NumPy arrays, and which is a module in PyTorch."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from common import digits, keep
from keras import layers, ops

from vaelib import diagnose

EPOCHS, LATENT = 5, 16
NAME = f"functional VAE, 784-256-{LATENT}"


class Sampling(layers.Layer):
    """Draws z, and adds the KL to the loss."""

    def call(self, inputs):
        mu, logvar = inputs
        kl = -0.5 * ops.sum(1 + logvar - mu**2 - ops.exp(logvar), axis=1)
        self.add_loss(ops.mean(kl))
        return mu + ops.exp(0.5 * logvar) * keras.random.normal(ops.shape(mu))


def pixels_summed(x, output):
    return 784 * keras.losses.binary_crossentropy(x, output)


keras.utils.set_random_seed(0)
images = keras.Input((784,))
hidden = layers.Dense(256, "relu")(images)
mu, logvar = layers.Dense(LATENT)(hidden), layers.Dense(LATENT)(hidden)
encoder = keras.Model(images, [mu, logvar, Sampling()([mu, logvar])])
decoder = keras.Sequential(
    [keras.Input((LATENT,)), layers.Dense(256, "relu"), layers.Dense(784, "sigmoid")]
)
vae = keras.Model(images, decoder(encoder(images)[2]))
vae.compile("adam", pixels_summed)
train, test = (
    digits(part, n).flatten(1).numpy() for part, n in (("train", 20_000), ("test", 2_000))
)
vae.fit(train, train, epochs=EPOCHS, batch_size=128, verbose=2)

mu, logvar, _ = encoder.predict(test, verbose=0)
keep("keras", NAME, "arrays", diagnose(mu, logvar), epochs=EPOCHS)

found = diagnose(encode=lambda x: encoder(x)[:2], decode=decoder, data=test, likelihood="bernoulli")
keep("keras", NAME, "model", found, epochs=EPOCHS)
