"""What a worker does: a shard by its number, by a job that it makes once and holds."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arlib.engines import HopelessError
from arlib.jobs import Job
from arlib.shards import Part, score_shard

_HELD: dict[str, Job] = {}  # run -> its job, in this process


@dataclass(frozen=True)
class ShardWork:
    """Scores a shard by its number; small when pickled, since it holds no network.

    Attributes:
        make: makes the job, once in a process.
        run: a name for the run; the job is held under it.
        job_sha256: of the job of the process that hands out shards.
        size: images in a shard.
        folder: `OUT.partial`.
    """

    make: Callable[[], Job]
    run: str
    job_sha256: str
    size: int
    folder: Path

    def __call__(self, number: int) -> Part:
        """Score a shard, or find that it was.

        Raises:
            HopelessError: this process would make another job.
        """
        job = _HELD.get(self.run) or self.hold(self.make())
        return score_shard(job, self.size, number, self.folder / "parts", self.temporary)

    @property
    def temporary(self) -> Path:
        """Where shards of this run grow."""
        return self.folder / "temporary" / self.run

    def hold(self, job: Job) -> Job:
        """Keep the run's job in this process, in the place of an earlier run's.

        Raises:
            HopelessError: it is another job.
        """
        if job.sha256 != self.job_sha256:
            raise HopelessError(
                f"the worker on {socket.gethostname()} has other code, weights or settings than "
                "the process that hands out shards"
            )
        _HELD.clear()
        _HELD[self.run] = job
        return job
