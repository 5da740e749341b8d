"""vaelib: the models, the measures and the experiments of the book on variable collapse."""

from vaelib.claims import claim
from vaelib.data import ImageData, load, to_pixels
from vaelib.experiment import Experiment, Run, sweep
from vaelib.metrics import (
    LatentStatistics,
    MarginalDecomposition,
    encode_images,
    frechet_distance,
    latent_statistics,
    marginal_decomposition,
    mean_elbo,
    reconstruct,
    reconstruction_error,
    reconstruction_gain,
)
from vaelib.models import VAE, Autoencoder, count_parameters
from vaelib.objectives import elbo, gaussian_kl, reconstruction_log_likelihood, sample_posterior
from vaelib.plots import COLOURS, show_images, show_source, table, use_style
from vaelib.training import fit

__all__ = [
    "COLOURS",
    "VAE",
    "Autoencoder",
    "Experiment",
    "ImageData",
    "LatentStatistics",
    "MarginalDecomposition",
    "Run",
    "claim",
    "count_parameters",
    "elbo",
    "encode_images",
    "fit",
    "frechet_distance",
    "gaussian_kl",
    "latent_statistics",
    "load",
    "marginal_decomposition",
    "mean_elbo",
    "reconstruct",
    "reconstruction_error",
    "reconstruction_gain",
    "reconstruction_log_likelihood",
    "sample_posterior",
    "show_images",
    "show_source",
    "sweep",
    "table",
    "to_pixels",
    "use_style",
]
