"""Score many drawn images in shards: `many.py COUNT FOLDER` prints memory, files, processes."""

import json
import sys
from functools import partial
from pathlib import Path

import psutil
import torch

from arlib.scoring import distributed as sharded, named_job

if __name__ == "__main__":
    count, root = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    me = psutil.Process()
    seen = []  # (MiB, open files) after each shard
    honest = sharded.in_this_process

    def watched(*arguments):
        for outcome in honest(*arguments):
            seen.append((me.memory_info().rss / 2**20, me.num_fds()))
            yield outcome

    sharded.in_this_process = watched
    make = partial(
        named_job,
        dataset="scenes-annotated",
        dataset_settings={"n": count},
        backbone="vgg_tiny",
        weights="random",
        proposals="grid",
        max_regions=2,
        workers=1,
    )
    scores, _ = sharded.score_in_shards(make, root / "s.zarr", shard_size=256, progress=False)
    tenth = seen[len(seen) // 10]
    found = {
        "images": int(scores.sizes["image"]),
        "MiB after a tenth": round(tenth[0]),
        "MiB at the end": round(seen[-1][0]),
        "open files": [tenth[1], seen[-1][1]],
        "processes": len(me.children(recursive=True)),
        "files left": sorted(path.name for path in root.iterdir()),
    }
    print(json.dumps(found))
