"""The engine of the laboratory, trained to its end; and the same steps in a second browser."""

import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from engine import GLYPHS, WRAP, Beside, document, images, opened, run, unwrapped, use_noise
from playwright.sync_api import Browser, Page

from vaelib import elbo, linear_vae_optimum

SEEDS = range(3)
TOY = [5.0, 3.0, 1.5, 0.8, 0.4, 0.1]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = opened(browser)
    yield page
    page.context.close()


def ends(page: Page, settings: dict[str, Any], stations: list[Any]) -> list[dict[str, Any]]:
    """What is measured at the end of each station: (steps, what is set before them)."""
    return run(
        page,
        """
        const engine = Engine.open(), ends = [];
        await engine.data("glyphs", sets.glyphs);
        await engine.create(given.settings);
        for (const [steps, changes] of given.stations) {
          await engine.set(changes);
          ends.push(await engine.step(steps));
        }
        engine.close();
        return ends;
        """,
        settings=settings,
        stations=stations,
    )


def least(values: list[float]) -> int:
    return values.index(min(values))


# --- beside torch --------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["simd", "plain"])
def test_five_hundred_steps_lose_what_torch_loses(
    page: Page, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    seen = run(
        page,
        """
        const network = Engine.network({plain: given.plain}, sets), steps = 500, losses = [];
        const before = network.weights();
        const indices = new Float32Array(64 * steps), noise = new Float32Array(64 * 16 * steps);
        for (let i = 0; i < steps; i++) {
          network.step();
          losses.push(network.loss());
          const batch = network.batch();
          indices.set(batch.indices, 64 * i);
          noise.set(batch.noise, 64 * 16 * i);
        }
        return {before, indices, noise, losses, train: sets.glyphs.train,
                settings: network.settings};
        """,
        plain=backend == "plain",
    )
    model = Beside(seen["settings"], [], seen["before"])
    adam = torch.optim.Adam(model.parameters(), lr=0.003)
    train = seen["train"].view(-1, 196)
    noise = seen["noise"].double().view(500, 64, 16)
    losses = []
    for step, indices in enumerate(seen["indices"].long().view(500, 64)):
        use_noise(monkeypatch, noise[step])
        loss = -elbo(model, images(train[indices])).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert seen["losses"] == pytest.approx(losses, rel=1e-2)
    assert losses[-1] < 0.5 * losses[0]


# --- a second browser ----------------------------------------------------------------------------


def in_firefox(body: str, folder: Path) -> Any:
    """The same as `run`, in Firefox, which tells its answer to a server on this machine."""
    firefox = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
    if firefox is None:
        pytest.skip("neither firefox nor firefox-esr is installed")
    answers: list[bytes] = []
    there = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answers.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
            there.set()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        script = f"""<script>
          const tell = text => fetch("http://127.0.0.1:{server.server_port}/",
            {{method: "POST", mode: "no-cors", body: text}});
          ({WRAP.replace("BODY", GLYPHS + body)})({{}})
            .then(tell, error => tell(JSON.stringify("" + error)));
        </script>"""
        page = folder / "engine.html"
        page.write_text(document(script), encoding="utf-8")
        command = [firefox, "--headless", "--no-remote", "--profile", str(folder), page.as_uri()]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet(folder)
        )
        try:
            assert there.wait(180), "Firefox gave no answer"
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()
    return json.loads(answers[0], object_hook=unwrapped)


def quiet(folder: Path) -> dict[str, str]:
    """An environment in which Firefox keeps everything in the folder."""
    return os.environ | {"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"}


@pytest.mark.parametrize("backend", ["simd", "plain"])
def test_firefox_trains_to_the_same_loss(page: Page, tmp_path: Path, backend: str) -> None:
    body = """
      const engine = Engine.open();
      await engine.data("glyphs", sets.glyphs);
      await engine.create({plain: PLAIN});
      const end = await engine.step(200);
      const network = Engine.network({plain: PLAIN}, sets), losses = [];
      for (let i = 0; i < 200; i++) { network.step(); losses.push(network.loss()); }
      return {end, losses};
    """.replace("PLAIN", str(backend == "plain").lower())
    here, there = run(page, body), in_firefox(body, tmp_path)
    assert there["end"]["backend"] == here["end"]["backend"] == backend
    assert there["losses"] == pytest.approx(here["losses"], rel=1e-6)
    for name in ("varMu", "meanSigma2", "kl", "gain", "noisyGain"):
        assert there["end"][name] == pytest.approx(here["end"][name], rel=1e-4, abs=1e-5), name
    assert there["end"]["elbo"] == pytest.approx(here["end"]["elbo"], rel=1e-6)


# --- the toy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta": 2.0},
        {"decoderVariance": 0.3, "seed": 1},
        {"latent": 4, "seed": 2},
        {"hidden": [8], "leak": 1, "seed": 3},
    ],
    ids=str,
)
def test_the_toy_ends_on_its_closed_form(page: Page, settings: dict[str, Any]) -> None:
    rates = [(2_000, 0.01), (2_000, 0.002), (2_000, 0.0005), (2_000, 0.0001)]
    stations = [(steps, {"learningRate": rate}) for steps, rate in rates]
    end = ends(page, {"data": "toy", "batch": 256, **settings}, stations)[-1]
    optimum = linear_vae_optimum(
        torch.tensor(TOY).double(), settings.get("decoderVariance", 1.0), settings.get("beta", 1.0)
    )
    count = settings.get("latent", 6)
    assert end["active"] == (optimum.var_mu[:count] > 0).sum()
    for name, values in (("varMu", optimum.var_mu), ("meanSigma2", optimum.sigma2)):
        ordered = sorted(end[name], reverse=name == "varMu")
        assert ordered == pytest.approx(values[:count].tolist(), abs=0.03), name
    assert end["price"] == pytest.approx(optimum.kl[:count].sum().item(), abs=0.05)


# --- the collapse, and the cuts of the chapter on the vicious cycle -------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_sixteen_become_a_few(page: Page, seed: int) -> None:
    early, end = ends(page, {"seed": seed}, [(400, {}), (2_600, {})])
    assert early["active"] >= 10
    assert 3 <= end["used"] <= 6
    dead = [j for j, gain in enumerate(end["gain"]) if gain < 0.5]
    assert sum(end["varMu"][j] < 0.05 and end["kl"][j] < 0.1 for j in dead) >= 10
    assert end["elbo"] > early["elbo"] + 2


def test_without_noise_nobody_dies_and_all_whisper(page: Page) -> None:
    end, late = ends(page, {"sample": False}, [(3_000, {}), (3_000, {"sample": True})])
    assert end["used"] == 16
    assert end["price"] < 1
    assert max(end["varMu"]) < 0.1
    assert min(end["meanSigma2"]) > 0.9
    # Were the noise switched on now, nearly all would do harm; in the chapter's network all do.
    assert sum(gain < 0 for gain in end["noisyGain"]) >= 14
    assert late["used"] <= 8  # the second cut: noise that comes late kills


def test_a_variable_without_a_price_lives_and_dominates(page: Page) -> None:
    (end,) = ends(page, {}, [(3_000, {})])
    condemned = least(end["varMu"])
    (free,) = ends(page, {"free": [condemned]}, [(3_000, {})])
    assert end["gain"][condemned] < 0.1
    assert free["gain"][condemned] == max(free["gain"]) > max(end["gain"])
    assert free["meanSigma2"][condemned] < 0.01
    assert free["kl"][condemned] > 8
    assert free["klWeights"][condemned] == 0


def test_the_dead_rise_while_they_have_no_price(page: Page) -> None:
    before, now, after = ends(
        page,
        {},
        [(2_500, {}), (390, {"revive": {"variables": 1, "steps": 391}}), (1, {})],
    )
    revived = least(before["varMu"])
    assert now["revived"] == [revived]
    assert after["revived"] == []
    assert after["klWeights"] == [1] * 16
    assert before["gain"][revived] < 0.1
    assert now["gain"][revived] > 1


def test_the_killed_are_missed_and_stay_dead(page: Page) -> None:
    (before,) = ends(page, {}, [(2_500, {})])
    best = max(range(16), key=before["gain"].__getitem__)
    _, at_once, later, let_go = ends(
        page, {}, [(2_500, {}), (1, {"killed": [best]}), (1_000, {}), (1_000, {"killed": []})]
    )
    assert at_once["elbo"] < before["elbo"] - 3
    assert later["elbo"] > at_once["elbo"] + 3
    for end in (at_once, later):
        assert end["varMu"][best] == end["kl"][best] == end["gain"][best] == 0
        assert end["meanSigma2"][best] == 1
        assert abs(end["noisyGain"][best]) < max(before["gain"])
    assert abs(later["noisyGain"][best]) < 0.05  # the decoder has learnt not to read it
    assert let_go["killed"] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loop(page: Page, seed: int) -> None:
    """Twice as many by the path of low prices, for about a nat."""
    (end,) = ends(page, {"seed": seed}, [(6_000, {})])
    path = [[0, 0.05], [600, 0.2], [1_200, 0.5], [1_800, 1]]
    (low,) = ends(page, {"seed": seed, "path": path}, [(6_000, {})])
    assert low["beta"] == 1
    assert low["used"] >= end["used"] + 3
    assert 0 < low["elbo"] - end["elbo"] < 3
