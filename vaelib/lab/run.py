"""What training an experiment gave: its history, its measurements and its weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaelib.lab import store
from vaelib.lab.classifier import Classifier
from vaelib.metrics import LatentStatistics, used
from vaelib.models import Autoencoder

if TYPE_CHECKING:
    from vaelib.lab.experiment import Experiment

# Files keep the names of the first edition.
STORED_NAMES = {
    "var_mu": "mu_variance",
    "mean_sigma2": "mean_variance",
    "reconstruction_nats": "nats",
    "confident_share": "legibility",
    "snapshots": "film",
}
NAMES = {stored: name for name, stored in STORED_NAMES.items()}


@dataclass(frozen=True)
class Run:
    """What training an experiment gave.

    Attributes
    ----------
    experiment : Experiment
    history : dict of Tensor
        Empty, or ``step`` (times,) and, at each of these steps, per variable (times, latent):
        ``var_mu``, ``mean_sigma2`` and ``kl`` over the first 1,000 test images, ``gain`` (z at
        the posterior mean) and ``noisy_gain`` (z drawn from the posterior) over the first 500.
        Nats per image. Where asked for also ``snapshots`` (times, images, channels, height,
        width), uint8: the first test images, reconstructed from the posterior mean.
    measurements : dict of Tensor
        After training, in float64: ``var_mu``, ``mean_sigma2``, ``kl`` over the whole test set,
        ``gain`` and ``noisy_gain`` over its first 2,000 images, each (latent,);
        ``reconstruction_nats`` and ``squared_error`` of the reconstruction from the posterior
        mean, ``elbo`` (for a VAE), ``decoder_variance`` (where it is learned).
        Where evaluation was asked for: ``log_likelihood`` of each image and its Monte Carlo
        ``log_likelihood_error`` (images,); of 10,000 prior draws ``frechet``, the distance to the
        test images in the features of the classifier, and ``confident_share``, the share to which
        it gives a label with a probability above 0.9. For a classifier its ``accuracy``.
        With ``beyond_test`` the ``training_elbo``, on the training images, and
        ``noisy_squared_error``, to the clean test images from noisy ones (Gaussian, 0.2, clipped).
        Of an experiment with a ``beta_path``, at the end of each rung: ``rung_var_mu``,
        ``rung_mean_sigma2``, ``rung_kl`` and ``rung_gain`` (rungs, latent), and ``rung_elbo``
        (rungs,), whatever the weight.
    weights : dict of Tensor
        The trained model's; empty where only measurements were kept.
    """

    experiment: Experiment
    history: dict[str, Tensor]
    measurements: dict[str, Tensor]
    weights: dict[str, Tensor]

    @property
    def statistics(self) -> LatentStatistics:
        """The latent statistics after training, over the whole test set."""
        return LatentStatistics(*(self.measurements[n] for n in ("var_mu", "mean_sigma2", "kl")))

    def model(self) -> Autoencoder:
        """The trained model in float64, so that what it computes prints alike on any machine."""
        model = self._trained()
        if not isinstance(model, Autoencoder):
            raise ValueError("model: this run trained a classifier; use classifier()")
        return model

    def classifier(self) -> Classifier:
        """The trained classifier, in float64 too."""
        model = self._trained()
        if not isinstance(model, Classifier):
            raise ValueError("model: this run trained an autoencoder; use model()")
        return model

    def _trained(self) -> Autoencoder | Classifier:
        if not self.weights:
            raise ValueError("weights: this run kept its measurements only; use run(weights=True)")
        shape = tuple(self.measurements["shape"].tolist())
        model = self.experiment.build(shape)
        model.load_state_dict(self.weights)
        return model.double().requires_grad_(False).eval()

    def write(self, path: Path) -> None:
        """Store the run, whole or not at all."""
        parts = {"history": self.history, "measured": self.measurements, "weights": self.weights}
        tensors = {
            f"{part}/{STORED_NAMES.get(name, name)}": value.clone()
            for part, group in parts.items()
            for name, value in group.items()
        }
        store.write(path, tensors, self.experiment.canonical)

    @classmethod
    def read(cls, path: Path, experiment: Experiment) -> Run:
        """Read a stored run of this experiment back."""
        tensors, description = store.read(path)
        if description != experiment.canonical:
            raise store.DamagedRunError(
                f"{path}: expected a run of {experiment.canonical}, it is one of {description}"
            )
        groups: dict[str, dict[str, Tensor]] = {"history": {}, "measured": {}, "weights": {}}
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            groups[part][NAMES.get(name, name)] = value
        return cls(experiment, *groups.values())


def gather(runs: Iterable[Run], name: str) -> Tensor:
    """Stack one of the `Run.measurements` of several runs: (runs, ...), in float64.

    Shown in the chapter on sparsity.
    """
    return torch.stack([run.measurements[name] for run in runs]).double()


def count_active(runs: Iterable[Run], threshold: float = 0.01) -> Tensor:
    """Number of active variables of each run, Var μ > ``threshold``: (runs,).

    Shown in the chapter on what decides the count.
    """
    return torch.stack([run.statistics.active(threshold).sum() for run in runs])


def count_used(runs: Iterable[Run], nats: float = 1.0) -> Tensor:
    """Number of variables that each run's decoder uses, gain > ``nats``: (runs,).

    Shown in the chapter on what decides the count.
    """
    return used(gather(runs, "gain"), nats).sum(1)
