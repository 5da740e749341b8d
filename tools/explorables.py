"""Write what the explorables show: ``book/_static/explorables/NAME.data.js`` and ``NAME.png``.

usage: explorables.py [FOLDER]

Everything comes from stored runs and, for codes of test digits and the spectrum, from MNIST itself.
The weights are kept in 16 bits, which changes no pixel by a thousandth.
"""

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import ticker
from PIL import Image
from torch import Tensor, nn

from vaelib import encode_images, linear_vae_optimum, load, principal_components
from vaelib.book import COLOURS, show_images, use_style
from vaelib.lab import Experiment, Run

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "book" / "_static" / "explorables"
DATASET = "mnist"
SCATTERED = 2_000  # test digits in the latent plane
EIGENVALUES = 40  # of MNIST's 784; the others are under any water that the slider reaches
CODE_STEP = 0.005  # a code of 160 still fits into 16 bits
ACTIVE = 0.05  # Var μ, as in the introduction

PLANE = {
    kind: Experiment(dataset=DATASET, model=kind, hidden=(128, 64), latent=2, epochs=10)
    for kind in ("Autoencoder", "VAE")
}
SIXTEEN = Experiment(dataset=DATASET)
FILMED = Experiment(dataset=DATASET, snapshots=10)
TOY = [5.0, 3.0, 1.5, 0.8, 0.4, 0.1]


# --- packing ------------------------------------------------------------------------------------


def packed(kind: str, numbers: Tensor | np.ndarray) -> dict[str, str]:
    """Numbers of one of numpy's kinds as text, little end first."""
    raw = np.ascontiguousarray(numbers, np.dtype(kind).newbyteorder("<"))
    return {"kind": kind, "base64": base64.b64encode(raw.tobytes()).decode()}


def packed_layer(layer: nn.Linear) -> dict[str, Any]:
    """One layer: each row of the weights in whole steps of its own."""
    step = (layer.weight.abs().amax(1, keepdim=True) / 32767).clamp(min=1e-30)
    return {
        "inputs": layer.in_features,
        "weight": packed("int16", (layer.weight / step).round()),
        "step": packed("float32", step),
        "bias": packed("float32", layer.bias),
    }


def packed_decoder(run: Run) -> list[dict[str, Any]]:
    """All layers of a decoder; what lies between them is a ReLU, what follows them a sigmoid."""
    return [packed_layer(layer) for layer in run.model().decoder if isinstance(layer, nn.Linear)]


def rounded(numbers: Tensor) -> list[Any]:
    """Numbers to five significant digits."""
    return [rounded(row) if row.ndim else float(f"{row.item():.5g}") for row in numbers.double()]


def png(image: np.ndarray) -> str:
    """A grey picture (height, width) of bytes as PNG, in base64."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


# --- what each explorable shows -------------------------------------------------------------------


def latent_plane() -> dict[str, Any]:
    """Codes of test digits in two dimensions, and the decoders."""
    data = load(DATASET)
    every = len(data.test_images) // SCATTERED
    images, labels = data.test_images[::every], data.test_labels[::every]
    models = []
    for kind, experiment in PLANE.items():
        run = experiment.run()
        codes, _ = encode_images(run.model(), images)
        # A window that leaves the farthest hundredth outside, and in which the prior is whole.
        reach = max(3.2, codes.abs().quantile(0.99).item())
        models.append(
            {
                "name": kind,
                "experiment": experiment.canonical,
                "reach": round(reach, 1),
                "code_step": CODE_STEP,
                "codes": packed("int16", (codes / CODE_STEP).round()),
                "decoder": packed_decoder(run),
            }
        )
    return {"models": models, "labels": packed("uint8", labels)}


def sixteen_sliders() -> dict[str, Any]:
    """What the encoder says of one digit of each kind, the decoder, and what each variable is."""
    data, run = load(DATASET), SIXTEEN.run()
    first = [int((data.test_labels == digit).nonzero()[0]) for digit in range(10)]
    codes, _ = encode_images(run.model(), data.test_images[first])
    statistics = run.statistics
    return {
        "experiment": SIXTEEN.canonical,
        "digits": rounded(codes),
        "mu_variance": rounded(statistics.var_mu),
        "mean_variance": rounded(statistics.mean_sigma2),
        "kl": rounded(statistics.kl),
        "gain": rounded(run.measurements["gain"]),
        "active": statistics.active(ACTIVE).tolist(),
        "decoder": packed_decoder(run),
    }


def tug_of_war() -> dict[str, Any]:
    """The history of every variable, and how ten digits were reconstructed at each moment."""
    history = FILMED.run().history
    film = history["snapshots"].squeeze(2)  # (moments, images, height, width)
    moments, images, height, width = film.shape
    sheet = film.permute(0, 2, 1, 3).reshape(moments * height, images * width)
    labels = load(DATASET).test_labels[:images].tolist()
    return {
        "experiment": FILMED.canonical,
        "labels": labels,
        "step": history["step"].tolist(),
        "steps_per_epoch": -(-60_000 // FILMED.batch_size),
        "gain": rounded(history["noisy_gain"]),
        "kl": rounded(history["kl"]),
        "mu_variance": rounded(history["var_mu"]),
        "mean_variance": rounded(history["mean_sigma2"]),
        "film": png(sheet.numpy()),
    }


def water_level() -> dict[str, Any]:
    """The eigenvalues of the data."""
    spectrum = principal_components(load(DATASET).train_images).eigenvalues
    return {
        "spectra": [
            {"name": "MNIST", "eigenvalues": rounded(spectrum[:EIGENVALUES])},
            {"name": "toy", "eigenvalues": TOY},
        ]
    }


# --- the same on paper, and where scripts are off -----------------------------------------------


# The digits' colours in explorables.css (--digit-0 and so on).
DIGITS = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"),
    *("#A0674F", "#56B4E9", "#80868F", "#B3A700", "#8A63D2"),
)


def draw_latent_plane(data: dict[str, Any]) -> None:
    """Codes of both models, and what the decoder draws at ten dots in a row."""
    labels = np.frombuffer(base64.b64decode(data["labels"]["base64"]), np.uint8)
    ink = np.array(DIGITS)[labels]
    figure, axes = plt.subplots(2, 2, figsize=(7.4, 5.2), height_ratios=(5, 1))
    for (ax, below), model in zip(axes.T, data["models"], strict=True):
        codes = np.frombuffer(base64.b64decode(model["codes"]["base64"]), "<i2") * CODE_STEP
        ax.scatter(*codes.reshape(-1, 2).T, c=ink, s=4, alpha=0.6)
        for radius in (1, 2, 3):
            ring = plt.Circle((0, 0), radius, fill=False, lw=1, ls="--", zorder=3)
            ax.add_patch(ring)
        reach = model["reach"]
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=model["name"])
        ax.set(xlabel="$z_0$", ylabel="$z_1$")
        row = torch.linspace(-0.8, 0.8, 10, dtype=torch.float64) * reach
        dots = torch.stack([row, torch.zeros_like(row)], 1)
        ax.plot(*dots.T, "ko", ms=4, mec="w")
        drawn = PLANE[model["name"]].run().model().decode(dots)
        show_images(drawn, ax=below, title="decoded at the ten dots")
    key = [plt.Line2D([], [], ls="", marker="o", ms=4, color=colour) for colour in DIGITS]
    key.append(plt.Line2D([], [], ls="--", lw=1, color="black"))
    names = [*map(str, range(10)), "prior: 1, 2, 3 σ"]
    figure.legend(
        key, names, ncols=11, loc="outside upper center", handletextpad=0.2, columnspacing=0.9
    )


def draw_sixteen_sliders(data: dict[str, Any]) -> None:
    """One digit, each variable turned from end to end, sorted by Var μ."""
    model = SIXTEEN.run().model()
    turns = torch.linspace(-2.5, 2.5, 11, dtype=torch.float64)
    order = np.argsort(data["mu_variance"])[::-1].copy()
    rows = []
    for j in order:
        z = torch.tensor(data["digits"][7], dtype=torch.float64).repeat(len(turns), 1)
        z[:, j] = turns
        rows.append(model.decode(z))
    _, axes = plt.subplots(1, 2, figsize=(7.4, 3.4))
    active = sum(data["active"])
    for ax, part, title in zip(
        axes, (rows[:active], rows[active:]), ("move and count", "move nothing"), strict=True
    ):
        show_images(torch.cat(part), columns=11, ax=ax, title=f"{len(part)} variables that {title}")


def draw_tug_of_war(data: dict[str, Any]) -> None:
    """Gain and KL of all variables at four moments, with the digits of that moment."""
    steps, film = np.array(data["step"]), FILMED.run().history["snapshots"]
    order = np.argsort(data["mu_variance"][-1])[::-1]
    chosen = [int(np.abs(steps - 469 * epoch).argmin()) for epoch in (0.3, 1, 4, 20)]
    fig, axes = plt.subplots(2, 4, figsize=(7.4, 3.6), height_ratios=(3, 1), sharey="row")
    places = np.arange(16)
    for (ax, below), moment in zip(axes.T, chosen, strict=True):
        gain = np.maximum(np.array(data["gain"][moment])[order], 0)
        kl = np.array(data["kl"][moment])[order]
        ax.barh(places, np.log1p(gain), color=COLOURS["reconstruction"], label="gain")
        ax.barh(places, -np.log1p(kl), color=COLOURS["kl"], label="KL")
        ax.set(title=f"{steps[moment]} minibatches", yticks=[], xlim=(-1.6, 4.6))
        ax.set_xticks([-np.log1p(2), 0, np.log1p(2), np.log1p(50)], ["2", "0", "2", "50"])
        show_images(film[moment][:6], columns=3, ax=below)
    axes[0, 0].invert_yaxis()  # of all, for they share it
    axes[0, 0].set_ylabel("variables")
    axes[0, 0].legend(loc="lower right", fontsize=8)
    fig.supxlabel("KL ← nats per image → gain", fontsize=9)


def draw_water_level(data: dict[str, Any]) -> None:
    """Eigenvalues as bars, the water at β = 1, and the variances of the variables below."""
    spectrum = np.array(data["spectra"][0]["eigenvalues"])[:20]
    optimum = linear_vae_optimum(torch.tensor(spectrum), noise_variance=1.0)
    places = np.arange(1, len(spectrum) + 1)
    colours = [COLOURS["active"] if value > 1 else COLOURS["inactive"] for value in spectrum]
    _, (ax, below) = plt.subplots(2, 1, figsize=(7.4, 4.2), sharex=True)
    ax.bar(places, spectrum, color=colours)
    ax.axhspan(0, 1, color=COLOURS["prior"], alpha=0.25, lw=0)
    ax.axhline(1, color=COLOURS["prior"], lw=1.5)
    ax.text(20.4, 1.05, "water level β η² = 1", ha="right", va="bottom", fontsize=9)
    ax.set(ylabel="eigenvalue", title="MNIST: what is under water drowns")
    below.bar(places, optimum.var_mu, color=COLOURS["active"], label="Var μ")
    below.bar(places, optimum.sigma2, bottom=optimum.var_mu, color="#CBD5E1", label="σ²")
    below.set(ylabel="variance", xlabel="variable")
    below.xaxis.set_major_locator(ticker.MultipleLocator(1))
    below.legend(loc="upper right", ncols=2, frameon=True, fontsize=8)


EXPLORABLES = {
    "latent-plane": (latent_plane, draw_latent_plane),
    "sixteen-sliders": (sixteen_sliders, draw_sixteen_sliders),
    "tug-of-war": (tug_of_war, draw_tug_of_war),
    "water-level": (water_level, draw_water_level),
}


def save_still(path: Path) -> None:
    """Save the figure in 256 colours, a third of the size."""
    buffer = io.BytesIO()
    plt.savefig(buffer, format="png")
    picture = Image.open(buffer).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def script(name: str, data: dict[str, Any]) -> str:
    """The file that a page loads."""
    text = json.dumps(data, separators=(",", ":"))
    return f'// Made by `make explorables`.\nExplorables.provide("{name}", {text});\n'


def main() -> None:
    """Write all of them."""
    os.environ.setdefault("VAELIB_TRAIN", "never")
    if load(DATASET).name != DATASET:
        raise SystemExit(f"explorables: they show {DATASET}, which is not at hand")
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, (collect, draw) in EXPLORABLES.items():
        data = collect()
        (folder / f"{name}.data.js").write_text(script(name, data), encoding="utf-8")
        use_style()
        draw(data)
        save_still(folder / f"{name}.png")
        plt.close()
        size = (folder / f"{name}.data.js").stat().st_size
        print(f"{name}: {size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
