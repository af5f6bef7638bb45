"""Replay the scores that the authors published in 2018 by both rules; count what they change.

ARLIB_DATA=... python tools/replay_2018.py            print
ARLIB_DATA=... python tools/replay_2018.py --record   also write book/results/replay_2018.json
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from arlib.evaluation import can_change
from arlib.method import RULE_2018, affective_regions, predict_labels

RECORD = Path(__file__).parents[1] / "book" / "results" / "replay_2018.json"


def main(arguments: Sequence[str], record: Path = RECORD) -> None:
    """Count, print and, if asked, record."""
    data = os.environ.get("ARLIB_DATA")
    path = Path(data or "", "fi_authors_scores.npz")
    if not data or not path.is_file():
        sys.exit(f"{path.name} is not under ARLIB_DATA: the authors' 2018 release holds the scores")
    text = json.dumps(replay(load(path)), indent=1)
    print(text)
    if "--record" in arguments:
        record.write_text(text + "\n")


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


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the mean share of an image's K regions that two rules both select."""
    both = (one[:, :, None] == other[:, None, :]).any(2)
    return float(both.mean(axis=1).mean())


def replay(scores: xr.Dataset) -> dict[str, object]:
    """Compare the rules on one set of scores, at the K of 2018."""
    k = RULE_2018["k"]
    global_ = scores.global_probability.values
    before = global_.argmax(-1)
    paper = predict_labels(scores, k).label.values
    later = predict_labels(scores, **RULE_2018).label.values

    # which regions each rule selects
    ours = affective_regions(scores, k).region.values
    rule = {name: RULE_2018[name] for name in ("k", "alpha", "form", "normalize")}
    theirs = affective_regions(scores, **rule).region.values
    plain = affective_regions(scores, **{**rule, "normalize": "none"}).region.values
    by_objectness = affective_regions(scores, k, rank_by="objectness").region.values
    by_sentiment = affective_regions(scores, k, rank_by="sentiment").region.values
    return {
        "command": "python tools/replay_2018.py --record",
        "images": int(before.size),
        "regions an image": int(scores.sizes["region"]),
        "K": k,
        "labels that Eq. 3 can change, beta = 0.5": int(can_change(global_, 0.5).sum()),
        "labels that the rule of 2018 can change": int(can_change(global_, 0.3, "convex").sum()),
        "labels that Eq. 1 to 3 change": int((paper != before).sum()),
        "labels that the rule of 2018 changes": int((later != before).sum()),
        "labels on which the two rules differ": int((paper != later).sum()),
        "top-K overlap, Eq. 2 and the rule of 2018": overlap(ours, theirs),
        "top-K overlap, Eq. 2 and the rule of 2018 without min-max": overlap(ours, plain),
        "top-K overlap, Eq. 2 and objectness alone": overlap(ours, by_objectness),
        "top-K overlap, Eq. 2 and sentiment alone": overlap(ours, by_sentiment),
        "top-K overlap of two random choices": k / scores.sizes["region"],
        "first region the same, Eq. 2 and the rule of 2018": float(
            (ours[:, 0] == theirs[:, 0]).mean()
        ),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
