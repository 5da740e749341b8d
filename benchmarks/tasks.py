"""What `run.py` measures, each in a process of its own: tasks.py TASK THREADS [ARGUMENTS]."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
STEPS = 10  # of each contestant in a round


def clocked(run: Callable[[], object], times: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def per_step(run: Callable[[], object], steps: int) -> float:
    """Milliseconds of one step."""
    calls = max(1, STEPS // steps)
    return 1000 * clocked(run, calls) / steps


def steps(threads: int, net: str, rounds: str) -> dict[str, Any]:
    """A step of every contestant, in turn."""
    if threads == 1:  # JAX has no other way to be told
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import torch

    torch.set_num_threads(threads)
    import peers

    dense = net != "convolutional"
    makers: dict[str, Callable[[], Any]] = {
        "the limit": partial(peers.limit, net),
        "the limit, bfloat16 products": partial(peers.limit, net, torch.bfloat16),
        "ours": partial(peers.ours, net),
        "ours, bfloat16": partial(peers.ours, net, torch.bfloat16),
        "plain loop in memory": partial(peers.by_autograd, net),
        "pythae": partial(peers.pythae, net),
        "DataLoader loop": partial(peers.dataloader, net),
        "JAX, whole epoch": partial(peers.jax_epoch, net),
        "PyTorch's products alone": lambda: (peers.products(net, torch.float32, "cpu"), 1),
        "JAX's products alone": partial(peers.jax_products, net),
    }
    if not dense:  # bfloat16 and JAX's program are for dense ones
        makers = {name: makers[name] for name in makers if "bfloat16" not in name}
        makers = {name: makers[name] for name in makers if "alone" not in name and name[0] != "J"}
    runs, first = {}, []
    for name, make in makers.items():
        start = time.perf_counter()
        runs[name] = make()
        built = time.perf_counter() - start
        first.append({"name": name, "import and build": built, "first": clocked(runs[name][0])})
    for run, n in runs.values():
        per_step(run, n)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(int(rounds)):
        for name, (run, n) in runs.items():
            times[name].append(per_step(run, n))
    return {"steps": [{"name": name, "ms": ms} for name, ms in times.items()], "first": first}


def gpu(threads: int, rounds: str) -> dict[str, Any]:
    """A step on the GPU, and an epoch of `fit`; ms per step, each round waits for the device."""
    import torch

    torch.set_num_threads(threads)
    import peers

    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "steps": [],
    }
    for net in ("784-400-20", "784-256-64-32-24-16"):
        runs = {
            "the limit": peers.limit(net, device="cuda")[0],
            "ours": peers.ours(net, device="cuda")[0],
            "ours, bfloat16": peers.ours(net, torch.bfloat16, device="cuda")[0],
            "plain loop in memory": peers.by_autograd(net, device="cuda")[0],
        }
        times: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(int(rounds) + 1):
            for name, run in runs.items():
                torch.cuda.synchronize()
                start = time.perf_counter()
                for _ in range(200):
                    run()
                torch.cuda.synchronize()
                if turn:  # the first warms up
                    times[name].append(1000 * (time.perf_counter() - start) / 200)
        report["steps"] += [{"net": net, "name": name, "ms": ms} for name, ms in times.items()]
    return report


def epoch(threads: int, rounds: str) -> dict[str, Any]:
    """469 steps, and the test ELBO over 10,000 images after them."""
    import torch

    torch.set_num_threads(threads)
    import peers

    from vaelib import load, mean_elbo

    net = "784-400-20"
    test = load("mnist").test_images
    vae = peers.model(net)
    theirs = peers.pythae_model(net).eval()
    pixels = test.float() / 255

    @torch.no_grad()
    def pythae_test() -> None:
        from pythae.data.datasets import BaseDataset

        data = torch.utils.data.DataLoader(BaseDataset(pixels, torch.zeros(len(pixels))), 128)
        for batch in data:
            theirs(batch)

    @torch.no_grad()
    def loader_test() -> None:
        from torchvision import datasets, transforms

        images = datasets.MNIST(
            os.environ["VAELIB_DATA"], train=False, transform=transforms.ToTensor()
        )
        for x, _ in torch.utils.data.DataLoader(images, batch_size=128):
            peers.elbo(vae, x).sum()

    tests = {
        "ours": (peers.ours(net), partial(mean_elbo, vae, test)),
        "pythae": (peers.pythae(net), pythae_test),
        "DataLoader loop": (peers.dataloader(net), loader_test),
    }
    rows = []
    for name, ((run, n), check) in tests.items():
        train = 469 * median(per_step(run, n) for _ in range(int(rounds))) / 1000
        tested = median(clocked(check) for _ in range(3))
        rows.append([name, f"{train:.2f}", f"{tested:.2f}", f"{train + tested:.2f}"])
    return {"rows": rows}


def likelihood(threads: int, rounds: str) -> dict[str, Any]:
    """`log_likelihood` against pythae's `get_nll`: microseconds per image and sample."""
    import torch

    torch.set_num_threads(threads)
    import peers

    from vaelib import load, log_likelihood, to_pixels

    net, images, samples = "784-400-20", 100, 100
    x = to_pixels(load("mnist").test_images[:images])
    vae, theirs = peers.model(net).eval(), peers.pythae_model(net).eval()
    runs: dict[str, Callable[[], object]] = {
        "ours": partial(log_likelihood, vae, x, samples),
        "pythae": partial(theirs.get_nll, x, n_samples=samples, batch_size=samples),
    }
    with contextlib.redirect_stdout(sys.stderr):
        times = {name: [clocked(run) for _ in range(5)] for name, run in runs.items()}
    return {name: 1e6 * median(seconds) / images / samples for name, seconds in times.items()}


def status(field: str) -> float:
    """A line of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) / 1000


def memory(threads: int, rounds: str) -> dict[str, Any]:
    """Peak of a process that imports torch, loads 60,000 images and trains."""
    import torch

    torch.set_num_threads(threads)
    imported = status("VmRSS")
    from vaelib import load
    from vaelib.lab import Experiment
    from vaelib.lab.training import train

    train(Experiment(dataset="mnist", epochs=1, history=False), load("mnist"))
    peak = status("VmHWM")
    return {
        "import torch, MB": imported,
        "peak, MB": peak,
        "above import torch, MB": peak - imported,
    }


def _spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Another process that never rests, on a core of its own if the system likes."""
    other = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    other.start()
    time.sleep(2)
    try:
        yield
    finally:
        other.kill()
        other.join()


def busy(threads: int, rounds: str) -> dict[str, Any]:
    """Our step alone and beside a busy core."""
    import torch

    torch.set_num_threads(threads)
    import peers

    run, n = peers.ours("784-400-20")
    per_step(run, n)
    quiet = [per_step(run, n) for _ in range(int(rounds))]
    with busy_core():
        disturbed = [per_step(run, n) for _ in range(int(rounds))]
    return {"quiet": quiet, "busy": disturbed}


def data(threads: int, rounds: str) -> dict[str, Any]:
    """Seconds to the first batch: ours, and every image through ToTensor."""
    from torchvision import datasets, transforms

    from vaelib import load

    root = os.environ["VAELIB_DATA"]

    def theirs() -> None:
        images = datasets.MNIST(root, train=True, transform=transforms.ToTensor())
        for _ in images:
            pass

    return {"ours": clocked(lambda: load("mnist")), "torchvision": clocked(theirs)}


def trained(count: int, jobs: int, threads: int, images: int, epochs: int = 1) -> float:
    """Seconds to train so many of the book's networks."""
    from vaelib import load
    from vaelib.lab import Experiment
    from vaelib.lab.sweep import train_all
    from vaelib.lab.training import train

    wanted = [
        Experiment(dataset="mnist", images=images, epochs=epochs, history=False, seed=seed)
        for seed in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VAELIB_RUNS"] = folder
        if jobs > 1:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:jobs])
            return clocked(partial(train_all, wanted, weights=False))
        images_at_hand = load("mnist")
        return clocked(lambda: [train(each, images_at_hand, threads=threads) for each in wanted])


def sweep(threads: int, rounds: str) -> dict[str, Any]:
    """16 of the book's networks: in two processes, and one after another with two threads.

    Four at a time, in turn, so that both meet the same noise. And one step's matrix products of 8
    networks stacked into one, against 8 times those of one.
    """
    import torch

    trained(2, 2, 1, 1000)  # the workers are started
    times: dict[str, list[float]] = {"side by side": [], "one after another": []}
    for _ in range(4):
        times["side by side"].append(trained(4, 2, 1, 60_000))
        times["one after another"].append(trained(4, 1, 2, 60_000))
    torch.set_num_threads(1)
    import peers

    net = "784-256-64-32-24-16"
    single, stacked = peers.products(net, torch.float32, "cpu"), peers.stacked_products(net, 8)
    rounds_of_both = [(clocked(single, 80) * 8, clocked(stacked, 10)) for _ in range(int(rounds))]
    return {name: sum(seconds) for name, seconds in times.items()} | {
        "stacked": median(b / a for a, b in rounds_of_both)
    }


def precision(threads: int, rounds: str) -> dict[str, Any]:
    """Test ELBO and active variables after 5 epochs in float32 and in bfloat16, over 3 seeds."""
    import torch

    torch.set_num_threads(threads)
    from vaelib import load
    from vaelib.lab import Experiment
    from vaelib.lab.training import train

    def result(seed: int, name: str) -> tuple[float, int]:
        settings = {"hidden": (400,), "latent": 20, "epochs": 5, "precision": name}
        experiment = Experiment(dataset="mnist", seed=seed, history=False, **settings)
        run = train(experiment, load("mnist"))
        return run.measurements["elbo"].item(), int(run.statistics.active().sum())

    return {name: [result(seed, name) for seed in range(3)] for name in ("float32", "bfloat16")}


def imports(threads: int, rounds: str) -> dict[str, Any]:
    """Seconds to import, in processes of their own."""
    packages = ("torch", "vaelib", "pythae.models", "jax")
    return {
        name: median(
            clocked(partial(subprocess.run, [sys.executable, "-c", f"import {name}"], check=True))
            for _ in range(3)
        )
        for name in packages
    }


def growth(threads: int, rounds: str) -> dict[str, Any]:
    """Seconds against models, epochs and images."""
    trained(2, 2, 1, 1000)
    return {
        "models": {"at": [4, 8, 16], "seconds": [trained(n, 2, 1, 10_000) for n in (4, 8, 16)]},
        "epochs": {
            "at": [2, 4, 8],
            "seconds": [trained(2, 2, 1, 10_000, epochs=n) for n in (2, 4, 8)],
        },
        "images": {
            "at": [10_000, 20_000, 40_000],
            "seconds": [trained(2, 2, 1, n) for n in (10_000, 20_000, 40_000)],
        },
    }


def main() -> None:
    """Measure, print as JSON."""
    task, threads, *arguments = sys.argv[1:]
    tasks = (steps, gpu, epoch, likelihood, memory, busy, data, sweep, growth, precision, imports)
    print(json.dumps({f.__name__: f for f in tasks}[task](int(threads), *arguments)))


if __name__ == "__main__":
    main()
