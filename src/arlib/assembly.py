"""Finished shards -> one store of scores, whose bytes do not tell how they were cut."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from arlib.jobs import Job
from arlib.replacing import flush_folder
from arlib.scores import CHUNK, ScoresWriter
from arlib.shards import Part


def assemble(parts: Sequence[Part], job: Job, out: Path) -> None:
    """Write all shards as one store, in whole chunks, holding a shard and a chunk in memory.

    Unreadable images are left out, so that shards and chunks do not fall together: the rows are
    packed anew. That is copying, a small part of what scoring them took.

    Args:
        parts: every shard, in order.
        job: what they are of.
        out: the store, which is on the disk, for good, when this returns.

    Raises:
        ShardError: a shard is damaged.
        ScoresError: not one image could be read.
    """
    unreadable: dict[str, str] = {}
    images: list[str] = []
    effort: dict[str, Any] = {}
    held: xr.Dataset | None = None
    with ScoresWriter(out) as writer:
        for part in parts:
            images += part.images
            unreadable |= part.unreadable
            scores = part.open()
            if scores is None:
                continue
            effort = _total(effort, scores.attrs.get("effort", {}))
            writer.attrs.update(scores.attrs)
            held = scores if held is None else xr.concat([held, scores], "image", join="exact")
            full = held.sizes["image"] // CHUNK * CHUNK
            for start in range(0, full, CHUNK):
                writer.append(held.isel(image=slice(start, start + CHUNK)))
            held = held.isel(image=slice(full, None))
        if held is not None and held.sizes["image"]:
            writer.append(held)
        writer.attrs.update(unreadable=unreadable, key=job.key(images))
        writer.attrs.update({"effort": effort} if effort else {})
    flush_folder(out)


def _total(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Counts add up; of bounds and errors, which are floats, the largest stays."""
    return {
        name: (
            max(one.get(name, 0.0), value) if isinstance(value, float) else one.get(name, 0) + value
        )
        for name, value in other.items()
    } or one
