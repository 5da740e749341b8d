"""An experiment: everything that decides what training gives."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import attrs
import torch

from vaelib.data import ImageData, load
from vaelib.data.lock import exclusive_lock
from vaelib.lab import store
from vaelib.lab.classifier import Classifier
from vaelib.lab.fields import choice, flag, number, whole, wholes
from vaelib.lab.held import HeldVAE
from vaelib.lab.measurements import Measurement
from vaelib.lab.objective import Objective, has_written_gradient
from vaelib.lab.run import Run
from vaelib.lab.training import Schedule, reproducible, train
from vaelib.models import ACTIVATIONS, LIKELIHOODS, VAE, Autoencoder
from vaelib.variants import ConvVAE, LinearVAE

MODELS: dict[str, Any] = {
    "VAE": VAE,
    "Autoencoder": Autoencoder,
    "ConvVAE": ConvVAE,
    "LinearVAE": LinearVAE,
    "HeldVAE": HeldVAE,
    "Classifier": Classifier,
}
_SEEDING = threading.Lock()  # torch draws initial weights from one generator for all threads


class MissingRunError(RuntimeError):
    """A run is not stored, and training is forbidden."""


@attrs.define(frozen=True, kw_only=True, slots=False)
class Architecture:
    """The network, as in `vaelib.Autoencoder`."""

    model: str = choice(*MODELS)  #: a Classifier takes ``latent`` as the number of its features
    hidden: tuple[int, ...] = wholes((256, 64, 32, 24), least=1, most=10**6)  #: encoder's widths
    latent: int = whole(16, least=1, most=10**6)  #: number of latent variables
    likelihood: str = choice(*LIKELIHOODS)  #: what the decoder's output means
    decoder_variance: float = number(1.0, above=0)  #: η² of the Gaussian likelihood
    learn_variance: bool = flag(False, stored_as="learned_variance")  #: learn η² too
    initialisation: str = choice("glorot", "torch")  #: Keras's initial weights, or PyTorch's
    activation: str = choice(*ACTIVATIONS)  #: of the hidden layers
    leak: float = number(0.0, least=0)  #: slope of the ReLUs for negative inputs; 1 is a line
    held_sigma2: float = number(0.5, above=0, below=1)  #: the constant σ² of a HeldVAE

    def new_model(self, shape: tuple[int, ...]) -> Autoencoder | Classifier:
        """Make the model for images of this shape, from torch's global generator."""
        if self.model == "Classifier":
            return Classifier(shape, self.latent)
        kind: type[Autoencoder] = MODELS[self.model]
        names = ["initialisation", "decoder_variance", "learn_variance", "activation", "leak"]
        names += ["held_sigma2"] * (self.model == "HeldVAE")
        settings = {name: getattr(self, name) for name in names}
        return kind(shape, self.hidden, self.latent, self.likelihood, **settings)


@attrs.define(frozen=True, kw_only=True, slots=False)
class Experiment(Architecture, Objective, Schedule, Measurement):
    """Everything that decides what training gives. Shown in every chapter."""

    dataset: str = attrs.field(default="mnist")  #: a name that `vaelib.load` knows
    seed: int = whole(0)  #: decides the initial weights, the order of the images and the noise

    def __attrs_post_init__(self) -> None:
        """Check what fields say together."""
        # It is part of a file name, which must not lead out of the folder of the runs.
        if not (isinstance(self.dataset, str) and re.fullmatch(r"\w[\w-]{0,63}", self.dataset)):
            raise ValueError(
                f"dataset: expected a name of letters, digits, _ and -, got {self.dataset!r}"
            )
        self.check_objective(self.latent, self.epochs)
        self.check_schedule()
        self.check_measurement()
        if self.precision != "float32" and not has_written_gradient(self, MODELS[self.model]):
            raise ValueError(
                f"precision: {self.precision} is for dense networks trained on the ELBO as it is, "
                "without importance samples, free bits or dropout"
            )
        if self.shallow_epochs:
            relus = (self.activation, self.leak) == ("relu", 0)
            equal = len(self.hidden) > 1 and self.hidden[-1] == self.hidden[-2]
            if not (self.model in ("VAE", "Autoencoder") and relus and equal):
                raise ValueError(
                    "shallow_epochs: expected a dense network of ReLUs, its last two hidden layers "
                    f"equally wide, got {self.model}, {self.activation}, {self.hidden}"
                )
        # The model itself checks its arguments; on the meta device that costs nothing.
        side = 2 ** min(len(self.hidden), 10)  # divisible by 2 for each convolution
        with torch.device("meta"):
            self.new_model((1, side, side))

    @property
    def canonical(self) -> str:
        """The experiment as JSON: only what differs from the defaults, in alphabetical order.

        So a field added later leaves the runs of earlier experiments valid.
        """
        changed = {
            _stored_name(field): getattr(self, field.name)
            for field in attrs.fields(type(self))
            if getattr(self, field.name) != field.default
        }
        return json.dumps(changed, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_canonical(cls, text: str) -> Experiment:
        """The experiment with this canonical form."""
        names = {_stored_name(field): field.name for field in attrs.fields(cls)}
        return cls(**{names[key]: value for key, value in json.loads(text).items()})

    @property
    def name(self) -> str:
        """A file name: readable in front, unique by its digest."""
        digest = hashlib.sha256(self.canonical.encode()).hexdigest()[:12]
        return f"{self.dataset}-{self.model.lower()}{self.latent}-seed{self.seed}-{digest}"

    def with_seeds(self, seeds: Iterable[int]) -> list[Experiment]:
        """The same experiment with each of these seeds, such as range(3), for a `sweep`."""
        return [attrs.evolve(self, seed=seed) for seed in seeds]

    @property
    def shallower(self) -> Experiment:
        """The same experiment without its last hidden layer, for ``shallow_epochs`` epochs.

        Where its training ends that of this experiment begins, with a fresh optimiser.
        """
        changes: dict[str, Any] = {"history": False, "snapshots": 0, "evaluation_samples": 0}
        return attrs.evolve(
            self, hidden=self.hidden[:-1], epochs=self.shallow_epochs, shallow_epochs=0, **changes
        )

    def build(self, shape: tuple[int, ...]) -> Autoencoder | Classifier:
        """Make the untrained model for images of this shape; the seed decides its weights."""
        with _SEEDING, torch.random.fork_rng(devices=[]), reproducible():
            torch.manual_seed(self.seed)
            return self.new_model(shape)

    def run(self, *, weights: bool = True, device: str = "cpu") -> Run:
        """Load the stored run of exactly this experiment, or else train it now and store it.

        Runs are read from the book's folder ``book/runs`` and from the user's cache folder, where
        new ones are stored; the environment variable ``VAELIB_RUNS`` names one folder in their
        place. With ``VAELIB_TRAIN=never`` a missing run is an error.

        Parameters
        ----------
        weights : bool
            Whether the run must come with the trained model, or its measurements suffice.
        device : str
            Where it is trained if it must be: "cpu" or "cuda". Another kind of processor rounds
            differently, so its run is another network.

        Raises
        ------
        DamagedRunError
            If the stored file is truncated or altered, or describes another experiment.
        MissingRunError
            If nothing is stored and training is forbidden.
        """
        path = self.stored(weights) or train_and_store(self, weights, progress=True, device=device)
        return Run.read(path, self)

    def stored(self, weights: bool) -> Path | None:
        """The file of the run, with weights or perhaps without, if there is one."""
        kinds = ("run",) if weights else ("sweep", "run")
        paths = [
            folder / f"{self.name}.{kind}.safetensors"
            for kind in kinds
            for folder in store.run_folders()
        ]
        return next((path for path in paths if path.exists()), None)


def _stored_name(field: attrs.Attribute[Any]) -> str:
    return field.metadata.get("stored_as") or field.name


def classifier_experiment(dataset: str) -> Experiment:
    """The classifier in whose features the quality of samples of a dataset is measured."""
    return Experiment(
        dataset=dataset, model="Classifier", hidden=(), latent=32, epochs=5, history=False
    )


def check_training_allowed(experiment: Experiment, weights: bool) -> None:
    """Raise a MissingRunError where the user has forbidden training."""
    if store.training_forbidden():
        measured = experiment.stored(weights=False)
        there = f" with its weights (without them: {measured})" if weights and measured else ""
        folders = ", ".join(map(str, store.run_folders()))
        raise MissingRunError(
            f"{experiment.name}: no stored run{there} in {folders}, and VAELIB_TRAIN=never "
            f"forbids training it. The experiment: {experiment.canonical}"
        )


def train_and_store(
    experiment: Experiment,
    weights: bool,
    *,
    progress: bool,
    device: str = "cpu",
    threads: int | None = None,
) -> Path:
    """Train an experiment that is not stored, and store it: the path of its file."""
    check_training_allowed(experiment, weights)
    data = _data_of(experiment)
    kind = "run" if weights else "sweep"
    path = store.run_folders()[-1] / f"{experiment.name}.{kind}.safetensors"
    # Locked before it is trained: a folder that cannot be written must not cost the training.
    with exclusive_lock(path):
        if not path.exists():
            run = train(
                experiment,
                data,
                classifier=lambda: classifier_experiment(data.name).run().classifier(),
                device=device,
                threads=threads,
                progress=progress,
            )
            (run if weights else replace(run, weights={})).write(path)
    return path


def _data_of(experiment: Experiment) -> ImageData:
    data = load(experiment.dataset)
    if data.name != experiment.dataset:
        raise ValueError(
            f"dataset: expected {experiment.dataset}, but {data.name} takes its place on this "
            "machine; write dataset=load(...).name"
        )
    return data
