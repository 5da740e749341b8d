"""Train the typical VAE with one slip each, and correct ones, and diagnose them all.

Writes the picture of the README, and what the chapter *Your own VAE* shows: the loss of each epoch,
the codes of the findings in their order, and the words of the first. Trained networks are kept in
``_build/gallery``; one that is there is not trained again, unless its code has changed.

usage: gallery_of_slips.py [PART_OF_A_NAME ...]      no argument: all networks
"""

import hashlib
import inspect
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from correct_networks import CORRECT, inputs
from correct_networks import LATER as LATER_CORRECT
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from slips import LATER as LATER_SLIPS
from slips import SLIPS, UNSEEN, Typical
from torch import Tensor

from vaelib import Diagnosis, diagnose, load, to_pixels
from vaelib.lab import Experiment

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "book" / "gallery-of-slips.json"
KEPT = ROOT / "_build" / "gallery"
PICTURE = ROOT / "book" / "_static" / "diagnosis.png"  # of the README
DATASETS = ("mnist", "glyphs")
IMAGES, TESTED, BATCH, EPOCHS, SEED = 20_000, 2_000, 128, 4, 1


class Case(NamedTuple):
    """One network of the gallery."""

    name: str
    group: str
    network: type[Typical]
    epochs: int


CASES = (
    *(Case(slip.__name__, "slips", slip, EPOCHS) for slip in SLIPS),
    *(Case(slip.__name__, "unseen", slip, EPOCHS) for slip in UNSEEN),
    *(Case(name, "correct", network, epochs) for name, (network, epochs) in CORRECT.items()),
    *(Case(slip.__name__, "later", slip, EPOCHS) for slip in LATER_SLIPS),
    *(Case(name, "later correct", *of) for name, of in LATER_CORRECT.items()),
)


def pixels(dataset: str, part: str, count: int) -> tuple[Tensor, Tensor]:
    """The first images of a dataset, flat, and their labels."""
    data = load(dataset)
    images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
    return to_pixels(images[:count]).flatten(1), labels[:count]


def prepared(case: Case, x: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """What the network of a case is trained on."""
    if hasattr(case.network, "prepared"):
        return tuple(case.network.prepared(x, labels))
    return inputs(case.network, x, labels)


def train(case: Case, dataset: str) -> tuple[Typical, list[float]]:
    """A trained network, and its mean loss per image in each epoch."""
    torch.manual_seed(SEED)
    model = case.network()
    path = KEPT / f"{dataset}-{case.name}-{fingerprint(case)}.safetensors".replace(" ", "-")
    if path.exists():
        model.load_state_dict(load_file(path))
        with safe_open(path, "pt") as kept:
            return model, json.loads(kept.metadata()["losses"])
    data = prepared(case, *pixels(dataset, "train", IMAGES))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = [epoch(model, data, optimiser) for _ in range(case.epochs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path, {"losses": json.dumps(losses)})
    return model, losses


def epoch(model: Typical, data: tuple[Tensor, ...], optimiser: torch.optim.Optimizer) -> float:
    """One pass over the images; the mean loss, per image where it is a sum."""
    total, steps = 0.0, 0
    for rows in torch.randperm(len(data[0])).split(BATCH):
        x, *condition = (part[rows] for part in data)
        mu, logvar = model.encode(x, *condition)
        output = model.decode(model.sample(mu, logvar), *condition)
        loss = model.loss(x, output, mu, logvar)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        value = loss.item() / len(rows) if model.is_sum else loss.item()
        total, steps = total + value, steps + 1
    return total / steps


def fingerprint(case: Case) -> str:
    """Of the code of a network and of how it is trained."""
    own = [
        part for part in case.network.__mro__ if part.__module__ in ("slips", "correct_networks")
    ]
    code = [inspect.getsource(part) for part in (*own, inputs, epoch)]
    text = "".join([*code, repr((case.epochs, IMAGES, BATCH, SEED))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def diagnosed(case: Case, dataset: str, model: Typical) -> Diagnosis:
    """The diagnosis of a network on test images, as a user would ask for it."""
    return diagnose(
        encode=model.handed,
        decode=model.decode,
        data=prepared(case, *pixels(dataset, "test", TESTED)),
        likelihood=model.likelihood or None,
        loss=model.loss,
    )


def row(case: Case, losses: list[float], diagnosis: Diagnosis) -> dict[str, Any]:
    """What is stored of a network."""
    result: dict[str, Any] = {
        "about": inspect.getdoc(case.network),
        "epochs": case.epochs,
        "losses": [float(f"{loss:.5g}") for loss in losses],
        "findings": [finding.code for finding in diagnosis.findings],
        "faults": [finding.code for finding in diagnosis.findings if finding.is_fault],
        "active": sum(diagnosis.table["active"]),
        "variables": len(diagnosis.table["active"]),
    }
    sums = [s for s, on in zip(*(diagnosis.table[k] for k in ("sum", "active")), strict=True) if on]
    if sums:  # Var μ + mean σ², of the active variables
        result["sums"] = [float(f"{bound:.4g}") for bound in (min(sums), max(sums))]
    if "correct" not in case.group:
        result |= {"line": case.network.line, "right": list(case.network.right)}
    if diagnosis.findings:
        first = diagnosis.findings[0]
        result |= {"what": first.what, "evidence": first.evidence, "sure": first.sure}
    return result


def rows(parts: list[str]) -> Iterator[tuple[str, Case, dict[str, Any]]]:
    """The rows of all networks, or of those whose names contain one of the parts."""
    for dataset in DATASETS:
        if load(dataset).name != dataset:
            print(f"{dataset} is not at hand: its rows stay as they are", flush=True)
            continue
        for case in CASES:
            if not parts or any(part in case.name for part in parts):
                model, losses = train(case, dataset)
                yield dataset, case, row(case, losses, diagnosed(case, dataset, model))


def picture() -> None:
    """Draw the diagnosis of the network that the book begins with."""
    model = Experiment().run().model()
    diagnosis = diagnose(
        encode=model.encode,
        decode=model.decoder,
        data=load("mnist").test_images[:TESTED],
        likelihood=model.likelihood,
    )
    diagnosis.plot().savefig(PICTURE, dpi=100)


def main() -> None:
    """Bring the stored table up to date."""
    torch.set_num_threads(1)
    begin = time.monotonic()
    picture()
    for dataset, case, found in rows(sys.argv[1:]):
        table = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
        group = table.setdefault(dataset, {}).setdefault(case.group, {})
        if case.group.startswith("later"):
            # What was said when the diagnosis had not seen the network stays, whatever is mended.
            tried = {name: found[name] for name in ("findings", "faults")}
            found["first_try"] = group.get(case.name, {}).get("first_try", tried)
        group[case.name] = found
        # In the order of the cases, whatever was measured first.
        table[dataset][case.group] = {c.name: group[c.name] for c in CASES if c.name in group}
        text = json.dumps(table, ensure_ascii=False, indent=1)
        STORED.write_text(text + "\n", encoding="utf-8")
        said = ", ".join(found["findings"]) or "nothing"
        print(f"{time.monotonic() - begin:5.0f} s  {dataset} {case.name}: {said}", flush=True)


if __name__ == "__main__":
    main()
