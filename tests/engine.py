"""The engine of the laboratory, in a page of its own, beside torch."""

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import show
from playwright.sync_api import Browser, Page
from torch import Tensor

import vaelib.objectives
from vaelib import VAE

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static" / "explorables"
SCRIPTS = ("core.js", "engine-products.js", "engine.js")
SIDE = 14
# Arrays of numbers come as {floats: their bytes}: there are millions of them.
WRAP = """async given => {
  const packed = value => {
    if (ArrayBuffer.isView(value)) {
      const bytes = new Uint8Array(new Float32Array(value).buffer);
      let text = "";
      for (let at = 0; at < bytes.length; at += 32768)
        text += String.fromCharCode(...bytes.subarray(at, at + 32768));
      return {floats: btoa(text)};
    }
    if (Array.isArray(value)) return value.map(packed);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value)
        .filter(([, part]) => typeof part !== "function")
        .map(([name, part]) => [name, packed(part)]));
    return value;
  };
  return JSON.stringify(packed(await (async given => {BODY})(given)));
}"""
GLYPHS = """
  if (!window.sets)
    window.sets = {glyphs: Engine.glyphs(await Explorables.fetchData("engine-glyphs"))};
"""


def document(script: str = "") -> str:
    """A page with the engine and nothing else."""
    sources = "".join(f'<script src="{(STATIC / name).as_uri()}"></script>' for name in SCRIPTS)
    return f"<!doctype html><meta charset=utf-8><title>engine</title>{sources}{script}"


def opened(browser: Browser) -> Page:
    """The page, from disk, with the network off."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "engine.html")
        path.write_text(document(), encoding="utf-8")
        page, complaints = show(browser.new_context(), path)
    assert complaints == []
    return page


def run(page: Page, body: str, **given: Any) -> Any:
    """Run the body of a function of ``given`` in the page; ``sets`` has the glyphs."""
    text = page.evaluate(WRAP.replace("BODY", GLYPHS + body), given)
    return json.loads(text, object_hook=unwrapped) if text else None


def unwrapped(value: dict[str, Any]) -> Any:
    if value.keys() == {"floats"}:
        return torch.from_numpy(np.frombuffer(base64.b64decode(value["floats"]), "<f4").copy())
    return value


class Beside(VAE):
    """The network of the engine in float64; what is killed says what the prior says."""

    def __init__(self, settings: dict[str, Any], killed: list[int], layers: list[Any]) -> None:
        super().__init__(
            (1, SIDE, SIDE),
            tuple(settings["hidden"]),
            settings["latent"],
            settings["likelihood"],
            decoder_variance=settings["decoderVariance"],
            leak=settings["leak"],
        )
        self.double()
        self.register_buffer("alive", torch.ones(settings["latent"], dtype=torch.float64))
        self.alive[killed] = 0
        with torch.no_grad():
            for parameter, values in zip(self.in_order(), flat(layers), strict=True):
                parameter.copy_(values.view_as(parameter))

    def in_order(self) -> list[torch.nn.Parameter]:
        """As the engine has them: encoder, μ, log σ², decoder."""
        parts = (self.encoder, self.mu, self.logvar, self.decoder)
        return [parameter for part in parts for parameter in part.parameters()]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().encode(x)
        return mu * self.alive, logvar * self.alive


def flat(layers: list[Any]) -> list[Tensor]:
    """Weights and biases in turn, as torch has them: a row for each output."""
    numbers = []
    for layer in layers:
        weight = layer["weight"].double().view(layer["inputs"], layer["outputs"])
        numbers += [weight.T.contiguous(), layer["bias"].double()]
    return numbers


def images(levels: Tensor) -> Tensor:
    """Levels from 0 to 15, as pixels of float64."""
    return (levels.double() / 15).view(-1, 1, SIDE, SIDE)


def use_noise(monkeypatch: pytest.MonkeyPatch, noise: Tensor) -> None:
    """Let the package draw this noise next."""
    monkeypatch.setattr(vaelib.objectives, "standard_normal", lambda *_: noise)
