"""What the explorables show is what the stored runs and the data give."""

import base64
import gzip
import io
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from vaelib import load, principal_components
from vaelib.book import COLOURS
from vaelib.lab import Experiment, classifier_experiment

sys.path.insert(0, str(ROOT / "tools"))
import explorables as tool

STATIC = ROOT / "book" / "_static" / "explorables"


NAMES = sorted(tool.EXPLORABLES)
FILES = tool.collections()  # of data: more than one for the sixteen sliders


def kept(name: str) -> dict[str, Any]:
    """The data of an explorable, as its page reads them."""
    text = (STATIC / f"{name}.data.js").read_text(encoding="utf-8")
    found = re.search(rf'^Explorables\.provide\("{name}", (.*)\);$', text, re.MULTILINE)
    assert found
    return json.loads(found[1])


def differences(kept: Any, made: Any, where: str = "") -> list[str]:
    """Where two of the same structure differ by more than rounding does on another machine."""
    if isinstance(kept, dict) and kept.keys() == made.keys():
        if "kind" in kept:
            a, b = tool.unpacked(kept), tool.unpacked(made)
            step = 1 if a.dtype.kind == "i" else 0
            same = a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=step)
            return [] if same else [where]
        return [d for key in kept for d in differences(kept[key], made[key], f"{where}.{key}")]
    if isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        pairs = enumerate(zip(kept, made, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    if isinstance(kept, float):
        return [] if kept == pytest.approx(made, rel=2e-4, abs=1e-9) else [where]
    return [] if kept == made else [where]


@pytest.mark.parametrize("name", FILES)
def test_an_export_gives_again_what_is_kept(name: str) -> None:
    if load(tool.DATASET).name != tool.DATASET:
        pytest.skip(f"{tool.DATASET} is not at hand")
    assert differences(kept(name), json.loads(json.dumps(FILES[name]()))) == []


def test_the_comparison_sees_a_change_of_one_number() -> None:
    data = kept("sixteen-sliders")
    for path in (("kl", 3), ("digits", 7, 2), ("decoder", 4, "weight"), ("active", 0)):
        other = json.loads(json.dumps(data))
        *outer, last = path
        place = other
        for key in outer:
            place = place[key]
        if path[0] == "decoder":
            numbers = tool.unpacked(place[last]).copy()
            numbers[0] += 3
            place[last] = tool.packed(numbers.dtype.name, numbers)
        else:
            place[last] = not place[last] if path[0] == "active" else place[last] * 1.001 + 0.001
        assert len(differences(data, other)) == 1, path


def test_every_byte_survives_its_packing() -> None:
    numbers = np.arange(-127, 128, dtype=np.int8)
    assert np.array_equal(tool.unpacked(tool.packed("int8", numbers)), numbers)


def decoded(layers: list[dict[str, Any]], z: np.ndarray) -> np.ndarray:
    """What the page's decoder computes, from the numbers that the page has."""
    for depth, layer in enumerate(layers):
        step = tool.unpacked(layer["step"])
        weight = tool.unpacked(layer["weight"]).reshape(len(step), layer["inputs"]) * step[:, None]
        z = z @ weight.T + tool.unpacked(layer["bias"])
        z = np.maximum(z, 0) if depth < len(layers) - 1 else 1 / (1 + np.exp(-z))
    return z


# These need the runs only, and hold on a machine without MNIST too.
DECODERS = {
    **{
        name: (
            kept(name)["decoder"],
            tool.SIXTEEN[name.removeprefix("sixteen-sliders")[1:] or "a"][1],
        )
        for name in FILES
        if name.startswith("sixteen")
    },
    **{
        model["name"]: (model["decoder"], tool.PLANE[model["name"]])
        for model in kept("latent-plane")["models"]
    },
}


@pytest.mark.parametrize("name", DECODERS)
def test_the_kept_decoder_draws_what_the_stored_run_draws(name: str) -> None:
    layers, experiment = DECODERS[name]
    model = experiment.run().model()
    generator = torch.Generator().manual_seed(1)
    spread = 20.0 if name == "Autoencoder" else 1.5
    z = spread * torch.randn(200, model.latent, generator=generator, dtype=torch.float64)
    apart = np.abs(decoded(layers, z.numpy()) - model.decode(z).flatten(1).numpy())
    assert apart.max() < 1 / 6
    assert apart.mean() < 0.5 / 255


def test_the_networks_of_the_sliders_differ_in_how_many_variables_are_dead() -> None:
    """And in none of them is it a matter of taste which these are."""
    dead = []
    for name in FILES:
        if name.startswith("sixteen"):
            data = kept(name)
            dead.append(data["active"].count(False))
            for active, moves, kl in zip(
                data["active"], data["mu_variance"], data["kl"], strict=True
            ):
                assert moves > 0.5 if active else moves < 0.01
                assert kl > 0.5 if active else kl < 0.05
    assert len(set(dead)) == len(dead) > 2
    assert kept("sixteen-sliders")["others"] == [*tool.SIXTEEN][1:]


def test_the_text_under_the_plane_is_true() -> None:
    """Far from all codes a classifier is sure of most pictures; at the borders it is not."""
    if load(tool.DATASET).name != tool.DATASET:
        pytest.skip(f"{tool.DATASET} is not at hand")
    classifier = classifier_experiment(tool.DATASET).run().classifier()
    data = kept("latent-plane")
    labels = torch.from_numpy(tool.unpacked(data["labels"]).copy())
    for kept_model in data["models"]:
        codes = torch.from_numpy(tool.unpacked(kept_model["codes"]) * tool.CODE_STEP).view(-1, 2)
        reach = kept_model["reach"]
        generator = torch.Generator().manual_seed(0)
        z = reach * (2 * torch.rand(4_000, 2, generator=generator, dtype=torch.float64) - 1)
        distance, which = torch.cdist(z, codes).topk(5, largest=False)
        far = distance[:, 0] > 0.2 * reach
        mixed = (labels[which] != labels[which[:, :1]]).sum(1) >= 2
        border = mixed & (distance[:, 0] < 0.02 * reach)
        pictures = tool.PLANE[kept_model["name"]].run().model().decode(z)
        with torch.no_grad():
            sure = classifier(pictures).softmax(1).amax(1) > 0.95
        assert far.sum() > 100
        assert border.sum() > 100
        assert sure[far].double().mean() > 0.6
        assert sure[border].double().mean() < 0.5


EXPERIMENTS = dict.fromkeys(("water-level", "diagnose-codes", "which-beta", "engine-glyphs"), 0)
EXPERIMENTS["latent-plane"] = 2


@pytest.mark.parametrize("name", FILES)
def test_the_data_name_the_experiments_they_come_from(name: str) -> None:
    data = kept(name)
    said = [data, *data.get("models", [])]
    experiments = [
        Experiment.from_canonical(part["experiment"]) for part in said if "experiment" in part
    ]
    assert len(experiments) == EXPERIMENTS.get(name, 1)
    assert all(experiment.stored(weights=True) for experiment in experiments)


def test_the_film_is_the_one_of_the_stored_run() -> None:
    film = tool.FILMED.run().history["snapshots"].squeeze(2)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(kept("tug-of-war")["film"]))))
    moments, images, height, width = film.shape
    again = sheet.reshape(moments, height, images, width).transpose(0, 2, 1, 3)
    assert np.array_equal(again, film.numpy())


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # matplotlib is given tensors
@pytest.mark.parametrize("scheme", tool.INKS)
@pytest.mark.parametrize("name", NAMES)
def test_the_still_picture_is_the_one_the_tool_draws(
    name: str, scheme: str, tmp_path: Path
) -> None:
    pins = (ROOT / "requirements.lock").read_text().splitlines()
    drawn_with = {f"{package}=={version(package)}" for package in ("matplotlib", "pillow")}
    if not drawn_with <= {*pins}:
        pytest.skip(f"stored pictures were drawn with other versions than {drawn_with}")
    _, draw = tool.EXPLORABLES[name]
    with plt.rc_context():
        tool.use_ink(tool.INKS[scheme])
        draw(kept(name) if name in FILES else None, tool.INKS[scheme])
        tool.save_still(tmp_path / "again.png")
        plt.close()
    stored, again = (
        np.asarray(Image.open(path).convert("RGBA"))
        for path in (STATIC / f"{name}{scheme}.png", tmp_path / "again.png")
    )
    assert np.array_equal(stored, again)
    assert (stored[..., 3] == 0).mean() > 0.05  # no card under it: the ground of the page is seen


def test_above_the_water_digits_are_rebuilt_as_well_as_by_pca() -> None:
    data = kept("water-level")
    images = torch.tensor(tool.unpacked(data["pictures"]["images"])).view(10, 1, 28, 28) / 255
    error = [(tool.rebuilt(data, water) - images).square().sum().item() for water in (1e-6, 1, 20)]
    data_here = load(tool.DATASET)
    if data_here.name != tool.DATASET:
        pytest.skip(f"{tool.DATASET} is not here")
    components = principal_components(data_here.train_images)
    flat, most = images.double().flatten(1) - components.mean, components.directions[:, :40]
    by_pca = (flat @ most @ most.T + components.mean).clamp(0, 1) - images.flatten(1)
    assert error[0] == pytest.approx(by_pca.square().sum().item(), rel=0.01)
    assert error[0] < error[1] < error[2] == pytest.approx(flat.square().sum().item(), rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_an_explorable_is_light_on_the_wire(name: str) -> None:
    mine = [f"{name}.data.js", f"{name}.js"]
    if name == "laboratory":  # its images come when the page is there
        mine = [path.name for key in (name, "engine") for path in STATIC.glob(f"{key}*.js")]
        mine.remove("engine-glyphs.data.js")
    files = ("core.js", *mine, "explorables.css")
    contents = [(STATIC / file).read_bytes() for file in files]
    assert sum(map(len, contents)) < 450_000
    # A server packs the scripts; the still picture, which is loaded too, is packed already.
    sent = sum(len(gzip.compress(content)) for content in contents)
    assert sent + (STATIC / f"{name}.png").stat().st_size < 350_000


# --- colours ------------------------------------------------------------------------------------


def colours_of(sheet: Path, selector: str) -> dict[str, str]:
    """The colours that a block of a style sheet names: ``--active: #0072b2``."""
    text = sheet.read_text(encoding="utf-8")
    block = text[text.index(f"\n{selector} {{") :]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[: block.index("}")]))


def test_figures_and_pages_have_the_same_colours() -> None:
    sheet, colophon = STATIC.parent / "custom.css", STATIC.parents[1] / "colophon.md"
    light, dark = colours_of(sheet, ":root"), colours_of(sheet, 'html[data-theme="dark"]')
    assert light == {name: colour.lower() for name, colour in COLOURS.items()}
    told = re.findall(r"`(#[0-9A-F]{6})`", colophon.read_text(encoding="utf-8"))
    pairs = [colour.upper() for name in light for colour in (light[name], dark[name])]
    assert told == pairs
    swatches = re.findall(
        r"^\.swatch[^{]*\{[^}]*?background: (#\w{6})", sheet.read_text("utf-8"), re.M
    )
    assert sorted(swatches) == sorted(light.values())


def test_no_digit_has_a_colour_that_means_something() -> None:
    meant = {ink[name] for ink in tool.INKS.values() for name in COLOURS}
    assert not meant & {*tool.DIGIT_COLOURS}


def test_stills_have_the_colours_of_the_pages() -> None:
    sheet = STATIC.parent / "custom.css"
    blocks = {"": ":root", "-dark": 'html[data-theme="dark"]'}
    for scheme, selector in blocks.items():
        colours = {name: tool.INKS[scheme][name].lower() for name in COLOURS}
        assert colours == colours_of(sheet, selector)
