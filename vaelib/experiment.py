"""What was trained, where it is kept, and how many are trained at once."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vaelib import _store
from vaelib.data import ImageData, load, to_pixels
from vaelib.data.lock import exclusive_lock
from vaelib.gradients import elbo_gradient
from vaelib.metrics import (
    LatentStatistics,
    encode_images,
    frechet_distance,
    latent_statistics,
    log_likelihood,
    mean_elbo,
    reconstruct,
    reconstruction_error,
    reconstruction_gain,
)
from vaelib.models import VAE, Autoencoder, Classifier, ConvVAE, LinearVAE
from vaelib.objectives import (
    drop_variables,
    elbo,
    free_bits,
    gaussian_kl,
    iwae_bound,
    reconstruction_log_likelihood,
    sample_posterior,
)
from vaelib.training import Gradient, Loss, fit, training_threads

MODELS: dict[str, Any] = {
    "Autoencoder": Autoencoder,
    "VAE": VAE,
    "ConvVAE": ConvVAE,
    "LinearVAE": LinearVAE,
    "Classifier": Classifier,
}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
HISTORY_IMAGES = 1_000  # of the test set, for the statistics during training
GAIN_IMAGES = 500  # of the test set, for the gains during training
FINAL_GAIN_IMAGES = 2_000  # of the test set, for the gains after it
EVALUATED_AT_ONCE = 500  # images
DRAWS = 10_000  # from the prior, for the quality of samples
_SEEDING = threading.Lock()  # torch draws initial weights from one generator for all threads


class MissingRunError(RuntimeError):
    """A run is not stored, and training is forbidden."""


@dataclass(frozen=True)
class Experiment:
    """Everything that decides what training gives.

    Attributes
    ----------
    dataset : str
        A name that `load` knows; its training images are trained on, its test images measured.
    model : {"VAE", "Autoencoder", "ConvVAE", "LinearVAE", "Classifier"}
        A classifier takes its ``latent`` as the number of its features, and no ``hidden``.
    hidden, latent, likelihood, decoder_variance, learned_variance, initialisation, activation
        The architecture, as in `Autoencoder`.
    beta : float
        Weight of the KL.
    beta_warmup : int
        The weight grows from 0 to ``beta`` over so many epochs, linearly, step by epoch.
    sample_from_epoch : int
        Before this epoch z is the posterior mean, without noise; from it on z is sampled.
    free_variable : int, optional
        This variable has no KL.
    revive_epochs : (first, last), optional
        In epochs first, …, last − 1 the variable with the least Var μ at the start of the first
        one has no KL.
    importance_samples : int
        With more than 1 the `iwae_bound` is maximised instead of the ELBO.
    free_bits : float
        Nats of KL that each variable has free, as in `free_bits`.
    latent_dropout : float
        Probability with which a variable is hidden from the decoder, as in `drop_variables`.
    binarise : bool
        Draw black or white pixels anew for each batch, with the grey pixels as probabilities.
    epochs, batch_size, learning_rate, final_learning_rate
        The schedule, as in `fit`.
    precision : {"float32", "bfloat16"}
        In which a dense network's layers are multiplied during training; its weights are float32
        always. bfloat16 is 1.3 to 1.5 times as fast on processors that have it, and far slower
        on others.
    images : int, optional
        Train on the first so many images only.
    history : bool
        Whether the latent variables are measured during training too, or only at its end.
    filmed_images : int
        Keep, as often as the variables are measured, how so many test images are reconstructed.
    evaluation_samples : int
        If any, measure after training also the held-out log-likelihood, with so many importance
        samples per image, and the quality of prior draws.
    evaluation_images : int
        Over so many images, evenly spaced in the test set.
    seed : int
        Decides the initial weights, the order of the images and the noise.
    """

    dataset: str = "mnist"
    model: str = "VAE"
    hidden: tuple[int, ...] = (256, 64, 32, 24)
    latent: int = 16
    likelihood: str = "bernoulli"
    decoder_variance: float = 1.0
    learned_variance: bool = False
    initialisation: str = "glorot"
    activation: str = "relu"
    beta: float = 1.0
    beta_warmup: int = 0
    sample_from_epoch: int = 0
    free_variable: int | None = None
    revive_epochs: tuple[int, int] | None = None
    importance_samples: int = 1
    free_bits: float = 0.0
    latent_dropout: float = 0.0
    binarise: bool = False
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-3
    final_learning_rate: float | None = None
    precision: str = "float32"
    images: int | None = None
    history: bool = True
    filmed_images: int = 0
    evaluation_samples: int = 0
    evaluation_images: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        # 2 and 2.0, or a list and a tuple, say the same: they must give the same name.
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _as(kind, name, value))
        # It becomes part of a file name, which must not lead out of the folder of the runs.
        if not (isinstance(self.dataset, str) and re.fullmatch(r"\w[\w-]{0,63}", self.dataset)):
            raise ValueError(
                f"dataset: expected a name of letters, digits, _ and -, got {self.dataset!r}"
            )
        if self.model not in MODELS:
            raise ValueError(f"model: expected one of {', '.join(MODELS)}, got {self.model!r}")
        for name in (
            *("latent", "epochs", "batch_size", "learning_rate", "final_learning_rate"),
            *("images", "importance_samples", "evaluation_images"),
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a positive number, got {value!r}")
        for name in (
            *("beta", "beta_warmup", "sample_from_epoch"),
            *("free_bits", "latent_dropout", "evaluation_samples", "filmed_images"),
        ):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected a number >= 0, got {getattr(self, name)!r}")
        if not self.latent_dropout < 1:
            raise ValueError(
                f"latent_dropout: expected a probability below 1, got {self.latent_dropout!r}"
            )
        if self.free_variable is not None and not 0 <= self.free_variable < self.latent:
            raise ValueError(
                f"free_variable: expected one of {self.latent}, got {self.free_variable!r}"
            )
        if self.revive_epochs is not None and not (
            len(self.revive_epochs) == 2
            and 0 <= self.revive_epochs[0] < self.revive_epochs[1] <= self.epochs
        ):
            raise ValueError(
                "revive_epochs: expected (first, last) with 0 <= first < last <= epochs, "
                f"got {self.revive_epochs}"
            )
        if self.importance_samples > 1 and any(
            getattr(self, name) != default for name, default in _OF_THE_ELBO.items()
        ):
            raise ValueError(
                "importance_samples: the IWAE bound has none of "
                f"{', '.join(_OF_THE_ELBO)}; leave them as they are"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )
        if self.precision != "float32" and not self._by_hand:
            raise ValueError(
                f"precision: {self.precision} is for dense networks trained on the ELBO as it is, "
                "without importance samples, free bits or dropout"
            )
        if self.filmed_images and not self.history:
            raise ValueError("filmed_images: they are filmed for the history, which is off")
        # The model itself checks its arguments; on the meta device that costs nothing.
        try:
            with torch.device("meta"):
                self._new_model((1, 64, 64))
        except (TypeError, RuntimeError) as error:  # a width beyond 64 bits
            raise ValueError(
                f"hidden and latent: expected widths that can be counted, got {self.hidden} and "
                f"{self.latent}"
            ) from error

    @property
    def _by_hand(self) -> bool:
        """Whether `elbo_gradient` knows the gradient of what is minimised."""
        return (
            self.model in ("Autoencoder", "VAE")
            and self.importance_samples == 1
            and not self.free_bits
            and not self.latent_dropout
        )

    @property
    def canonical(self) -> str:
        """The experiment as JSON: only what differs from the defaults, in alphabetical order.

        So a field added later leaves the runs of earlier experiments valid.
        """
        said = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    @property
    def name(self) -> str:
        """A file name: readable in front, unique by its digest."""
        digest = hashlib.sha256(self.canonical.encode()).hexdigest()[:12]
        return f"{self.dataset}-{self.model.lower()}{self.latent}-seed{self.seed}-{digest}"

    def build(self, shape: tuple[int, ...]) -> Autoencoder | Classifier:
        """Make the untrained model for images of this shape; the seed decides its weights."""
        with _SEEDING, torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._new_model(shape)

    def _new_model(self, shape: tuple[int, ...]) -> Autoencoder | Classifier:
        if self.model == "Classifier":
            return Classifier(shape, self.latent)
        kind: type[Autoencoder] = MODELS[self.model]
        return kind(
            shape,
            self.hidden,
            self.latent,
            likelihood=self.likelihood,
            initialisation=self.initialisation,
            decoder_variance=self.decoder_variance,
            learned_variance=self.learned_variance,
            activation=self.activation,
        )

    def run(self, *, weights: bool = True, device: str = "cpu") -> Run:
        """Load the stored run of exactly this experiment, or else train it now and store it.

        Runs are stored in the folder ``VAELIB_RUNS``, by default ``book/runs``. With
        ``VAELIB_TRAIN=never`` a missing run is an error.

        Parameters
        ----------
        weights : bool
            Whether the run must come with the trained model, or its measurements suffice.
        device : str
            Where it is trained if it must be: "cpu", "cuda", or "auto", which is "cuda" where there
            is one. Another kind of processor rounds differently, so its run is another network.

        Raises
        ------
        DamagedRunError
            If the stored file is truncated or altered, or describes another experiment.
        MissingRunError
            If nothing is stored and training is forbidden.
        """
        path = self._stored(weights)
        if path is None:
            path = _train_and_store(self, weights, progress=True, device=device)
        return Run.read(path, self)

    def _stored(self, weights: bool) -> Path | None:
        """Where the run is kept already, if it is."""
        kinds = ("run",) if weights else ("sweep", "run")
        paths = [runs_folder() / f"{self.name}.{kind}.safetensors" for kind in kinds]
        return next((path for path in paths if path.exists()), None)


def _whole(value: Any) -> int:
    if int(value) != value:
        raise ValueError
    return int(value)


def _finite(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError
    return float(value)


def _wholes(values: Any) -> tuple[int, ...]:
    return tuple(map(_whole, values))


# What changes the terms of the ELBO.
_OF_THE_ELBO: dict[str, object] = {
    **{"beta": 1.0, "beta_warmup": 0, "sample_from_epoch": 0, "free_variable": None},
    **{"revive_epochs": None, "free_bits": 0.0, "latent_dropout": 0.0},
}
_KINDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("hidden", "revive_epochs"), _wholes),
    **dict.fromkeys(("decoder_variance", "beta", "free_bits", "latent_dropout"), _finite),
    **dict.fromkeys(("learning_rate", "final_learning_rate"), _finite),
    **dict.fromkeys(("latent", "beta_warmup", "sample_from_epoch", "free_variable"), _whole),
    **dict.fromkeys(("epochs", "batch_size", "images", "seed", "importance_samples"), _whole),
    **dict.fromkeys(("evaluation_samples", "evaluation_images", "filmed_images"), _whole),
    **dict.fromkeys(("learned_variance", "binarise", "history"), bool),
}


def _as(kind: Callable[[Any], Any], name: str, value: Any) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: expected numbers of its kind, got {value!r}") from error


@dataclass(frozen=True)
class Run:
    """What training an experiment gave.

    Attributes
    ----------
    experiment : Experiment
    history : dict of Tensor
        Empty, or ``step`` (times,) and, at each of these steps, per variable (times, latent):
        ``mu_variance``, ``mean_variance`` and ``kl`` over the first 1,000 test images, ``gain``
        (z at the posterior mean) and ``noisy_gain`` (z drawn from the posterior) over the first
        500. Nats per image. With ``filmed_images`` also ``film`` (times, images, channels, height,
        width), uint8: the first test images, reconstructed from the posterior mean.
    measurements : dict of Tensor
        After training, in float64: ``mu_variance``, ``mean_variance``, ``kl`` over the whole test
        set, ``gain`` and ``noisy_gain`` over its first 2,000 images, each (latent,); ``nats`` and
        ``squared_error`` of the reconstruction from the posterior mean, ``elbo`` (for a VAE),
        ``decoder_variance`` (where it is learned). Where evaluation was asked for:
        ``log_likelihood`` of each image and its Monte Carlo ``log_likelihood_error`` (images,);
        of 10,000 prior draws ``frechet``, the distance to the test images in the features of
        the classifier, and ``legibility``, the share it is sure of with a probability above 0.9.
        For a classifier its ``accuracy``.
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
        said = self.measurements
        return LatentStatistics(said["mu_variance"], said["mean_variance"], said["kl"])

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
            f"{part}/{name}": value
            for part, group in parts.items()
            for name, value in group.items()
        }
        _store.write(path, tensors, self.experiment.canonical)

    @classmethod
    def read(cls, path: Path, experiment: Experiment) -> Run:
        """Read a stored run of this experiment back."""
        tensors, description = _store.read(path)
        if description != experiment.canonical:
            raise _store.DamagedRunError(
                f"{path}: expected a run of {experiment.canonical}, it is one of {description}"
            )
        history, measured, weights = (
            {
                name.partition("/")[2]: value
                for name, value in tensors.items()
                if name.startswith(part)
            }
            for part in ("history/", "measured/", "weights/")
        )
        return cls(experiment, history, measured, weights)


def runs_folder() -> Path:
    """The folder where runs are stored: ``VAELIB_RUNS``, or ``book/runs`` of this project."""
    folder = os.environ.get("VAELIB_RUNS")
    return Path(folder) if folder else Path(__file__).parent.parent / "book" / "runs"


def sweep(experiments: Iterable[Experiment], *, jobs: int | None = None) -> list[Run]:
    """Run many experiments side by side, one core each, keeping only their measurements.

    Each result is stored as soon as it is there: a sweep that was stopped goes on where it was.
    While a client of `dask.distributed` is open, the same call trains on its cluster, whose workers
    need this package and must see the folders of the runs and of the data under the same names.

    Parameters
    ----------
    experiments : iterable of Experiment
    jobs : int, optional
        How many at once; all cores by default. A cluster decides that for itself.

    Returns
    -------
    list of Run
        In the order of the experiments.

    Raises
    ------
    MissingRunError
        If one is not stored and training is forbidden.
    """
    wanted = list(experiments)
    missing = [e for e in dict.fromkeys(wanted) if e._stored(weights=False) is None]
    train_all(missing, weights=False, jobs=jobs)
    return [experiment.run(weights=False) for experiment in wanted]


def train_all(missing: list[Experiment], *, weights: bool, jobs: int | None = None) -> None:
    """Train and store experiments side by side, with a progress bar if there are any.

    The classifiers with which they are evaluated come first.
    """
    if not missing:
        return
    _check_training_allowed(missing[0])
    judges = {classifier_experiment(e.dataset) for e in missing if e.evaluation_samples}
    train_all([e for e in judges if e._stored(weights=True) is None], weights=True, jobs=jobs)
    # A worker may have started under other settings, or elsewhere.
    settings = {name: value for name, value in os.environ.items() if name.startswith("VAELIB_")}
    folder = runs_folder().absolute()
    task = partial(_train_in_worker, weights=weights, settings=settings, folder=folder)
    for _ in tqdm(_side_by_side(task, missing, jobs), total=len(missing), unit="run"):
        pass


def _side_by_side(
    task: Callable[[Experiment], None], experiments: list[Experiment], jobs: int | None
) -> Iterator[None]:
    """Do a task for each experiment, on the cluster at hand or on the cores of this machine."""
    distributed = sys.modules.get("distributed")  # who has a client has imported it
    try:
        client = distributed.Client.current() if distributed else None
    except ValueError:
        client = None
    if distributed and client:
        # Not by joblib's dask backend: that waits for ever for a task that ended all its workers.
        for future in distributed.as_completed(client.map(task, experiments, pure=False)):
            yield future.result()
    else:
        parallel = joblib.Parallel(jobs or joblib.cpu_count(), return_as="generator_unordered")
        yield from parallel(map(joblib.delayed(task), experiments))


def _train_in_worker(
    experiment: Experiment, weights: bool, settings: dict[str, str], folder: Path
) -> None:
    os.environ.update(settings)
    if runs_folder().absolute() != folder:
        os.environ["VAELIB_RUNS"] = str(folder)
    # Whatever OMP_NUM_THREADS says: joblib sets it in its workers as it sees fit.
    _train_and_store(experiment, weights, progress=False, threads=1)


def _check_training_allowed(experiment: Experiment) -> None:
    if os.environ.get("VAELIB_TRAIN") == "never":
        raise MissingRunError(
            f"{experiment.name}: no stored run in {runs_folder()}, and VAELIB_TRAIN=never forbids "
            f"training it. The experiment: {experiment.canonical}"
        )


def _train_and_store(experiment: Experiment, weights: bool, progress: bool, **how: Any) -> Path:
    path = runs_folder() / f"{experiment.name}.{'run' if weights else 'sweep'}.safetensors"
    if path.exists():  # stored since it was found missing, say by a worker that then died
        return path
    _check_training_allowed(experiment)
    data = load(experiment.dataset)
    if data.name != experiment.dataset:
        raise ValueError(
            f"dataset: expected {experiment.dataset}, but {data.name} takes its place on this "
            "machine; write dataset=load(...).name"
        )
    # Locked before it is trained: a folder that cannot be written must not cost the training.
    with exclusive_lock(path):
        if not path.exists():
            run = train(experiment, data, progress=progress, **how)
            (run if weights else dataclasses.replace(run, weights={})).write(path)
    return path


def train(
    experiment: Experiment,
    data: ImageData,
    *,
    progress: bool = False,
    device: str = "cpu",
    threads: int | None = None,
) -> Run:
    """Train the model of an experiment, and measure it on the way and at the end.

    On as many threads as `training_threads` says, if nothing else is asked for.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_num_threads()
    torch.set_num_threads(threads or training_threads().threads)
    try:
        return _train(experiment, data, experiment.name if progress else None, device)
    finally:
        torch.set_num_threads(before)


def _train(experiment: Experiment, data: ImageData, progress: str | None, device: str) -> Run:
    images = data.train_images[: experiment.images]
    model = experiment.build(tuple(images.shape[1:]))
    steps = watched_steps(experiment.epochs, -(-len(images) // experiment.batch_size))
    history: dict[str, list[Tensor]] = {}
    revived = torch.tensor(-1)
    loss: Loss
    labels = gradient = None
    if isinstance(model, Classifier):
        loss, labels = partial(_classification_loss, model), data.train_labels[: len(images)]
    else:
        loss, gradient = _objective(experiment, model, data, revived, device)

    def watch(step: int) -> None:
        if experiment.history and step in steps and isinstance(model, Autoencoder):
            for name, value in _glance(_at_home(model), data, experiment.filmed_images).items():
                history.setdefault(name, []).append(value)

    fit(
        model,
        images,
        loss,
        epochs=experiment.epochs,
        batch_size=experiment.batch_size,
        learning_rate=experiment.learning_rate,
        final_learning_rate=experiment.final_learning_rate,
        seed=experiment.seed,
        labels=labels,
        gradient=gradient,
        device=device,
        watch=watch,
        progress=progress,
    )
    model.cpu()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    measurements = {}
    if isinstance(model, VAE) and experiment.evaluation_samples:
        measurements = evaluate(model, data, experiment)
    measurements |= measure(model.double(), data)
    measurements["revived"] = revived
    seen = {name: torch.stack(values) for name, values in history.items()}
    if seen:
        seen["step"] = torch.tensor(sorted(steps))
    return Run(experiment, seen, measurements, weights)


def _objective(
    experiment: Experiment, model: Autoencoder, data: ImageData, revived: Tensor, device: str
) -> tuple[Loss, Gradient | None]:
    """What is minimised, and its gradient where that is known without autograd.

    The number of a variable that is revived is written to ``revived``.
    """
    noise = torch.Generator(device).manual_seed(experiment.seed)
    precision = PRECISIONS[experiment.precision]

    def kl_weights(epoch: int) -> Tensor:
        warm = 1.0 if not experiment.beta_warmup else min(1.0, epoch / experiment.beta_warmup)
        weights = torch.full((experiment.latent,), experiment.beta * warm, device=device)
        if experiment.free_variable is not None:
            weights[experiment.free_variable] = 0
        if experiment.revive_epochs and epoch in range(*experiment.revive_epochs):
            if revived < 0:
                revived.copy_(_statistics(_at_home(model), data).mu_variance.argmin())
            weights[revived] = 0
        return weights

    def loss(x: Tensor, epoch: int) -> Tensor:
        if experiment.binarise:
            x = torch.bernoulli(x, generator=noise)
        if not isinstance(model, VAE):
            return -reconstruction_log_likelihood(model, x, model.encode(x)[0]).mean()
        if experiment.importance_samples > 1:
            return -iwae_bound(model, x, experiment.importance_samples, noise).mean()
        sample = epoch >= experiment.sample_from_epoch
        if not (experiment.free_bits or experiment.latent_dropout):
            return -elbo(model, x, kl_weights(epoch), noise, sample).mean()
        mu, logvar = model.encode(x)
        z = sample_posterior(mu, logvar, noise) if sample else mu
        z = drop_variables(z, experiment.latent_dropout, noise)
        kl = free_bits(gaussian_kl(mu, logvar), experiment.free_bits)
        reconstruction = reconstruction_log_likelihood(model, x, z)
        return -(reconstruction - (kl_weights(epoch) * kl).sum(1)).mean()

    def gradient(x: Tensor, epoch: int) -> None:
        if experiment.binarise:
            x = torch.bernoulli(x, generator=noise)
        sample = epoch >= experiment.sample_from_epoch
        elbo_gradient(model, x, kl_weights(epoch), noise, sample, precision)

    return loss, gradient if experiment._by_hand else None


def _classification_loss(model: Classifier, x: Tensor, epoch: int, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(x), labels)


def watched_steps(epochs: int, steps_per_epoch: int) -> set[int]:
    """The steps at which the history looks: dense at first, then twice an epoch, 80 at most."""
    early = np.unique(np.geomspace(1, steps_per_epoch, 16).astype(int))
    looks = min(2 * epochs, 80)
    later = np.arange(looks + 1) * epochs * steps_per_epoch // looks
    return {0, *early.tolist(), *later.tolist()}


def _at_home(model: Autoencoder) -> Autoencoder:
    """The model where the images are: a copy of one that is trained elsewhere."""
    return model if model.mu.weight.device.type == "cpu" else copy.deepcopy(model).cpu()


def _statistics(model: Autoencoder, data: ImageData) -> LatentStatistics:
    return latent_statistics(*encode_images(model, data.test_images[:HISTORY_IMAGES]))


def _per_variable(
    model: Autoencoder, statistics: LatentStatistics, gain_images: Tensor
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "mu_variance": statistics.mu_variance,
        "mean_variance": statistics.mean_variance,
        "kl": statistics.kl,
        "gain": reconstruction_gain(model, gain_images),
        "noisy_gain": reconstruction_gain(model, gain_images, generator),
    }


def _glance(model: Autoencoder, data: ImageData, filmed: int) -> dict[str, Tensor]:
    seen = _per_variable(model, _statistics(model, data), data.test_images[:GAIN_IMAGES])
    seen = {name: value.float() for name, value in seen.items()}
    if filmed:
        pixels = reconstruct(model, data.test_images[:filmed]).clamp(0, 1)
        seen["film"] = (255 * pixels).round().to(torch.uint8)
    return seen


@torch.no_grad()
def measure(model: Autoencoder | Classifier, data: ImageData) -> dict[str, Tensor]:
    """Measure a model on the test set: the `Run.measurements`."""
    measured = {"shape": torch.tensor(data.test_images.shape[1:])}
    if isinstance(model, Classifier):
        right = _logits(model, data.test_images).argmax(1) == data.test_labels
        return measured | {"accuracy": right.double().mean()}
    mu, logvar = encode_images(model, data.test_images)
    statistics = latent_statistics(mu, logvar)
    nats, squared_error = reconstruction_error(model, data.test_images)
    measured |= _per_variable(model, statistics, data.test_images[:FINAL_GAIN_IMAGES])
    measured["nats"] = torch.tensor(nats, dtype=torch.float64)
    measured["squared_error"] = torch.tensor(squared_error, dtype=torch.float64)
    if model.learned_variance:
        measured["decoder_variance"] = model.decoder_variance
    if isinstance(model, VAE):
        generator = torch.Generator().manual_seed(0)
        value = mean_elbo(model, data.test_images, generator)
        measured["elbo"] = torch.tensor(value, dtype=torch.float64)
    return measured


def classifier_experiment(dataset: str) -> Experiment:
    """The classifier in whose features the quality of samples of a dataset is measured."""
    return Experiment(
        dataset=dataset, model="Classifier", hidden=(), latent=32, epochs=5, history=False
    )


@torch.no_grad()
def evaluate(model: VAE, data: ImageData, experiment: Experiment) -> dict[str, Tensor]:
    """Measure the held-out log-likelihood, image by image, and the quality of prior draws."""
    generator = torch.Generator().manual_seed(0)
    stride = max(1, len(data.test_images) // experiment.evaluation_images)
    x = to_pixels(data.test_images[::stride][: experiment.evaluation_images])
    if experiment.binarise:
        x = torch.bernoulli(x, generator=generator)
    found = log_likelihood(model, x, experiment.evaluation_samples, generator)
    with torch.enable_grad():  # it may have to be trained
        judge = classifier_experiment(data.name).run().classifier().to(x.dtype)
    draws = model.sample(DRAWS, generator).clamp(0, 1)
    distance = frechet_distance(
        image_features(judge, draws), image_features(judge, data.test_images)
    )
    return {
        "log_likelihood": found.log_likelihood,
        "log_likelihood_error": found.standard_error,
        "frechet": torch.tensor(distance, dtype=torch.float64),
        "legibility": (_logits(judge, draws).softmax(1).amax(1) > 0.9).double().mean(),
    }


@torch.no_grad()
def image_features(judge: Classifier, images: Tensor) -> Tensor:
    """The last hidden layer of a classifier: (n, channels, height, width) → (n, features)."""
    return torch.cat([judge.features(x) for x in _pieces(judge, images)])


def _logits(judge: Classifier, images: Tensor) -> Tensor:
    return torch.cat([judge(x) for x in _pieces(judge, images)])


def _pieces(judge: Classifier, images: Tensor) -> Iterator[Tensor]:
    dtype = judge.head.weight.dtype
    for part in images.split(EVALUATED_AT_ONCE):
        yield to_pixels(part, dtype) if part.dtype == torch.uint8 else part.to(dtype)
