"""The arithmetic of scaling, and the page whose numbers it makes."""

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from scaling import Rates, estimate, simulate, worker_rate

ROOT = Path(__file__).parents[2]
RATES = Rates(100, 10, 100, 5, 1000, 1e5, 3e3)


def test_the_page_holds_what_its_tool_makes():
    spec = importlib.util.spec_from_file_location("page", ROOT / "benchmarks" / "scaling_page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    facts = json.loads(page.FACTS.read_text())
    text = page.PAGE.read_text()
    assert page.replaced(text, page.block(facts)) == text, "run benchmarks/scaling_page.py"
    assert facts["command"] in text
    facts["rates"]["one core"]["network"] *= 2
    assert page.replaced(text, page.block(facts)) != text


def test_on_shared_cores_an_image_takes_the_sum_of_its_stages():
    assert worker_rate(RATES, 1, shared=True)["all"] == pytest.approx(1 / (0.01 + 0.1 + 0.01 + 0.2))


@pytest.mark.parametrize(
    ("network", "cores", "workers", "bandwidth", "bottleneck"),
    [
        (5, 4, 10, 1e12, "network"),
        (50, 4, 10, 1e12, "propose"),
        (50, 4, 10, 1e6, "reading"),
        (50, 4, 1000, 1e12, "store"),
    ],
)
def test_the_bottleneck_moves(network, cores, workers, bandwidth, bottleneck):
    rates = Rates(**{**vars(RATES), "network": network})
    assert estimate(rates, 1e6, workers, cores, bandwidth=bandwidth).bottleneck == bottleneck


def test_time_and_cost_by_hand():
    found = estimate(RATES, 3600, 2, 4, price=3.0, bandwidth=1e12)
    assert found.hours == pytest.approx((3600 / 10 + 3600 / 1000) / 3600)
    assert found.cost == pytest.approx(found.hours * 2 * 3)
    assert (found.bytes_read, found.bytes_written) == (3600 * 1e5, 3600 * 3e3)


@given(
    st.integers(1, 60), st.integers(1, 20), st.floats(1, 50), st.floats(0, 0.5), st.integers(0, 9)
)
def test_no_schedule_beats_its_bounds(shards, workers, seconds, failures, seed):
    found = simulate([seconds], shards, workers, failures=failures, seed=seed)
    least = max(seconds, shards * seconds / workers)
    assert found.seconds >= least * (1 - 1e-9)
    assert 0 < found.efficiency <= 1 + 1e-9
    if found.retries == 0:
        assert found.seconds == pytest.approx(-(-shards // workers) * seconds)


def test_faults_cost():
    plain = simulate([10.0], 1000, 100)
    assert plain.efficiency == 1
    assert simulate([10.0], 1000, 100, stragglers=0.1).seconds > plain.seconds
    dying = simulate([10.0], 1000, 100, failures=0.1)
    assert dying.retries > 50
    assert dying.seconds > plain.seconds
    assert simulate([10.0], 1000, 100, handout=1.0).seconds >= 1000
    assert simulate([10.0], 100, 100, start=30).seconds == 40


@pytest.mark.parametrize(("times", "workers", "failures"), [([], 1, 0), ([1], 0, 0), ([1], 1, 1)])
def test_what_cannot_be_is_refused(times, workers, failures):
    with pytest.raises(ValueError, match="no such run"):
        simulate(times, 1, workers, failures=failures)
