"""Replay the scores that the authors published in 2018 by both rules: what they change and share.

ARLIB_DATA=... python tools/replay_2018.py            print
ARLIB_DATA=... python tools/replay_2018.py --record   also write book/results/replay_2018.json
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import xarray as xr

from arlib.evaluation import can_change, overlap
from arlib.method import K, affective_regions, predict_labels, respond_2018

RECORD = Path(__file__).parents[1] / "book" / "results" / "replay_2018.json"


def main() -> None:
    """Count, print and, if asked, record."""
    data = os.environ.get("ARLIB_DATA")
    path = Path(data or "", "fi_authors_scores.npz")
    if not data or not path.is_file():
        sys.exit(f"{path.name} is not under ARLIB_DATA: the authors' 2018 release holds the scores")
    found = replay(load(path))
    print(json.dumps(found, indent=1))
    if "--record" in sys.argv:
        RECORD.write_text(json.dumps(found, indent=1) + "\n")


def load(path: Path) -> xr.Dataset:
    """Read the published arrays as scores; theirs are negative, positive."""
    arrays = np.load(path)
    return xr.Dataset(
        {
            "objectness": (("image", "region"), arrays["objectness"]),
            "box": (("image", "region", "corner"), arrays["box"]),
            "region_probability": (
                ("image", "region", "emotion"),
                arrays["region_probability"][..., ::-1],
            ),
            "global_probability": (("image", "emotion"), arrays["global_probability"][..., ::-1]),
        },
        coords={"emotion": ["positive", "negative"]},
    )


def replay(scores: xr.Dataset) -> dict[str, object]:
    """Compare the rules on one set of scores, at the K of 2018."""
    whole = scores.global_probability.values
    alone = whole.argmax(-1)
    paper = predict_labels(scores, K).label.values
    later = respond_2018(scores)
    plain = respond_2018(scores, minmax=False)
    ours = affective_regions(scores, K).region.values
    by_objectness = affective_regions(scores, K, rank_by="objectness").region.values
    by_sentiment = affective_regions(scores, K, rank_by="sentiment").region.values
    return {
        "command": "python tools/replay_2018.py --record",
        "images": int(alone.size),
        "regions an image": int(scores.sizes["region"]),
        "K": K,
        "labels that Eq. 3 can change, beta = 0.5": int(can_change(whole, 0.5).sum()),
        "labels that the rule of 2018 can change": int(can_change(whole, 0.3, "convex").sum()),
        "labels that Eq. 1 to 3 change": int((paper != alone).sum()),
        "labels that the rule of 2018 changes": int((later.label.values != alone).sum()),
        "labels on which the two rules differ": int((paper != later.label.values).sum()),
        "top-K overlap, Eq. 2 and the rule of 2018": overlap(ours, later.region.values),
        "top-K overlap, Eq. 2 and the rule of 2018 without min-max": overlap(
            ours, plain.region.values
        ),
        "top-K overlap, Eq. 2 and objectness alone": overlap(ours, by_objectness),
        "top-K overlap, Eq. 2 and sentiment alone": overlap(ours, by_sentiment),
        "top-K overlap of two random choices": K / scores.sizes["region"],
        "first region the same, Eq. 2 and the rule of 2018": float(
            (ours[:, 0] == later.region.values[:, 0]).mean()
        ),
    }


if __name__ == "__main__":
    main()
