"""The walk over one image's regions, against scoring every region exactly."""

import numpy as np
import pytest

from arlib.method import top_regions
from arlib.scoring.choice import Choice
from arlib.scoring.walk import Tolerance, Walk

N = 60
CHOICES = [
    Choice(k=8),
    Choice(k=1, alpha=0.2),
    Choice(k=3, form="linear", alpha=0.7),
    Choice(k=5, rank_by="objectness"),
    Choice(k=2, rank_by="sentiment"),
    Choice(k=N + 5),
]


def picture(seed, emotions=2, spread=2.0):
    """Objectness with ties and the exact probabilities of N regions."""
    rng = np.random.default_rng(seed)
    objectness = -np.sort(-np.round(rng.uniform(0, 1.5, N), 2)).astype(np.float32)
    return objectness, softmax(rng.normal(0, spread, (N, emotions)))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def disturbed(probability, error, seed):
    """The same, each log-probability off by at most `error`."""
    moves = np.random.default_rng(seed).uniform(-error, error, probability.shape)
    return softmax(np.log(np.maximum(probability, 1e-30)) + moves)


def play(walk, exact, fast=None, most=7):
    """Play the network to the end; how many rows were scored by each."""
    counts = {"exact": 0, "fast": 0}
    while (asked := walk.ask(most)) is not None:
        how, rows = asked
        assert 0 < len(rows) <= most
        counts[how] += len(rows)
        walk.tell(how, rows, (exact if how == "exact" else fast)[rows])
    return counts


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("seed", range(10))
def test_the_top_is_that_of_scoring_all(choice, seed):
    objectness, exact = picture(seed)
    walk = Walk(objectness, 2, choice)
    counts = play(walk, exact)
    best = top_regions(choice.value(objectness, exact), choice.k)
    found = top_regions(choice.value(objectness, walk.probability), choice.k)
    np.testing.assert_array_equal(found, best)
    assert counts == {"exact": walk.walked, "fast": 0}
    np.testing.assert_array_equal(walk.probability[: walk.walked], exact[: walk.walked])
    assert np.isnan(walk.probability[walk.walked :]).all()


def test_it_stops_early_where_it_can_and_not_before():
    objectness, exact = picture(0, spread=8.0)
    choice = Choice(k=4)
    walk = Walk(objectness, 2, choice)
    play(walk, exact, most=1)
    assert walk.walked < N // 2
    value = choice.value(objectness, exact)
    needed = next(n for n in range(N) if choice.settled(value[:n], objectness[n]))
    assert walk.walked == needed


def test_without_a_choice_every_row_is_scored_once():
    objectness, exact = picture(1)
    assert play(Walk(objectness, 2, None), exact) == {"exact": N, "fast": 0}
    fast = Walk(objectness, 2, None, fast=True)
    assert play(fast, exact, exact) == {"exact": 0, "fast": N}
    assert Walk(objectness[:0], 2, Choice()).ask(5) is None


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("error", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("emotions", [2, 3])
def test_a_fast_network_within_the_tolerance_gives_the_exact_top(choice, error, emotions):
    if emotions > 2:
        choice = Choice(k=choice.k, alpha=0.6, form="linear")
    for seed in range(10):
        objectness, exact = picture(seed, emotions)
        fast = disturbed(exact, error, seed)
        tolerance = Tolerance(0.2 + 1e-4)
        walk = Walk(objectness, emotions, choice, fast=True, tolerance=tolerance)
        counts = play(walk, exact, fast)
        best = top_regions(choice.value(objectness, exact), choice.k)
        found = top_regions(choice.value(objectness, walk.probability), choice.k)
        np.testing.assert_array_equal(found, best)
        chosen = best[best >= 0]
        assert walk.exact[chosen].all()
        np.testing.assert_array_equal(walk.probability[chosen], exact[chosen])
        assert counts["fast"] == walk.walked
        assert tolerance.broken == 0
        assert tolerance.largest <= error + 1e-3


def test_with_a_small_error_few_rows_are_scored_twice():
    objectness, exact = picture(3)
    walk = Walk(objectness, 2, Choice(k=8), fast=True, tolerance=Tolerance(0.01))
    counts = play(walk, exact, disturbed(exact, 0.01, 0))
    assert 8 <= counts["exact"] < 16


def test_a_broken_tolerance_is_raised_and_the_top_is_mended():
    """The first of the K shows that the bound was too small; then what it hid is found."""
    mended = 0
    for seed in range(30):
        objectness, exact = picture(seed)
        fast = disturbed(exact, 0.5, seed)
        choice, tolerance = Choice(k=8), Tolerance(1e-6)
        walk = Walk(objectness, 2, choice, fast=True, tolerance=tolerance)
        play(walk, exact, fast)
        assert tolerance.broken >= 1
        assert tolerance.value > tolerance.largest > 0.01
        best = top_regions(choice.value(objectness, exact), 8)
        naive = top_regions(choice.value(objectness, fast), 8)
        found = top_regions(choice.value(objectness, walk.probability), 8)
        np.testing.assert_array_equal(found, best)
        mended += not np.array_equal(naive, best)
    assert mended > 10


def test_the_tolerance_is_for_all_images():
    tolerance = Tolerance(0.1)
    tolerance.observe(np.float32([[0.5, 0.5]]), np.float32([[0.5, 0.5]]))
    assert (tolerance.value, tolerance.broken) == (0.1, 0)
    tolerance.observe(softmax(np.array([[0.6, 0.0]])), np.float32([[0.5, 0.5]]))
    assert tolerance.largest == pytest.approx(0.3, abs=1e-6)
    assert tolerance.value == pytest.approx(0.6, abs=1e-6)
    assert tolerance.broken == 1
    tolerance.observe(np.empty((0, 2), np.float32), np.empty((0, 2), np.float32))
