"""vaelib: variational autoencoders, and which of their latent variables are used.

The core of the book on variable collapse: models, objectives, measures and theory. What trains
and stores its experiments is in `vaelib.lab`, what prints it in `vaelib.book`.
"""

from . import _openmp as _openmp  # first, before anything imports torch
from .data import ImageData as ImageData
from .data import load as load
from .data import to_pixels as to_pixels
from .diagnosis import Diagnosis as Diagnosis
from .diagnosis import Finding as Finding
from .diagnosis import diagnose as diagnose
from .estimates import LikelihoodEstimate as LikelihoodEstimate
from .estimates import MarginalDecomposition as MarginalDecomposition
from .estimates import empty_and_missed as empty_and_missed
from .estimates import frechet_distance as frechet_distance
from .estimates import log_likelihood as log_likelihood
from .estimates import marginal_decomposition as marginal_decomposition
from .estimates import nearest as nearest
from .likelihoods import Bernoulli as Bernoulli
from .likelihoods import ContinuousBernoulli as ContinuousBernoulli
from .likelihoods import Gaussian as Gaussian
from .metrics import LatentStatistics as LatentStatistics
from .metrics import encode_images as encode_images
from .metrics import latent_statistics as latent_statistics
from .metrics import mean_elbo as mean_elbo
from .metrics import reconstruct as reconstruct
from .metrics import reconstruction_error as reconstruction_error
from .metrics import reconstruction_gain as reconstruction_gain
from .metrics import used as used
from .models import VAE as VAE
from .models import Autoencoder as Autoencoder
from .models import count_parameters as count_parameters
from .objectives import elbo as elbo
from .objectives import gaussian_kl as gaussian_kl
from .objectives import importance_weights as importance_weights
from .objectives import reconstruction_log_likelihood as reconstruction_log_likelihood
from .objectives import sample_posterior as sample_posterior
from .theory import LinearOptimum as LinearOptimum
from .theory import PrincipalComponents as PrincipalComponents
from .theory import linear_vae_optimum as linear_vae_optimum
from .theory import principal_components as principal_components
from .training import fit as fit
from .variants import ConvVAE as ConvVAE
from .variants import LinearVAE as LinearVAE
