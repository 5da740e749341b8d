"""Diagnosis in the page finds what the package finds, on both sides of every threshold."""

import math
import re

import numpy as np
import torch
from playwright.sync_api import Page
from test_diagnose_codes import SCRIPT, page, the_same

from vaelib import diagnose

__all__ = ["page"]  # the fixture


def family(at: float, kind: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Small codes, with one thing that grows: past a threshold it is found, or no more."""
    generator = torch.Generator().manual_seed(kind)
    mu, noise = torch.randn(2, 150, 3, generator=generator, dtype=torch.float64)
    mu = (mu - mu.mean(0)) / mu.std(0, correction=0)
    base = torch.tensor([0.9, 0.6, 0.004]).double()
    size, law = base.sqrt(), (1 - base).log().expand(150, 3)
    return [
        lambda: (mu * size * at**0.5, law),  # Var μ of all
        lambda: (mu * size, law + math.log(at)),  # σ² of all
        lambda: (mu * torch.tensor([1, at, 0.001]), 0.3 * noise * at),  # hardly any noise
        lambda: (mu * size + 0.4 * at, law),  # means
        lambda: (mu * 0.02 + 0.6 * at, law),  # dead, with means
        lambda: (mu * size, 0.8 * at * mu.abs() * size),  # a log-variance above 0
        lambda: (mu * size, (law.exp() + 0.1 * noise.abs()) * at),  # a variance
        lambda: (mu * size, (law / 2).exp() * at + 0.05),  # a standard deviation
        lambda: (law * at + 0.1 * noise, mu * size),  # swapped
        lambda: (mu, mu + at**8 * 1e-5 * noise),  # from one layer
        lambda: (mu * size * 10 * at, law - 4),  # sharp
        lambda: (mu * size * 60 * at, law + 4 + 6 * at),  # exploded
        lambda: (mu.repeat(6, 1)[: int(270 * at)] * 40, law[:1].repeat(int(270 * at), 1) - 6),
        lambda: (mu.abs()[: int(50 * at)] * size, law[: int(50 * at)]),  # μ on one side
        lambda: (mu * at**0.2, law),  # a draw
        lambda: (mu * size, (law + noise).clamp(min=-at)),
        lambda: (mu * size, (law + noise).clamp(max=at - 1.5)),
    ][kind]()


FAMILIES = 17


def test_thresholds_stand_where_they_stand_in_python(page: Page) -> None:
    """Many small inputs, on both sides of each of them."""
    every = [family(at, kind) for kind in range(FAMILIES) for at in np.geomspace(0.3, 3, 40)]
    given = [
        {"shape": list(mu.shape), "mu": mu.flatten().tolist(), "logvar": logvar.flatten().tolist()}
        for mu, logvar in every
    ]
    found = page.evaluate(
        """given => given.map(one => it.machine.diagnose(
             {shape: one.shape, data: one.mu}, {shape: one.shape, data: one.logvar}, "logvar"))""",
        given,
    )
    seen = set()
    for (mu, logvar), mine in zip(every, found, strict=True):
        expected = diagnose(mu, logvar)
        the_same(mine, expected)
        seen |= {(f.code, f.sure) for f in expected.findings}
    # All that can be found in arrays without NaN, each of them somewhere.
    codes = set(re.findall(r'found\("(\w+)"', SCRIPT))
    assert {code for code, _ in seen} == codes - {"not_finite"}
