"""What several chapters measure: each against NumPy, SciPy or numbers written down."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from vaelib import empty_and_missed, nearest, principal_components, theory
from vaelib.lab import Experiment, Run, count_active, count_used, gather


def test_projection_agrees_with_the_singular_value_decomposition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(theory, "ROWS", 7)
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 2, 3), dtype=np.uint8)
    points = images.reshape(30, 6) / 255
    left, lengths, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    coordinates = principal_components(images).project(images, 4)
    assert coordinates.dtype == torch.float64
    assert coordinates.abs().numpy() == pytest.approx(np.abs(left * lengths)[:, :4], abs=1e-12)


def test_the_nearest_code_is_the_one_a_search_tree_finds() -> None:
    points, codes = torch.randn(2, 1200, 3, generator=torch.Generator().manual_seed(0)).double()
    distance, index = nearest(points, codes[:700])
    expected, where = cKDTree(codes[:700]).query(points)
    assert distance.numpy() == pytest.approx(expected, abs=1e-6)
    assert index.tolist() == where.tolist()


def test_empty_and_missed_are_counted_beyond_the_distance_of_test_codes() -> None:
    codes = torch.arange(4.0)[:, None]
    test_codes = codes + 0.25
    # The last draw is far from every code; the last two test codes are far from every draw.
    draws = torch.tensor([[0.1], [0.9], [1.2], [1.1], [50.0]])
    assert empty_and_missed(draws, codes, test_codes) == pytest.approx((0.2, 0.5))


def test_one_distribution_leaves_a_hundredth_empty_and_a_hundredth_missed() -> None:
    points = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
    shares = empty_and_missed(points[:4000], points[4000:8000], points[8000:])
    assert all(0.004 < share < 0.02 for share in shares)


def run(var_mu: list[float], gain: list[float]) -> Run:
    measurements = {"var_mu": torch.tensor(var_mu), "gain": torch.tensor(gain)}
    measurements |= {"mean_sigma2": torch.ones(3), "kl": torch.ones(3)}
    return Run(Experiment(latent=3), {}, measurements, {})


def test_runs_are_counted_one_by_one() -> None:
    runs = [run([0.005, 0.015, 0.9], [0.4, 1.5, 30.0]), run([0.0, 0.0, 0.5], [0.0, 0.6, 2.0])]
    assert gather(runs, "gain").tolist() == [
        pytest.approx([0.4, 1.5, 30]),
        pytest.approx([0, 0.6, 2]),
    ]
    assert gather(iter(runs), "gain").dtype == torch.float64
    assert count_active(runs).tolist() == [2, 1]
    assert count_active(runs, 0.02).tolist() == [1, 1]
    assert count_used(runs).tolist() == [2, 1]
    assert count_used(iter(runs), 0.5).tolist() == [2, 2]


def test_an_experiment_with_seeds_differs_in_nothing_else() -> None:
    expected = [Experiment(beta=2, seed=3), Experiment(beta=2, seed=5)]
    assert Experiment(beta=2).with_seeds((3, 5)) == expected
