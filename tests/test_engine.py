"""The engine of the laboratory computes what the package computes, and its switches cut."""

import base64
import gzip
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import ROOT
from engine import STATIC, Beside, flat, images, opened, run, use_noise
from playwright.sync_api import Browser, Page

from vaelib import (
    elbo,
    gaussian_kl,
    latent_statistics,
    linear_vae_optimum,
    load,
    reconstruction_gain,
)
from vaelib.objectives import reconstruction_log_likelihood, sample_posterior

sys.path.insert(0, str(ROOT / "tools"))
import explorables as tool

SMALL = {"hidden": [24], "latent": 5, "batch": 16}
# Each shape and switch once; widths that are no multiples of 8.
NETWORKS: dict[str, dict[str, Any]] = {
    "default": {},
    "four leaky layers": {"hidden": [40, 30, 20, 12], "latent": 7, "leak": 0.3},
    "straight lines": {"hidden": [], "latent": 3, "leak": 1},
    "gaussian": {"likelihood": "gaussian", "decoderVariance": 0.4, **SMALL},
    "torch's start": {"initialisation": "torch", **SMALL},
    "beta": {"beta": 3.5, **SMALL},
    "no noise": {"sample": False, **SMALL},
    "no price": {"free": [1, 4], **SMALL},
    "killed": {"killed": [0, 2], **SMALL},
    "revived": {"revive": {"variables": [3], "steps": 50}, **SMALL},
    "one latent variable": {**SMALL, "latent": 1},
    "thirty-two": {**SMALL, "latent": 32},
}
networks = pytest.mark.parametrize("name", NETWORKS)
backends = pytest.mark.parametrize("plain", [False, True], ids=["simd", "plain"])


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = opened(browser)
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def held_out(page: Page) -> torch.Tensor:
    return images(run(page, "return sets.glyphs.heldOut"))


def trained(page: Page, settings: dict[str, Any], steps: int = 20) -> dict[str, Any]:
    """The last step of a short training, and what is measured after it."""
    return run(
        page,
        """
        const network = Engine.network(given.settings, sets);
        for (let i = 1; i < given.steps; i++) network.step();
        const before = network.weights();
        network.step();
        const batch = network.batch(), gradients = network.gradients(), loss = network.loss();
        const x = new Float32Array(batch.indices.length * 196);
        batch.indices.forEach((image, row) =>
          x.set(sets.glyphs.train.subarray(196 * image, 196 * image + 196), 196 * row));
        const measuring = new Float32Array(500 * network.settings.latent);
        Engine.fillNormal(Engine.stream(0, 4), measuring, measuring.length);
        return {...batch, before, gradients, loss, x, measuring, weights: network.weights(),
                settings: network.settings, now: network.now, measured: network.measure()};
        """,
        settings=settings,
        steps=steps,
    )


# --- the same as torch --------------------------------------------------------------------------


@backends
@networks
def test_each_gradient_is_autograds(
    page: Page, monkeypatch: pytest.MonkeyPatch, name: str, plain: bool
) -> None:
    seen = trained(page, {**NETWORKS[name], "plain": plain})
    assert seen["measured"]["backend"] == ("plain" if plain else "simd")
    settings, now = seen["settings"], seen["now"]
    model = Beside(settings, now["killed"], seen["before"])
    x = images(seen["x"])
    noise = seen["noise"].double().view(-1, settings["latent"]) * now["sample"]
    beta = torch.full((settings["latent"],), float(now["beta"]), dtype=torch.float64)
    beta[now["free"] + seen["measured"]["revived"]] = 0
    assert seen["measured"]["klWeights"] == beta.tolist()
    use_noise(monkeypatch, noise)
    loss = -elbo(model, x, beta).mean()
    loss.backward()
    assert seen["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for parameter, gradient in zip(model.in_order(), flat(seen["gradients"]), strict=True):
        error = (parameter.grad - gradient).abs().max()
        assert error <= 1e-4 * parameter.grad.abs().max()


@networks
def test_a_step_is_adams(page: Page, name: str) -> None:
    """From its running means at zero, so the first step of all."""
    seen = trained(page, NETWORKS[name], steps=1)
    parameters = [torch.nn.Parameter(values) for values in flat(seen["before"])]
    adam = torch.optim.Adam(parameters, lr=0.003)
    for parameter, gradient in zip(parameters, flat(seen["gradients"]), strict=True):
        parameter.grad = gradient
    adam.step()
    for parameter, values in zip(parameters, flat(seen["weights"]), strict=True):
        assert torch.allclose(parameter, values, atol=1e-6)


@networks
def test_measures_are_the_packages(
    page: Page, held_out: torch.Tensor, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen = trained(page, {**NETWORKS[name], "gainImages": 150})
    measured, latent = seen["measured"], seen["settings"]["latent"]
    model = Beside(seen["settings"], seen["now"]["killed"], seen["weights"])
    x, noise = held_out, seen["measuring"].double().view(500, latent) * seen["now"]["sample"]
    with torch.no_grad():
        mu, logvar = model.encode(x)
        expected = latent_statistics(mu, logvar)
        gain = reconstruction_gain(model, x[:150])
    assert measured["varMu"] == pytest.approx(expected.var_mu.tolist(), rel=1e-4, abs=1e-7)
    assert measured["meanSigma2"] == pytest.approx(expected.mean_sigma2.tolist(), rel=1e-4)
    assert measured["kl"] == pytest.approx(expected.kl.tolist(), rel=1e-4, abs=1e-6)
    assert measured["price"] == pytest.approx(
        gaussian_kl(mu, logvar).sum(1).mean().item(), rel=1e-4
    )
    assert measured["gain"] == pytest.approx(gain.tolist(), rel=1e-3, abs=1e-3)
    use_noise(monkeypatch, seen["measuring"].double().view(500, latent)[:150])
    noisy = reconstruction_gain(model, x[:150], torch.Generator())
    assert measured["noisyGain"] == pytest.approx(noisy.tolist(), rel=1e-3, abs=1e-3)
    with torch.no_grad():
        use_noise(monkeypatch, noise)
        nats = reconstruction_log_likelihood(model, x, sample_posterior(mu, logvar)).mean().item()
    assert measured["likelihood"] == pytest.approx(nats, rel=1e-5)
    assert measured["elbo"] == pytest.approx(measured["likelihood"] - measured["price"])


@pytest.mark.parametrize("kind", ["glorot", "torch"])
def test_first_weights_are_uniform_and_as_large_as_in_the_package(page: Page, kind: str) -> None:
    layers = run(
        page,
        "return Engine.network({initialisation: given.kind, seed: 3}, sets).weights()",
        kind=kind,
    )
    for layer in layers:
        fans = layer["inputs"] + layer["outputs"]
        reach = (6 / fans) ** 0.5 if kind == "glorot" else layer["inputs"] ** -0.5
        weight = layer["weight"] / reach
        assert 0.95 < weight.abs().max() < 1
        assert weight.square().mean().item() == pytest.approx(1 / 3, rel=0.15)
        assert (layer["bias"] / reach).abs().max() < 1
        assert bool((layer["bias"] == 0).all()) == (kind == "glorot")


def test_the_noise_is_normal_and_another_for_each_seed(page: Page) -> None:
    draws = [
        run(
            page,
            """
            const array = new Float32Array(200000);
            Engine.fillNormal(Engine.stream(given.seed, 3), array, array.length);
            return array;
            """,
            seed=seed,
        ).double()
        for seed in (0, 1)
    ]
    points = torch.tensor([-3.6, -3, -2, -1, -0.3, 0, 0.5, 1.5, 2.5, 3.2], dtype=torch.float64)
    for z in draws:
        share = (z < points[:, None]).double().mean(1)
        expected = torch.special.ndtr(points)
        error = (expected * (1 - expected) / len(z)).sqrt()
        assert ((share - expected).abs() < 4 * error).all()
        assert z.square().mean().item() == pytest.approx(1, abs=0.02)
        assert (z[1:] * z[:-1]).mean().abs() < 0.01
    assert (draws[0] * draws[1]).mean().abs() < 0.01


# --- with and without WebAssembly ----------------------------------------------------------------


def test_the_committed_products_are_the_assembled_source() -> None:
    pytest.importorskip("wasmtime")
    sys.path.insert(0, str(ROOT / "tools" / "engine"))
    import assemble

    kept = assemble.SCRIPT.read_text(encoding="utf-8")
    assert kept == assemble.script()
    code = base64.b64decode(re.search(r'"(.*)"', kept)[1])  # type: ignore[index]
    assert len(code) < 5_000


@pytest.mark.parametrize("name", ["default", "gaussian", "four leaky layers"])
def test_simd_and_plain_javascript_train_the_same_network(page: Page, name: str) -> None:
    simd, plain = (trained(page, {**NETWORKS[name], "plain": plain}, 50) for plain in (False, True))
    assert torch.equal(simd["noise"], plain["noise"])
    assert simd["loss"] == pytest.approx(plain["loss"], rel=1e-4)
    for one, other in zip(flat(simd["gradients"]), flat(plain["gradients"]), strict=True):
        assert (one - other).abs().max() <= 0.02 * other.abs().max()


def test_a_browser_without_simd_gets_plain_javascript(browser: Browser) -> None:
    page = opened(browser)
    name = "delete window.WebAssembly; return Engine.network({}, sets).backend"
    assert run(page, name) == "plain"
    page.context.close()


# --- the data ------------------------------------------------------------------------------------


def test_the_glyphs_are_the_packages(page: Page) -> None:
    kept = run(page, "return sets.glyphs")
    data = load("glyphs")
    for name, whole in (("train", data.train_images), ("heldOut", data.test_images)):
        levels = kept[name].view(-1, 14, 14)
        means = whole[: len(levels), 0].double().view(-1, 14, 2, 14, 2).mean((2, 4)) / 255
        assert (levels / 15 - means).abs().max() <= 0.5 / 15 + 1e-6
    assert kept["labels"].tolist() == data.test_labels[:500].tolist()
    assert len(kept["train"]) == 5_000 * 196


def test_the_engine_is_light_on_the_wire() -> None:
    files = ("engine.js", "engine-products.js", "engine-glyphs.data.js")
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in files) < 300_000


def test_the_toy_has_exactly_its_eigenvalues(page: Page) -> None:
    measured = run(
        page,
        """
        const toy = {data: "toy", eigenvalues: given.values, pictures: 500};
        return Engine.network(toy, {}).measure();
        """,
        values=tool.TOY,
    )
    x = measured["images"].double().view(500, 6)
    assert torch.allclose(x.T @ x / 500, torch.diag(torch.tensor(tool.TOY).double()), atol=1e-5)
    assert x.mean(0).abs().max() < 1e-6


def test_the_closed_form_is_the_packages(page: Page) -> None:
    theirs = run(page, "return Engine.linearOptimum(given.values, 0.5, 2.4)", values=tool.TOY)
    ours = linear_vae_optimum(torch.tensor(tool.TOY, dtype=torch.float64), 0.5, 2.4)
    for key, values in zip(("varMu", "sigma2", "kl"), ours, strict=True):
        assert [row[key] for row in theirs] == pytest.approx(values.tolist())


# --- seeds, steps and switches -------------------------------------------------------------------

WORKER = """
  const shown = [], engine = Engine.open(measured => shown.push(measured));
  await engine.data("glyphs", sets.glyphs);
"""


def test_a_seed_decides_everything_and_measuring_changes_nothing(page: Page) -> None:
    ends = run(
        page,
        """
        return [[0, 0], [0, 5], [1, 0]].map(([seed, looks]) => {
          const network = Engine.network({...given.small, seed, draws: 4}, sets);
          for (let i = 0; i < 40; i++) {
            network.step();
            if (looks && i % looks === 0) network.measure();
          }
          return network.measure();
        });
        """,
        small=SMALL,
    )
    assert ends[0]["varMu"] == ends[1]["varMu"] != ends[2]["varMu"]
    assert ends[0]["elbo"] == ends[1]["elbo"] != ends[2]["elbo"]
    assert torch.equal(ends[0]["draws"], ends[1]["draws"])


def test_each_epoch_shows_each_image_once(page: Page) -> None:
    seen = run(
        page,
        """
        const network = Engine.network({...given.small, batch: 200}, sets), seen = [];
        for (let i = 0; i < 50; i++) { network.step(); seen.push(network.batch().indices); }
        return seen;
        """,
        small=SMALL,
    )
    epochs = torch.cat(seen).view(2, 5000).sort(1).values
    assert (epochs == torch.arange(5000)).all()
    assert not torch.equal(seen[0], seen[25])


def test_the_worker_does_what_the_network_does(page: Page) -> None:
    seen = run(
        page,
        WORKER
        + """
        const start = await engine.create({...given.small, path: [[10, 4], [20, 0.5]]});
        const ten = await engine.step(10);
        const end = await engine.play({until: 30});
        await engine.reset({seed: 1});
        const other = await engine.play({until: 30});
        await engine.reset({seed: 0});
        const again = await engine.play({until: 30});
        engine.close();
        const network = Engine.network({...given.small, path: [[10, 4], [20, 0.5]]}, sets);
        for (let i = 0; i < 30; i++) network.step();
        return {start, ten, end, other, again, here: network.measure(), shown: shown.length};
        """,
        small=SMALL,
    )
    assert [seen[name]["step"] for name in ("start", "ten", "end", "again")] == [0, 10, 30, 30]
    assert [seen[name]["beta"] for name in ("start", "ten", "end")] == [1, 1, 0.5]
    assert seen["end"]["varMu"] == seen["here"]["varMu"] == seen["again"]["varMu"]
    assert seen["end"]["varMu"] != seen["other"]["varMu"]
    assert not seen["end"]["playing"]
    assert seen["shown"] >= 6


def test_it_plays_until_it_is_paused_and_hears_what_is_set(page: Page) -> None:
    seen = run(
        page,
        WORKER
        + """
        const wait = ms => new Promise(go => setTimeout(go, ms));
        await engine.create({...given.small, interval: 20, pictures: 10, draws: 3});
        let stopped = false;
        const played = engine.play().then(found => { stopped = true; return found; });
        await wait(300);
        await engine.set({beta: 9, killed: [2]});
        const early = stopped, before = shown.length;
        await wait(300);
        const paused = await engine.pause(), end = await played;
        await wait(100);
        const later = await engine.measure();
        const codes = await engine.encode(later.images), pixels = await engine.decode(codes.mu);
        await engine.set({pace: 100});
        const slow = engine.play(), from = performance.now();
        await wait(600);
        const walked = await engine.pause(), took = performance.now() - from;
        engine.close();
        return {early, before, paused, end, later, pixels, took, steps: walked.step - later.step,
                playing: shown.filter(found => found.playing).length};
        """,
        small=SMALL,
    )
    assert not seen["early"]
    assert seen["playing"] > 3
    assert seen["paused"]["step"] == seen["end"]["step"] == seen["later"]["step"] > 20
    assert seen["later"]["beta"] == 9
    assert seen["later"]["kl"][2] == seen["later"]["gain"][2] == 0
    assert torch.equal(seen["pixels"], seen["later"]["reconstructions"])
    assert 0.3 < seen["steps"] / (seen["took"] / 10) < 1.2


def test_one_picture_of_each_digit_comes_first(page: Page) -> None:
    measured = run(page, "return Engine.network({pictures: 12, draws: 2}, sets).measure()")
    data = load("glyphs")
    first = [int((data.test_labels == digit).nonzero()[0]) for digit in range(10)]
    expected = torch.from_numpy(tool.small_levels(data.test_images[first])).flatten(1) / 15
    assert torch.allclose(measured["images"].view(12, 196)[:10], expected)
    assert len(measured["draws"]) == 2 * 196


@pytest.mark.parametrize(
    ("verb", "argument", "name"),
    [
        ("create", {"hidden": [1] * 5}, "hidden"),
        ("create", {"latent": 33}, "latent"),
        ("create", {"leak": 2}, "leak"),
        ("create", {"batch": 6}, "batch"),
        ("create", {"seeds": 1}, "seeds"),
        ("create", {"data": "mnist"}, "mnist"),
        ("create", {"data": "toy", "eigenvalues": [-1]}, "eigenvalues"),
        ("create", {"data": "toy", "likelihood": "bernoulli"}, "likelihood"),
        ("set", {"latent": 3}, "latent"),
        ("set", {"beta": -1}, "beta"),
        ("set", {"killed": [16]}, "killed"),
        ("set", {"revive": {"variables": 99}}, "revive"),
        ("set", {"path": [[-1, 2]]}, "path"),
        ("set", {"pace": 0}, "pace"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    page: Page, verb: str, argument: dict[str, Any], name: str
) -> None:
    said = run(
        page,
        WORKER
        + """
        await engine.create({});
        const said = await engine[given.verb](given.argument).catch(error => error.message);
        const well = await engine.step(1);
        engine.close();
        return [said, well.step];
        """,
        verb=verb,
        argument=argument,
    )
    assert said[0].startswith(f"{name}:")
    assert said[1] == 1


def test_without_a_worker_the_page_trains(browser: Browser) -> None:
    page = opened(browser)
    run(page, "delete window.Worker; return 0")
    body = WORKER + "await engine.create(given.small); return engine.play({until: 40});"
    assert run(page, body, small=SMALL)["step"] == 40
    page.context.close()


def test_a_training_that_blows_up_stops_by_itself(page: Page) -> None:
    seen = run(
        page,
        WORKER
        + """
        const wild = {data: "toy", eigenvalues: [1e5, 1], decoderVariance: 1e-9, learningRate: 0.9};
        await engine.create({...wild, interval: 10});
        return engine.play({until: 1e6});
        """,
    )
    assert not seen["finite"]
    assert seen["step"] < 1e6
