"""Score many synthetic images in shards: `many.py COUNT FOLDER` prints memory, files, processes."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch

from arlib.proposals import Grid
from arlib.scoring.distributed import score_in_shards
from arlib.scoring.jobs import named_job

ME = psutil.Process()
SHARD = 256
CALLS = []
SEEN = []  # (MiB, open files) once a shard


@dataclass(frozen=True)
class Watching:
    """Propose a grid, and note what this process holds."""

    max_regions: int = 2

    def __call__(self, image):
        CALLS.append(1)
        if len(CALLS) % SHARD == 0:
            SEEN.append((ME.memory_info().rss / 2**20, ME.num_fds()))
        return Grid(self.max_regions)(image)


if __name__ == "__main__":
    count, root = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    job = named_job(
        dataset="scenes-annotated",
        dataset_settings={"n": count},
        backbone="vgg_tiny",
        weights="random",
        workers=1,
    )
    job = replace(job, proposals=Watching())
    scores, _ = score_in_shards(lambda: job, root / "s.zarr", shard_size=SHARD, progress=False)
    tenth = SEEN[len(SEEN) // 10]
    result = {
        "images": int(scores.sizes["image"]),
        "MiB after a tenth": round(tenth[0]),
        "MiB at the end": round(SEEN[-1][0]),
        "open files": [tenth[1], SEEN[-1][1]],
        "processes": len(ME.children(recursive=True)),
        "files left": sorted(path.name for path in root.iterdir()),
    }
    print(json.dumps(result))
