"""vaelib: the models, the measures and the experiments of the book on variable collapse."""

from vaelib import _openmp  # noqa: F401  (first, before anything imports torch)
from vaelib.data import ImageData, load, to_pixels
from vaelib.experiment import Experiment, Run, classifier_experiment, image_features, sweep
from vaelib.gradients import elbo_gradient
from vaelib.metrics import (
    LatentStatistics,
    LikelihoodEstimate,
    MarginalDecomposition,
    encode_images,
    frechet_distance,
    latent_statistics,
    log_likelihood,
    marginal_decomposition,
    mean_elbo,
    reconstruct,
    reconstruction_error,
    reconstruction_gain,
)
from vaelib.models import VAE, Autoencoder, Classifier, ConvVAE, LinearVAE, count_parameters
from vaelib.objectives import (
    drop_variables,
    elbo,
    free_bits,
    gaussian_kl,
    iwae_bound,
    reconstruction_log_likelihood,
    sample_posterior,
)
from vaelib.theory import (
    LinearOptimum,
    PrincipalComponents,
    linear_vae_log_likelihood,
    linear_vae_optimum,
    principal_components,
)
from vaelib.training import fit, training_threads

__all__ = [
    "VAE",
    "Autoencoder",
    "Classifier",
    "ConvVAE",
    "Experiment",
    "ImageData",
    "LatentStatistics",
    "LikelihoodEstimate",
    "LinearOptimum",
    "LinearVAE",
    "MarginalDecomposition",
    "PrincipalComponents",
    "Run",
    "classifier_experiment",
    "count_parameters",
    "drop_variables",
    "elbo",
    "elbo_gradient",
    "encode_images",
    "fit",
    "frechet_distance",
    "free_bits",
    "gaussian_kl",
    "image_features",
    "iwae_bound",
    "latent_statistics",
    "linear_vae_log_likelihood",
    "linear_vae_optimum",
    "load",
    "log_likelihood",
    "marginal_decomposition",
    "mean_elbo",
    "principal_components",
    "reconstruct",
    "reconstruction_error",
    "reconstruction_gain",
    "reconstruction_log_likelihood",
    "sample_posterior",
    "sweep",
    "to_pixels",
    "training_threads",
]
