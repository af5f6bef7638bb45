"""Recompute Table 1 of the recorded runs from the paper alone: NumPy, and nothing of `arlib`.

    python benchmarks/recompute.py [RUN ...]

Reads the committed scores, one image at a time, and writes each row's accuracy, K, label counts and
exact p as they follow from Eq. 1, 2 and 3 and Algorithm 1 of Sun et al. (2016). It is slow, plain
and of its own: `tests/benchmarks/test_recompute.py` holds `arlib` against it.
"""

import sys
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import zarr

RESULTS = Path(__file__).parents[1] / "book" / "results"
ALPHA, BETA, KS = 1.0, 0.5, range(1, 21)
FULL = "VGGNet + ft"
CAM = f"{FULL} + CAM + lf"
THRESHOLDS = sorted((i / 100 for i in range(1, 100)), key=lambda t: abs(t - 0.5))


def read(run):
    """Read the scores and the measured rows of a folder of `book/results`."""
    group = zarr.open_group(run / "scores.zarr", mode="r")
    scores, measured = {name: array[:] for name, array in group.arrays()}, {}
    if (run / "baselines.zarr").exists():
        group = zarr.open_group(run / "baselines.zarr", mode="r")
        measured = dict(zip(map(str, group["method"][:]), group["probability"][:], strict=True))
    return scores, measured


def sentiment(s):
    """Eq. 1, with the natural logarithm, of each region: 0 log 0 is 0."""
    p = s.astype(float)
    return 1 + (p * np.log(np.where(p > 0, p, 1))).sum(-1)


def ranked(objectness, s):
    """Steps 4 to 8 of Algorithm 1: regions that exist, best first, by each score and by Eq. 2."""
    exist = np.flatnonzero(~np.isnan(objectness))
    obj = objectness[exist].astype(float)
    senti = sentiment(s[exist])
    scores = {"obj": obj, "senti": senti, "obj + senti": np.sqrt(obj**2 + ALPHA * senti**2)}
    return {name: exist[np.argsort(-score, kind="stable")] for name, score in scores.items()}


def fused(y_global, y_regions, k):
    """Eq. 3 of one image: the mean is over the regions that exist, of at most K."""
    y = y_global.astype(float)
    return y + BETA * y_regions[:k].astype(float).mean(0) if len(y_regions) else y


def mean_over_folds(measure, fold, *arrays):
    """Average what is measured in each fold."""
    parts = [[array[fold == one] for array in arrays] for one in np.unique(fold)]
    return sum(measure(*part) for part in parts) / len(parts)


def exact_accuracy(hit):
    """The share of hits as a fraction: rounding would part equal means, and choose another K."""
    return Fraction(int(hit.sum()), len(hit))


def recalls(hit, label):
    """The share of each emotion's images that is right."""
    return np.array([hit[label == emotion].mean() for emotion in (0, 1)])


def auc(positive, label):
    """Of all pairs of a positive (label 0) and a negative image, the share in the right order."""
    gap = positive[label == 0][:, None] - positive[label == 1]
    return (gap > 0).mean() + (gap == 0).mean() / 2


def chosen(right_of, fold):
    """Choose K for each fold by the mean accuracy over the other folds: fold -> index of K."""
    best = {}
    for one in np.unique(fold).tolist():
        others, right = fold != one, right_of(one)
        rates = [mean_over_folds(exact_accuracy, fold[others], hit[others]) for hit in right.T]
        best[one] = rates.index(max(rates))
    return best


def leaving_out(scores, one):
    """Give the probabilities of images and regions by heads that saw no label of a fold."""
    y, s = scores["global_probability"].copy(), scores["region_probability"].copy()
    if "left_out" in scores:  # the images of the other folds have inner heads
        place, others = scores["left_out"].tolist().index(one), scores["fold"] != one
        y[others] = scores["inner_global_probability"][others, place]
        s[others] = scores["inner_region_probability"][others, place]
    return y, s


def fused_for_ks(y, s, objectness):
    """Eq. 3 of every image, with its best regions by Eq. 2, for every K: (image, k, emotion)."""
    rows = []
    for y_global, y_regions, obj in zip(y, s, objectness, strict=True):
        best = y_regions[ranked(obj, y_regions)["obj + senti"]]
        rows.append([fused(y_global, best, k) for k in KS])
    return np.array(rows)


def exact_p(corrected, degraded):
    """McNemar's exact two-sided p: each image that only one predicts right is a coin toss."""
    n, fewer = corrected + degraded, min(corrected, degraded)
    return min(1.0, 2 * sum(comb(n, i) for i in range(fewer + 1)) / 2**n)


def could_change(y):
    """Count the labels that Eq. 3 can change, with regions all certain of one emotion."""
    certain = [(y + BETA * emotion).argmax(-1) for emotion in np.eye(2)]
    return int((certain != y.argmax(-1)).any(0).sum())


def row(response, before, label, fold):
    """Measure one row, and its changes against the full image alone."""
    response = response.astype(float)
    after, first = response.argmax(-1), before.argmax(-1)
    corrected = int(((after != first) & (after == label)).sum())
    degraded = int(((after != first) & (first == label)).sum())
    return {
        "accuracy": float(mean_over_folds(exact_accuracy, fold, after == label)),
        "balanced_accuracy": float(mean_over_folds(recalls, fold, after == label, label).mean()),
        "auc": float(mean_over_folds(auc, fold, response[:, 0] / response.sum(-1), label)),
        "majority": float(
            mean_over_folds(exact_accuracy, fold, label == np.bincount(label).argmax())
        ),
        "one_label": len(set(after.tolist())) == 1,
        "changed": int((after != first).sum()),
        "corrected": corrected,
        "degraded": degraded,
        "p": exact_p(corrected, degraded),
    }


def recompute(run):
    """Recompute the rows of one run: name -> its numbers, and those of K = 8."""
    scores, measured = read(run)
    label, fold, y = scores["label"].astype(int), scores["fold"], scores["global_probability"]
    maps = measured.pop(CAM, None)
    rows = {name: row(p, y, label, fold) for name, p in {**measured, FULL: y}.items()}
    could = {"could": could_change(y.astype(float))}
    if maps is not None:  # the mean over the regions of each image's map, which Eq. 3 adds
        with_maps = np.array([fused(*each, 1) for each in zip(y, maps[:, None], strict=True)])
        rows[CAM] = row(with_maps, y, label, fold) | could

    # every image's fused responses: with the best region by each rule, and by Eq. 2 for every K
    objectness, first = scores["objectness"], {}
    for obj, s, y_global in zip(objectness, scores["region_probability"], y, strict=True):
        for rule, best in ranked(obj, s).items():
            first.setdefault(rule, []).append(fused(y_global, s[best], 1))
    for rule, response in first.items():
        name = f"{FULL} + {rule} + lf (K = 1)"
        rows[name] = row(np.array(response), y, label, fold) | could
    fusion = fused_for_ks(y, scores["region_probability"], objectness)
    rows["K = 8"] = row(fusion[:, KS.index(8)], y, label, fold) | could

    # K chosen for each fold on the others, beside the one that the tested images would have picked
    right = fusion.argmax(-1) == label[:, None]

    def right_by_k(one):
        if "left_out" not in scores:
            return right
        return fused_for_ks(*leaving_out(scores, one), objectness).argmax(-1) == label[:, None]

    best = chosen(right_by_k, fold)
    own = fusion[np.arange(len(label)), [best[one] for one in fold.tolist()]]
    rates = [mean_over_folds(exact_accuracy, fold, hit) for hit in right.T]
    picked = {
        "k": [KS[index] for index in best.values()],
        "picked_k": [k for k, rate in zip(KS, rates, strict=True) if rate == max(rates)],
        "picked": float(max(rates)),
    }
    rows[f"{FULL} + obj + senti + lf (K)"] = row(own, y, label, fold) | could | picked

    # the full image alone, its threshold chosen likewise: what is above it is positive
    def positive_of(y):
        return y[:, :1].astype(float) >= np.array(THRESHOLDS)

    def right_by_threshold(one):
        return positive_of(leaving_out(scores, one)[0]) == (label == 0)[:, None]

    positive, best = positive_of(y), chosen(right_by_threshold, fold)
    said = positive[np.arange(len(label)), [best[one] for one in fold.tolist()]]
    rows[f"{FULL}, threshold chosen"] = row(np.stack([said, ~said], -1), y, label, fold) | {
        "threshold": [THRESHOLDS[index] for index in best.values()]
    }
    return rows


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(p.parent for p in RESULTS.glob("*/run.json"))):
        print(path.name)
        for name, numbers in recompute(path).items():
            short = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in numbers.items()}
            print(f"  {name:40}", *(f"{key} {value} " for key, value in short.items()))
