"""Estimate time and cost of scoring on many machines, from measured rates and shard times.

Pure arithmetic: what was measured is in `benchmarks/results/scaling.json`.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rates:
    """What one worker gets done, in images a second, stage by stage.

    Attributes:
        decode: file to pixels, a core.
        propose: pixels to boxes, a core.
        crop: boxes to network input, a core.
        network: network input to probabilities, one device.
        store: rows into the store, by the one process that assembles it.
        bytes_read: of an image's file.
        bytes_written: of an image's scores.
    """

    decode: float
    propose: float
    crop: float
    network: float
    store: float
    bytes_read: float
    bytes_written: float


def worker_rate(rates: Rates, cores: int, *, shared: bool = False) -> dict[str, float]:
    """Compute how many images a second each stage of one worker passes on.

    Args:
        rates: of one core, and of the network's device.
        cores: that decode, propose and crop.
        shared: the network runs on those cores too, instead of on a device of its own.

    Returns:
        stage -> images a second, with "all", the worker's own rate.

    Example:
        >>> rates = Rates(100, 10, 100, 5, 1000, 1e5, 3e3)
        >>> {name: round(rate, 2) for name, rate in worker_rate(rates, 4).items()}
        {'decode': 400, 'propose': 40, 'crop': 400, 'network': 5, 'all': 5}
        >>> round(worker_rate(rates, 4, shared=True)["all"], 2)
        12.5
    """
    stages = {
        "decode": rates.decode * cores,
        "propose": rates.propose * cores,
        "crop": rates.crop * cores,
    }
    if shared:
        stages["network"] = rates.network * cores
        return {**stages, "all": 1 / sum(1 / rate for rate in stages.values())}
    before = 1 / sum(1 / rate for rate in stages.values())
    return {**stages, "network": rates.network, "all": min(before, rates.network)}


@dataclass(frozen=True)
class Estimate:
    """What scoring so many images takes.

    Attributes:
        hours: from start to end.
        bottleneck: the stage that sets it.
        cost: in the unit of a machine's price.
        bytes_read: from where the images are.
        bytes_written: to the store.
    """

    hours: float
    bottleneck: str
    cost: float
    bytes_read: float
    bytes_written: float


def estimate(
    rates: Rates,
    images: float,
    workers: int,
    cores: int,
    *,
    shared: bool = False,
    price: float = 0.0,
    bandwidth: float = 1e9,
) -> Estimate:
    """Estimate time, cost and bottleneck of a run whose shards keep all workers busy.

    Args:
        rates: of one worker.
        images: how many.
        workers: how many.
        cores: of each.
        shared: as of `worker_rate`.
        price: of a worker an hour.
        bandwidth: bytes a second that the storage of the images gives to all workers together.

    Example:
        >>> rates = Rates(100, 10, 100, 5, 1000, 1e5, 3e3)
        >>> result = estimate(rates, 3.6e6, 10, 4, price=2.0)
        >>> round(result.hours, 1), result.bottleneck, round(result.cost)
        (21.0, 'network', 420)
    """
    stages = worker_rate(rates, cores, shared=shared)
    on_cores = {name: stages[name] for name in ("decode", "propose", "crop")}
    if shared:
        on_cores["network"] = stages["network"]
    slowest = min(on_cores, key=lambda name: on_cores[name])
    together = {slowest: 1 / sum(1 / rate for rate in on_cores.values())}
    if not shared:
        together["network"] = stages["network"]
    passed = {name: rate * workers for name, rate in together.items()}
    passed["reading"] = bandwidth / rates.bytes_read
    scoring = min(passed.values())
    seconds = {name: images / rate for name, rate in passed.items()}
    seconds["store"] = images / rates.store
    total = images / scoring + seconds["store"]  # shards are assembled when all are there
    hours = total / 3600
    return Estimate(
        hours,
        max(seconds, key=lambda name: seconds[name]),
        hours * workers * price,
        images * rates.bytes_read,
        images * rates.bytes_written,
    )


@dataclass(frozen=True)
class Schedule:
    """How a simulated run went.

    Attributes:
        seconds: until the last shard was there.
        efficiency: useful work of all workers, as a share of workers x seconds.
        retries: shards that were begun again since their worker died.
    """

    seconds: float
    efficiency: float
    retries: int


def simulate(
    shard_seconds: Sequence[float],
    shards: int,
    workers: int,
    *,
    stragglers: float = 0.0,
    slowdown: float = 3.0,
    failures: float = 0.0,
    start: float = 0.0,
    handout: float = 0.0,
    seed: int = 0,
) -> Schedule:
    """Simulate the scheduler: a free worker takes the next shard; a dead one's shard goes back.

    Args:
        shard_seconds: recorded times of shards; each shard's is sampled from them.
        shards: how many.
        workers: how many.
        stragglers: share of workers that are slow.
        slowdown: how much slower those are.
        failures: chance that a worker dies in a shard, at a random moment of it; it then starts
            anew.
        start: seconds until a worker has its network.
        handout: seconds that the one scheduler takes for each shard.
        seed: of all random numbers.

    Raises:
        ValueError: no recorded time, no worker, or a chance that is none.

    Example:
        >>> simulate([10.0], 8, 4)
        Schedule(seconds=20.0, efficiency=1.0, retries=0)
        >>> simulate([10.0], 9, 4).efficiency
        0.75
    """
    if not shard_seconds or workers < 1 or not 0 <= failures < 1:
        raise ValueError(f"no such run: {len(shard_seconds)} times, {workers} workers, {failures}")
    rng = np.random.default_rng(seed)
    slow = np.where(rng.random(workers) < stragglers, slowdown, 1.0)
    times = rng.choice(np.asarray(shard_seconds, float), shards)
    free = [(start, worker) for worker in range(workers)]
    heapq.heapify(free)
    todo, retries, last, served = list(times[::-1]), 0, 0.0, 0.0
    while todo:
        at, worker = heapq.heappop(free)
        served = max(at, served) + handout
        takes = todo.pop()
        if rng.random() < failures:
            retries += 1
            todo.insert(0, takes)
            died = served + rng.random() * takes * slow[worker]
            heapq.heappush(free, (died + start, worker))
            continue
        done = served + takes * slow[worker]
        last = max(last, done)
        heapq.heappush(free, (done, worker))
    useful = float(times.sum() / (workers * last)) if last else 1.0
    return Schedule(float(last), useful, retries)


def report(facts: Mapping[str, Mapping[str, float]]) -> dict[str, Rates]:
    """Read machines' rates from what was measured: name -> `Rates`.

    Raises:
        TypeError: a rate is missing, or unknown.
    """
    return {name: Rates(**measured) for name, measured in facts.items()}
