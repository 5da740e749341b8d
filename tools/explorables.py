"""Write what the explorables show: ``book/_static/explorables/NAME.data.js``, ``NAME.png`` and
``NAME-dark.png``.

usage: explorables.py [FOLDER]

Everything comes from stored runs and, for codes of test digits and the spectrum, from MNIST itself.
The wide layers of a decoder, nearly all of its weights, are kept in 8 bits and the others in 16.
That changes the average pixel by less than half of one of 255 grey levels, and none by a sixth of
the whole scale.
"""

import ast
import base64
import inspect
import io
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import ticker
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor, nn

from vaelib import (
    diagnose,
    diagnosis,
    encode_images,
    linear_vae_optimum,
    load,
    principal_components,
    used,
)
from vaelib.__main__ import from_file
from vaelib.book import COLOURS, DIGIT_COLOURS, use_style
from vaelib.diagnosis import codes, facts, handed, order, report, slips
from vaelib.lab import Experiment, Run, gather, sweep

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "book" / "_static" / "explorables"
DATASET = "mnist"
SCATTERED = 2_000  # test digits in the latent plane
EIGENVALUES = 40  # of MNIST's 784: the network of the water level has so many variables
CODE_STEP = 0.005  # a code of 160 still fits into 16 bits
ACTIVE = 0.05  # Var μ, as in the introduction

PLANE = {
    kind: Experiment(dataset=DATASET, model=kind, hidden=(128, 64), latent=2, epochs=10)
    for kind in ("Autoencoder", "VAE")
}
FILMED = Experiment(dataset=DATASET, snapshots=10)
# The networks of the sixteen sliders, in the order in which the page deals them.
SIXTEEN = {
    "a": ("Glorot's first weights, seed 0", Experiment(dataset=DATASET)),
    "b": (
        "PyTorch's first weights, seed 5",
        Experiment(dataset=DATASET, initialisation="torch", seed=5),
    ),
    "c": ("Glorot's first weights, seed 3", Experiment(dataset=DATASET, seed=3)),
    "d": (
        "as A, led to β = 1 by a small β",
        Experiment(
            dataset=DATASET, beta_path=((2, 0.1), (2, 0.3), (1, 0.6), (15, 1)), history=False
        ),
    ),
}
TOY = [5.0, 3.0, 1.5, 0.8, 0.4, 0.1]


# --- packing ------------------------------------------------------------------------------------


WIDE = 10_000  # weights: layers of more are kept in 8 bits


def packed(kind: str, numbers: Tensor | np.ndarray) -> dict[str, str]:
    """Numbers of one of numpy's kinds as text: bytes one by one, others in base64, lowest first.

    Most bytes are near 0 and become letters of ASCII: what a server packs of the text is then as
    small as if it packed the bytes.
    """
    raw = np.ascontiguousarray(numbers, np.dtype(kind).newbyteorder("<"))
    if kind == "int8":
        letters = raw.astype(int).ravel() + 79
        letters[letters < 32] += 256
        return {"kind": kind, "text": "".join(map(chr, letters))}
    return {"kind": kind, "base64": base64.b64encode(raw.tobytes()).decode()}


def unpacked(packed: dict[str, str]) -> np.ndarray:
    """The numbers again."""
    if "text" in packed:
        letters = np.array([*map(ord, packed["text"])])
        return (letters - 79 - 256 * (letters > 206)).astype(np.int8)
    raw = base64.b64decode(packed["base64"])
    return np.frombuffer(raw, np.dtype(packed["kind"]).newbyteorder("<"))


def packed_layer(layer: nn.Linear) -> dict[str, Any]:
    """One layer: each row of the weights in whole steps of its own."""
    bits = 8 if layer.weight.numel() > WIDE else 16
    most = 2 ** (bits - 1) - 1
    step = (layer.weight.abs().amax(1, keepdim=True) / most).clamp(min=1e-30)
    return {
        "inputs": layer.in_features,
        "weight": packed(f"int{bits}", (layer.weight / step).round()),
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


def sixteen_sliders(key: str = "a") -> dict[str, Any]:
    """What the encoder says of one digit of each kind, the decoder, and what each variable is."""
    about, experiment = SIXTEEN[key]
    data, run = load(DATASET), experiment.run()
    first = [int((data.test_labels == digit).nonzero()[0]) for digit in range(10)]
    codes, _ = encode_images(run.model(), data.test_images[first])
    statistics = run.statistics
    return {
        "experiment": experiment.canonical,
        "about": about,
        "others": [other for other in SIXTEEN if other != "a"],
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
    """The eigenvalues of the data, and ten test digits along their directions."""
    data = load(DATASET)
    components = principal_components(data.train_images)
    images = torch.cat([data.test_images[data.test_labels == digit][:1] for digit in range(10)])
    directions = components.directions[:, :EIGENVALUES].T
    step = directions.abs().amax(1) / 127
    pictures = {
        "images": packed("uint8", images),
        "mean": packed("uint8", (255 * components.mean).round()),
        "directions": packed("int8", (directions / step[:, None]).round()),
        # Of the steps of a direction.
        "codes": rounded(components.project(images, EIGENVALUES) * step),
    }
    return {
        "spectra": [
            {"name": "MNIST", "eigenvalues": rounded(components.eigenvalues[:EIGENVALUES])},
            {"name": "toy", "eigenvalues": TOY},
        ],
        "pictures": pictures,
    }


ENGINE_IMAGES = {"train": 5_000, "heldOut": 500}
ENGINE_DATASET = "glyphs"


def engine_glyphs() -> dict[str, Any]:
    """Glyphs of 14 by 14 for the network that trains in the page, with 16 levels of grey.

    A pixel is the mean of four. Two pixels, one above the other, are a byte.
    """
    data = load(ENGINE_DATASET)
    images = {"train": data.train_images, "heldOut": data.test_images}
    packs = {}
    for name, count in ENGINE_IMAGES.items():
        levels = small_levels(images[name][:count])
        pairs = levels.reshape(count, 7, 2, 14)
        packs[name] = packed("int8", (16 * pairs[:, :, 0] + pairs[:, :, 1]).view(np.int8))
    labels = data.test_labels[: ENGINE_IMAGES["heldOut"]]
    return {"side": 14, "pixels": 196, "labels": packed("uint8", labels), **packs}


def small_levels(images: Tensor) -> np.ndarray:
    """Means of 2 by 2 pixels in whole fifteenths of white: uint8 (images, 14, 14)."""
    sums = images.long().reshape(-1, 14, 2, 14, 2).sum((2, 4))
    return ((15 * sums + 510) // 1020).to(torch.uint8).numpy()


def rebuilt(data: dict[str, Any], water: float) -> Tensor:
    """What the linear VAE makes of its ten digits: what drowns is lost."""
    pictures = data["pictures"]
    optimum = linear_vae_optimum(torch.tensor(data["spectra"][0]["eigenvalues"]), water)
    codes = torch.tensor(pictures["codes"]) * optimum.var_mu
    directions = torch.tensor(unpacked(pictures["directions"])).view(EIGENVALUES, -1)
    pixels = codes @ directions.float() + torch.tensor(unpacked(pictures["mean"])) / 255
    return pixels.clamp(0, 1).view(10, 1, 28, 28)


# --- diagnosis in the page, and its calculator ---


SAMPLE = Experiment(dataset=DATASET)  # whose codes are diagnosed on a press
SAMPLED = 1_000  # of its test digits
SAMPLE_STEP = 2**-11  # of a code; 16 bits reach to 16
SPECTRA = {"MNIST": "mnist", "glyphs": "glyphs"}


def templates(function: Callable[..., Any]) -> list[str]:
    """The strings in a function, with ``{0:.2f}``, ``{1}``, ... for what it puts into them."""
    found = []
    inside: set[ast.AST] = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.JoinedStr):
            inside.update(ast.walk(node))
            text, count = "", 0
            for part in node.values:
                if isinstance(part, ast.Constant):
                    text += str(part.value)
                elif isinstance(part, ast.FormattedValue):
                    spec = ast.unparse(part.format_spec)[2:-1] if part.format_spec else ""
                    text += f"{{{count}:{spec}}}" if spec else f"{{{count}}}"
                    count += 1
            found.append(text)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            pieces = node.value.split("{:")
            more = (f"{{{count}:{piece}" for count, piece in enumerate(pieces[1:]))
            found.append("".join([pieces[0], *more]))
    return found


def phrase(function: Callable[..., Any], words: str) -> str:
    """The one string of a function in which these words stand, as a template."""
    (text,) = (text for text in templates(function) if words in text)
    return text


def chapter_title(name: str) -> str:
    """The heading of a chapter."""
    cells = json.loads((ROOT / "book" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return str(re.search("^# (.*)$", "".join(cells[0]["source"]), re.MULTILINE)[1])  # type: ignore[index]


def sample_codes() -> tuple[Tensor, Tensor]:
    """μ and log σ² of test digits, as the page has them."""
    codes = encode_images(SAMPLE.run().model(), load(DATASET).test_images[:SAMPLED])
    mu, logvar = ((part / SAMPLE_STEP).round().double() for part in codes)
    return mu * SAMPLE_STEP, logvar * SAMPLE_STEP


def diagnose_codes() -> dict[str, Any]:
    """The words, names and constants of `vaelib.diagnose`; and what it says of the sample."""
    chapters = sorted({text["chapter"] for text in facts.TEXTS.values()})
    unfinished = [phrase(slips.unfinished, words) for words in ("has not finished", ", or σ")]
    (readings,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(handed.variance_as_logvar)))
        if isinstance(node, ast.Dict) and isinstance(node.keys[0], ast.Tuple)
    )
    quantities = [ast.literal_eval(key) for key in readings.keys if key]
    sample = diagnose(*sample_codes())
    return {
        "version": report.VERSION,
        "active": facts.ACTIVE,
        "piece": codes.PIECE,
        "kept": codes.KEPT,
        "means": codes.MEANS,
        "spreads": codes.NAMES,
        "order": [look.__name__ for look in order.ORDER],
        "explained": order.EXPLAINED,
        "texts": facts.TEXTS,
        "titles": {name: chapter_title(name) for name in chapters},
        "verdicts": [
            report.Diagnosis({"active": [active]}, {}).verdict(0) for active in (True, False)
        ],
        "readings": [dict(zip(("quantity", "name", "square"), q, strict=True)) for q in quantities],
        "phrases": {
            "shapes": phrase(codes._pair, "expected one shape"),
            "negative": phrase(codes._pair, "expected numbers >= 0"),
            "all_broken": phrase(diagnosis._facts, "each row has NaN"),
            "names": phrase(from_file, "expected arrays"),
            "laws": phrase(slips.laws, "in the variables that speak"),
            "swapped": phrase(handed.swapped, "the law of variances gives"),
            "draw_for_mean": phrase(slips.draw_for_mean, "their variance is near 1"),
            "no_noise": phrase(slips.no_noise, "the noise is that of the prior"),
            "unfinished": "".join(unfinished),
            "variables": phrase(report.Diagnosis._headline, "variables, "),
            "kl": phrase(report.Diagnosis._headline, "; KL "),
            "information": phrase(report.Diagnosis._headline, "of which"),
            "disagree": phrase(report.Diagnosis._headline, "the criteria do not agree"),
            "nothing": phrase(report.Diagnosis._found, "Nothing was found"),
        },
        "sample": {
            "var_mu": rounded(torch.tensor(sample.table["var_mu"])),
            "sigma2": rounded(torch.tensor(sample.table["sigma2"])),
            "kl": rounded(torch.tensor(sample.table["kl"])),
            "headline": " ".join(sample._headline()),
        },
    }


def diagnose_codes_sample() -> dict[str, Any]:
    """The codes that are diagnosed on a press."""
    mu, logvar = (packed("int16", part / SAMPLE_STEP) for part in sample_codes())
    return {
        "experiment": SAMPLE.canonical,
        "rows": SAMPLED,
        "step": SAMPLE_STEP,
        "mu": mu,
        "logvar": logvar,
    }


def which_beta() -> dict[str, Any]:
    """All eigenvalues of the data sets, the largest first."""
    spectra = []
    for name, dataset in SPECTRA.items():
        images = load(dataset).train_images
        values = principal_components(images).eigenvalues.clamp(min=0)
        spectra.append(
            {
                "name": name,
                "pixels": images[0].numel(),
                "eigenvalues": [float(f"{value:.4g}") for value in values.tolist()],
            }
        )
    return {"spectra": spectra}


# --- the same on paper, and where scripts are off -----------------------------------------------

# By day and by night, in the colours of custom.css. The pictures have no ground of their own.
INKS = {
    "": {"text": "#222832", "faint": "#D1D5DA", "sigma": "#A3B1C4", "water": "#8AA0B8", **COLOURS},
    "-dark": {
        **{"text": "#CED6DD", "faint": "#48566B", "sigma": "#7D8B9F", "water": "#94A9C0"},
        **{"active": "#4BA6DC", "inactive": "#F0B840", "kl": "#F08243"},
        **{"reconstruction": "#35C598", "prior": "#9AA3B2"},
    },
}
# A phone's column: type of 10 points is still 11 px high there.
WIDTH = 4.5


def use_ink(ink: dict[str, str]) -> None:
    """Set matplotlib to the style of the book, in these colours, on no ground."""
    use_style()
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plt.rcParams.update(dict.fromkeys(names, ink["text"]))
    plt.rcParams.update({"grid.color": ink["faint"], "savefig.transparent": True})
    plt.rcParams.update({"savefig.dpi": 200, "font.size": 10, "legend.labelcolor": ink["text"]})


def sheet(images: Tensor, columns: int, gap: int = 2) -> np.ma.MaskedArray[Any, Any]:
    """Images in rows, with gaps through which the ground is seen."""
    n, _, height, width = images.shape
    padded = np.full((n, height + gap, width + gap), np.nan)
    padded[:, :height, :width] = images[:, 0]
    grid = padded.reshape(n // columns, columns, height + gap, width + gap).transpose(0, 2, 1, 3)
    whole = grid.reshape(n // columns * (height + gap), columns * (width + gap))
    return np.ma.masked_invalid(whole[:-gap, :-gap])


def show_sheet(ax: Axes, images: Tensor, columns: int) -> None:
    """Draw a sheet alone, without axes."""
    ax.imshow(sheet(images, columns), cmap="gray", vmin=0, vmax=1)
    ax.axis("off")


def draw_latent_plane(data: dict[str, Any], ink: dict[str, str]) -> None:
    """Codes of both models, and what the decoder draws at ten dots in a row."""
    colours = np.array(DIGIT_COLOURS)[unpacked(data["labels"])]
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 3.9), height_ratios=(5, 1))
    for (ax, below), model in zip(axes.T, data["models"], strict=True):
        codes = unpacked(model["codes"]) * CODE_STEP
        ax.scatter(*codes.reshape(-1, 2).T, c=colours, s=3, alpha=0.7, lw=0)
        for radius in (1, 2, 3):
            ring = plt.Circle((0, 0), radius, fill=False, lw=1, ls="--", zorder=3, ec=ink["text"])
            ax.add_patch(ring)
        reach = model["reach"]
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=model["name"])
        row = torch.linspace(-0.8, 0.8, 6, dtype=torch.float64) * reach
        dots = torch.stack([row, torch.zeros_like(row)], 1)
        ax.plot(*dots.T, "o", ms=5, color=ink["text"], mec="white")
        show_sheet(below, PLANE[model["name"]].run().model().decode(dots), 6)
        below.set_title("decoded at the dots", fontsize=10)
    key = [plt.Line2D([], [], ls="", marker="o", ms=5, color=colour) for colour in DIGIT_COLOURS]
    key.append(plt.Line2D([], [], ls="--", lw=1, color=ink["text"]))
    names = [*map(str, range(10)), "prior, 1 to 3 σ"]
    figure.legend(
        *(key, names), ncols=6, loc="outside lower center", handletextpad=0.3, columnspacing=0.8
    )


def draw_sixteen_sliders(data: dict[str, Any], ink: dict[str, str]) -> None:
    """One digit, each variable turned from end to end, in their own order: a riddle."""
    model = SIXTEEN["a"][1].run().model()
    turns = torch.linspace(-2.5, 2.5, 7, dtype=torch.float64)
    _, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.65))
    for ax, variables in zip(axes, (range(8), range(8, 16)), strict=True):
        z = torch.tensor(data["digits"][7], dtype=torch.float64).repeat(8, len(turns), 1)
        for row, j in enumerate(variables):
            z[row, :, j] = turns
        show_sheet(ax, model.decode(z.flatten(0, 1)), len(turns))
        for row, j in enumerate(variables):
            ax.text(-6, 30 * row + 14, f"$z_{{{j}}}$", ha="right", va="center")


def draw_tug_of_war(data: dict[str, Any], ink: dict[str, str]) -> None:
    """Gain and KL of all variables at four moments, with the digits of that moment."""
    steps, film = np.array(data["step"]), FILMED.run().history["snapshots"]
    order = np.argsort(data["mu_variance"][-1])[::-1]
    chosen = [int(np.abs(steps - 469 * epoch).argmin()) for epoch in (0.3, 1, 4, 20)]
    fig, axes = plt.subplots(2, 4, figsize=(WIDTH, 3.6), height_ratios=(3, 1), sharey="row")
    places = np.arange(16)
    for (ax, below), moment in zip(axes.T, chosen, strict=True):
        gain = np.maximum(np.array(data["gain"][moment])[order], 0)
        kl = np.array(data["kl"][moment])[order]
        ax.barh(places, np.log1p(gain), color=ink["reconstruction"], label="gain")
        ax.barh(places, -np.log1p(kl), color=ink["kl"], label="KL")
        ax.set(title=f"{steps[moment]:,}", yticks=[], xlim=(-1.6, 4.6))
        ax.set_xticks([-np.log1p(2), np.log1p(2), np.log1p(50)], ["2", "2", "50"])
        show_sheet(below, torch.as_tensor(film[moment][:6]) / 255, 3)
    axes[0, 0].invert_yaxis()  # of all, for they share it
    axes[0, 0].set_ylabel("variables")
    fig.suptitle("after so many minibatches", fontsize=10)
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(),
        ncols=2,
        loc="outside lower center",
        title="nats per image, on a logarithmic scale",
        title_fontsize=10,
    )


def draw_water_level(data: dict[str, Any], ink: dict[str, str]) -> None:
    """Eigenvalues as bars, the water at β = 1, the variances below, and what is left of digits."""
    spectrum = np.array(data["spectra"][0]["eigenvalues"])[:20]
    optimum = linear_vae_optimum(torch.tensor(spectrum), noise_variance=1.0)
    places = np.arange(1, len(spectrum) + 1)
    colours = [ink["active"] if value > 1 else ink["inactive"] for value in spectrum]
    _, (ax, below, digits) = plt.subplots(3, 1, figsize=(WIDTH, 4.9), height_ratios=(3, 2, 1.5))
    below.sharex(ax)
    ax.tick_params(labelbottom=False)
    ax.bar(places, spectrum, color=colours)
    ax.axhspan(0, 1, color=ink["water"], alpha=0.5, lw=0)
    ax.axhline(1, color=ink["prior"], lw=1.5)
    ax.text(20.4, 1.1, "water level β η² = 1", ha="right", va="bottom")
    ax.set(ylabel="eigenvalue λ", title="MNIST: what is under water drowns")
    below.bar(places, optimum.var_mu, color=ink["active"], label="Var μ")
    below.bar(places, optimum.sigma2, bottom=optimum.var_mu, color=ink["sigma"], label="σ²")
    below.set(ylabel="variance", xlabel="variable", ylim=(0, 1.55), yticks=[0, 1])
    below.xaxis.set_major_locator(ticker.FixedLocator([1, 5, 10, 15, 20]))
    below.legend(loc="upper right", ncols=2)
    images = torch.tensor(unpacked(data["pictures"]["images"])).view(10, 1, 28, 28) / 255
    show_sheet(digits, torch.cat([images, rebuilt(data, 1.0)]), 10)
    digits.set_title("ten test digits, and what is left of them", fontsize=10)


# The two ways of the chapter on hysteresis: (epochs, β).
FIRST_AT = {
    1: ((20, 1), (3, 1.4), (3, 2), (3, 2.8), (3, 4), (3, 5.6), (3, 8)),
    0.02: (
        *((6, 0.02), (3, 0.05), (3, 0.1), (3, 0.2), (3, 0.35), (3, 0.5), (3, 0.7)),
        *((6, 1), (3, 2), (3, 4), (3, 8)),
    ),
}
BACK = {1: (5.6, 4, 2.8, 2, 1.4, 1), 0.02: (4, 2, 1)}


def way(start: float) -> tuple[list[float], list[float]]:
    """β at each rung, and the mean count of used variables there."""
    path = (*FIRST_AT[start], *((3, beta) for beta in BACK[start]))
    epochs = sum(length for length, _ in path)
    experiment = Experiment(dataset=DATASET, beta_path=path, epochs=epochs, history=False)
    gains = gather(sweep(experiment.with_seeds(range(2, 5))), "rung_gain")
    return [beta for _, beta in path], used(gains).sum(-1).double().mean(0).tolist()


def draw_laboratory(data: None, ink: dict[str, str]) -> None:
    """Who dies, step by step, and the count along two ways through β: of the book's networks."""
    history = FILMED.run().history
    steps, var_mu = history["step"].numpy(), history["var_mu"].numpy()
    _, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 4.6))
    for variable in np.argsort(var_mu[-1]):
        alive = var_mu[-1][variable] > ACTIVE
        colour = ink["active"] if alive else ink["inactive"]
        upper.plot(steps[1:], var_mu[1:, variable], color=colour, lw=1.1)
    upper.set(xscale="log", ylabel="Var μ", xlabel="minibatches", ylim=(0, 1.3))
    upper.set_title("sixteen variables: some die")
    for start, colour in ((0.02, "reconstruction"), (1, "active")):
        betas, counts = way(start)
        top = betas.index(8)
        line = {"color": ink[colour], "marker": "o", "ms": 3}
        lower.plot(betas[: top + 1], counts[: top + 1], **line, label=f"from β = {start}")
        lower.plot(betas[top:], counts[top:], **line, ls="--", mfc="none")
    lower.set(xscale="log", ylabel="used, of 16", xlabel="β", ylim=(0, 16.5))
    lower.set_xticks((0.02, 0.1, 1, 8), ["0.02", "0.1", "1", "8"])
    lower.set_xticks([], minor=True)
    lower.set_title("β moves while it trains (dashed: back)")
    lower.legend(loc="lower left")


def draw_diagnose_codes(data: dict[str, Any], ink: dict[str, str]) -> None:
    """Var μ and σ² of each variable against the law of variances, under the line of the head."""
    sample = data["sample"]
    order = np.argsort(sample["kl"])[::-1]
    var_mu, sigma2 = (np.array(sample[name])[order] for name in ("var_mu", "sigma2"))
    places = np.arange(len(order))
    _, ax = plt.subplots(figsize=(WIDTH, 2.9))
    ax.bar(places, var_mu, color=ink["active"], label="Var μ")
    ax.bar(places, sigma2, bottom=var_mu, color=ink["sigma"], label="mean σ²")
    ax.axhline(1, color=ink["text"], lw=1, ls="--", label="the law")
    ax.set_xticks(places, [f"$z_{{{j}}}$" for j in order])
    ax.tick_params(axis="x", labelsize=8)
    ax.set(xlabel="variables, by KL", ylabel="variance", ylim=(0, 1.5))
    ax.set_title(sample["headline"].partition(", of which")[0], fontsize=10)
    ax.legend(ncols=3, loc="upper right")


def draw_which_beta(data: dict[str, Any], ink: dict[str, str]) -> None:
    """Eigenvalues of the data sets, and where three losses put the water."""
    levels = {
        "½ squares, summed": (1.0, "-"),
        "KL averaged over variables": (1 / 16, ":"),
        "averaged over pixels": (784.0, "--"),
    }
    _, ax = plt.subplots(figsize=(WIDTH, 3.2))
    for spectrum, colour in zip(data["spectra"], ("active", "kl"), strict=True):
        values = np.array(spectrum["eigenvalues"][:200])
        ax.plot(np.arange(1, len(values) + 1), values, color=ink[colour], label=spectrum["name"])
    for name, (level, style) in levels.items():
        ax.axhline(level, color=ink["prior"], ls=style, lw=1.3)
        ax.text(204, level * 1.15, name, ha="right", va="bottom", fontsize=9)
    ax.set(xlabel="direction, from the largest on", ylabel="eigenvalue λ")
    ax.set(yscale="log", ylim=(0.005, 3000))
    ax.set_title("where the loss puts the water β η²", fontsize=10)
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.66))


EXPLORABLES = {
    "diagnose-codes": (diagnose_codes, draw_diagnose_codes),
    "laboratory": (None, draw_laboratory),  # it trains in the page, and has no numbers
    "latent-plane": (latent_plane, draw_latent_plane),
    "sixteen-sliders": (sixteen_sliders, draw_sixteen_sliders),
    "tug-of-war": (tug_of_war, draw_tug_of_war),
    "water-level": (water_level, draw_water_level),
    "which-beta": (which_beta, draw_which_beta),
}


def save_still(path: Path) -> None:
    """Save the figure in 256 colours, a third of the size."""
    buffer = io.BytesIO()
    plt.savefig(buffer, format="png")
    picture = Image.open(buffer).convert("RGBA")
    picture = picture.crop(picture.getbbox())  # no empty margins
    picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def script(name: str, data: dict[str, Any]) -> str:
    """The file that a page loads."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f'// Made by `make explorables`.\nExplorables.provide("{name}", {text});\n'


def collections() -> dict[str, Callable[[], dict[str, Any]]]:
    """What makes each file of data: one for each explorable, and those that are asked for."""
    more = {
        f"sixteen-sliders-{key}": partial(sixteen_sliders, key) for key in SIXTEEN if key != "a"
    }
    more["engine-glyphs"] = engine_glyphs
    more["diagnose-codes-sample"] = diagnose_codes_sample
    return {name: collect for name, (collect, _) in EXPLORABLES.items() if collect} | more


def main() -> None:
    """Write all of them."""
    os.environ.setdefault("VAELIB_TRAIN", "never")
    if load(DATASET).name != DATASET:
        raise SystemExit(f"explorables: they show {DATASET}, which is not at hand")
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = {}
    for name, collect in collections().items():
        kept[name] = collect()
        text = script(name, kept[name])
        (folder / f"{name}.data.js").write_text(text, encoding="utf-8")
        print(f"{name}: {len(text) / 1000:.0f} kB", flush=True)
    for name, (_, draw) in EXPLORABLES.items():
        for suffix, ink in INKS.items():
            use_ink(ink)
            draw(kept.get(name), ink)
            save_still(folder / f"{name}{suffix}.png")
            plt.close()


if __name__ == "__main__":
    main()
