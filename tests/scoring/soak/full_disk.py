"""A disk that fills up at every kind of write: `full_disk.py TRIES FOLDER` prints JSON.

FOLDER becomes a small tmpfs, so this needs root. The run has a little more room in each try; where
the disk is full it ends with an error, what it was to replace is untouched, and with room it goes
on to the very bytes of a run that always had room.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from trials import DONE, FAILED, content, finish, make_job, start


def resize(disk: Path, kib: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kib}k", str(disk)], check=True)


def used(disk: Path) -> int:
    usage = shutil.disk_usage(disk)
    return usage.used // 1024


if __name__ == "__main__":
    tries, disk = int(sys.argv[1]), Path(sys.argv[2])
    root = disk.with_name(f"{disk.name}-room")
    job, other = make_job(root / "photos"), make_job(root / "others", seed=1)
    for each, name in ((job, "complete.zarr"), (other, "old.zarr")):
        assert finish(start(each, root / name)) == DONE
    complete, old = content(root / "complete.zarr"), content(root / "old.zarr")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True)
    result = {"full": 0, "had room": 0, "at": {}}
    try:
        out = disk / "out.zarr"
        most = (
            4 * sum(-(-len(data) // 4096) for data in complete.values()) * 5
        )  # KiB: shards, and all of them
        for number in range(tries):
            shutil.copytree(root / "old.zarr", out)
            resize(disk, used(disk) + 4 + most * number // tries)
            status = finish(start(job, out, overwrite=True))
            assert status in (DONE, FAILED), status
            if status == FAILED:
                assert content(out) == old, "the good store was touched"
                parts = len(list(disk.glob("out.zarr.partial/parts/*/part.json")))
                result["at"][f"{parts} shards"] = result["at"].get(f"{parts} shards", 0) + 1
                resize(disk, 65536)
                assert finish(start(job, out, overwrite=True)) == DONE
            result["full" if status else "had room"] += 1
            assert content(out) == complete, "the resumed store differs"
            left = sorted(path.name for path in disk.iterdir())
            assert left == ["out.zarr"], left
            resize(disk, 65536)
            shutil.rmtree(out)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    print(json.dumps(result))
