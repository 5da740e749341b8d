"""Train the model of an experiment, measure it on the way and at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import attrs
import joblib
import torch
from torch import Tensor

from vaelib.data import ImageData
from vaelib.lab.classifier import Classifier
from vaelib.lab.deepening import deepened
from vaelib.lab.fields import choice, number, whole
from vaelib.lab.measurements import (
    evaluate,
    history_statistics,
    history_steps,
    measure,
    measure_beyond,
    measure_now,
    measure_rung,
)
from vaelib.lab.objective import TrainingLoss
from vaelib.lab.run import Run
from vaelib.models import VAE
from vaelib.training import fit

if TYPE_CHECKING:
    from vaelib.lab.experiment import Experiment


# What can start anew on the way, and the layers that then get fresh weights. The optimiser forgets
# its moments in each case.
RESET = {
    "optimiser": (),
    "heads": ("mu", "logvar"),
    "encoder": ("encoder", "mu", "logvar"),
    "decoder": ("decoder",),
}


@attrs.define(frozen=True, kw_only=True, slots=False)
class Schedule:
    """How it is maximised, as in `vaelib.fit`."""

    epochs: int = whole(20, least=1)  #: passes over the training images
    batch_size: int = whole(128, least=1)  #: images in a step
    learning_rate: float = number(1e-3, above=0)  #: of Adam
    final_learning_rate: float | None = number(None, above=0)  #: in the last epoch, if another
    reset: str = choice("nothing", *RESET)  #: what starts anew before epoch ``reset_epoch``
    reset_epoch: int = whole(0)
    images: int | None = whole(None, least=1)  #: train on the first `images` images only
    #: before, train the network without its last hidden layer that long; the layer then begins as
    #: the identity, see `Experiment.shallower`
    shallow_epochs: int = whole(0)

    def check_schedule(self) -> None:
        """Raise a ValueError where fields contradict one another."""
        if self.reset_epoch >= (1 if self.reset == "nothing" else self.epochs):
            raise ValueError(
                f"reset_epoch: expected one of {self.epochs} epochs, and 0 where nothing is reset, "
                f"got {self.reset_epoch}"
            )


class Threads(NamedTuple):
    """How many threads training uses, and why."""

    threads: int
    why: str


def training_threads() -> Threads:
    """Say how many threads `Experiment.run` trains with, and why.

    One, whatever the machine has: then a seed gives the same weights on any number of cores, and a
    busy neighbour costs next to nothing. If the environment variable ``OMP_NUM_THREADS`` is set,
    that many are used, at most the number of cores that this process may use, by its affinity and
    its container's quota. A sweep uses all of those, one network and one thread each. Named on
    the page *How fast*.
    """
    # It may be a list, one number for each level of nesting.
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if not (wanted.isdecimal() and int(wanted)):
        return Threads(1, "the default: the same weights on any number of cores")
    cores = joblib.cpu_count()
    if int(wanted) > cores:
        return Threads(cores, f"OMP_NUM_THREADS={wanted}, but this process may use {cores}")
    return Threads(int(wanted), f"OMP_NUM_THREADS={wanted}")


@contextlib.contextmanager
def reproducible(threads: int | None = None) -> Iterator[None]:
    """Fix what would change a result without changing its name: threads and the default dtype."""
    before = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(threads or training_threads().threads)
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_default_dtype(before[1])


def train(
    experiment: Experiment,
    data: ImageData,
    *,
    classifier: Callable[[], Classifier] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    progress: bool = False,
) -> Run:
    """Train the model of an experiment, and measure it.

    ``classifier`` is called where ``evaluation_samples`` are asked for: in its features samples are
    compared. ``threads`` are those that `training_threads` says by default.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {device} cannot be used on this machine: {error}") from error
    with reproducible(threads):
        return _train(experiment, data, classifier, device, progress)


def _train(
    experiment: Experiment,
    data: ImageData,
    classifier: Callable[[], Classifier] | None,
    device: str,
    progress: bool,
) -> Run:
    images = data.train_images[: experiment.images]
    shape = tuple(images.shape[1:])
    model = experiment.build(shape)
    if experiment.shallow_epochs:
        shallower = _train(experiment.shallower, data, None, device, progress)
        model.load_state_dict(deepened(shallower.weights, len(shallower.experiment.hidden)))
    model.to(device)
    history: dict[str, list[Tensor]] = {}
    steps_per_epoch = -(-len(images) // experiment.batch_size)
    steps = history_steps(experiment.epochs, steps_per_epoch)
    rungs: list[dict[str, Tensor]] = []
    noise = torch.Generator(device).manual_seed(experiment.seed)
    labels = None
    loss: Callable[..., Tensor | None]
    if isinstance(model, Classifier):
        labels, loss = data.train_labels[: len(images)], model.loss
    else:
        loss = TrainingLoss(
            experiment, model, noise, var_mu=lambda: history_statistics(model, data).var_mu
        )

    def on_step(step: int) -> None:
        ends = [steps_per_epoch * epochs for epochs in experiment.rung_ends]
        if step in ends and isinstance(model, VAE):
            rungs.append(measure_rung(model, data))
        if experiment.history and step in steps and not isinstance(model, Classifier):
            for name, value in measure_now(model, data, experiment.snapshots).items():
                history.setdefault(name, []).append(value)
            history.setdefault("step", []).append(torch.tensor(step))

    def on_epoch(epoch: int, optimiser: torch.optim.Optimizer) -> None:
        if experiment.reset != "nothing" and epoch == experiment.reset_epoch:
            optimiser.state.clear()
            fresh = attrs.evolve(experiment, seed=experiment.seed + 1).build(shape)
            for layer in RESET[experiment.reset]:
                getattr(model, layer).load_state_dict(getattr(fresh, layer).state_dict())

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
        on_step=on_step,
        on_epoch=on_epoch,
        progress=experiment.name if progress else None,
    )
    model.cpu()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    measurements = {}
    if isinstance(model, VAE) and experiment.evaluation_samples and classifier:
        measurements = evaluate(
            model,
            data,
            classifier().float(),
            experiment.evaluation_samples,
            experiment.evaluation_images,
            experiment.binarise,
        )
    measurements |= measure(model.double(), data)
    if isinstance(model, VAE) and experiment.beyond_test:
        measurements |= measure_beyond(model, data, images)
    for name in rungs[0] if rungs else ():
        measurements[f"rung_{name}"] = torch.stack([rung[name] for rung in rungs]).cpu()
    measurements["revived"] = getattr(loss, "revived", torch.tensor(-1))
    stacked = {name: torch.stack(values).cpu() for name, values in history.items()}
    return Run(experiment, stacked, measurements, weights)
