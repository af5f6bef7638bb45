"""kill -9 at random moments: `kills.py COUNT SEED FOLDER` prints what was survived, as JSON.

Half of the runs write where nothing is, half replace other scores. After every kill the output is
absent or old, or new and complete; after the last, the rest of the run ends in the very bytes of a
run that nobody disturbed.
"""

import json
import random
import shutil
import sys
import time
from pathlib import Path

from trials import DONE, content, finish, kill_after, make_job, start

if __name__ == "__main__":
    count, seed, root = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    draw = random.Random(seed)
    job, other = make_job(root / "photos"), make_job(root / "others", seed=1)
    assert finish(start(other, root / "old.zarr")) == DONE
    began = time.perf_counter()
    assert finish(start(job, root / "complete.zarr")) == DONE
    lasts = time.perf_counter() - began
    complete, old = content(root / "complete.zarr"), content(root / "old.zarr")
    result = {"kills": 0, "ended before": 0, "resumed and complete": 0, "at": {}}
    replacing = False
    while result["kills"] < count:
        out = root / "out.zarr"
        if replacing:
            shutil.copytree(root / "old.zarr", out)
        done = False
        while not done and result["kills"] < count:
            status = kill_after(start(job, out, overwrite=replacing), draw.uniform(0, 1.1 * lasts))
            assert status in (DONE, -9), status
            result["kills" if status else "ended before"] += 1
            done = status == DONE
            current = content(out) if out.exists() else None
            assert current in ((complete, old) if replacing else (complete, None)), "half a store"
            partial = root / "out.zarr.partial"
            stage = "nothing yet"
            if partial.exists():
                stage = f"{len(list(partial.glob('parts/*')))} shards"
            elif current == complete:
                stage = "complete"
            result["at"][stage] = result["at"].get(stage, 0) + 1
        assert finish(start(job, out, overwrite=replacing)) == DONE
        assert content(out) == complete, "the resumed store differs"
        left = sorted(path.name for path in root.iterdir())
        assert left == ["complete.zarr", "old.zarr", "others", "out.zarr", "photos"], left
        result["resumed and complete"] += 1
        shutil.rmtree(out)
        replacing = not replacing
    print(json.dumps(result))
