"""Measure how often the intervals hold, and write the table of book/guide/intervals.md.

    python benchmarks/bench_coverage.py            # few samples, printed
    python benchmarks/bench_coverage.py --record   # also results/coverage.json and the page

Images are drawn from known distributions, so that the true value is known: a share of them is
positive, and the logits of two classifiers are normal, of a mean that gives the AUC, and shifted so
that as many are predicted positive as given. The two differ by noise alone: their true difference
is 0. An interval is counted where it holds the true value, of `arlib.evaluation` and, of the same
samples, of the percentile bootstrap within folds.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from scipy import optimize, special

from arlib.evaluation import compare, evaluate

ROOT = Path(__file__).parents[1]
FACTS = ROOT / "benchmarks" / "results" / "coverage.json"
PAGE = ROOT / "book" / "guide" / "intervals.md"
BEGIN, END = "<!-- begin: benchmarks/bench_coverage.py -->\n", "<!-- end -->\n"
FOLDS, RESAMPLES = 5, 500

CASES = (  # images, positive, AUC, predicted positive, share of the logits' variance that is noise
    (603, 0.78, 0.68, 0.98, 0.02),
    (603, 0.78, 0.68, 0.90, 0.10),
    (637, 0.65, 0.88, 0.70, 0.10),
    (100, 0.78, 0.68, 0.90, 0.10),
    (40, 0.78, 0.68, 0.95, 0.10),
    (40, 0.50, 0.95, 0.50, 0.10),
)


def draw(case, rng):
    """Labels, folds, the probabilities of two classifiers, and the true metrics of either."""
    n, prior, area, predicted, noise = case
    shift = np.sqrt(2) * special.ndtri(area)

    def shares(cut):
        return special.ndtr(shift - cut), special.ndtr(-cut)  # predicted positive, of each side

    cut = optimize.brentq(lambda c: np.dot(shares(c), (prior, 1 - prior)) - predicted, -12, 12)
    labels = (rng.random(n) >= prior).astype(int)
    common, *own = rng.normal(size=(3, n))
    first = [
        special.expit(
            np.sqrt(1 - noise) * common + np.sqrt(noise) * each + shift * (labels == 0) - cut
        )
        for each in own
    ]
    right = shares(cut)[0], 1 - shares(cut)[1]
    truth = np.dot(right, (prior, 1 - prior)), np.mean(right), area
    return labels, np.arange(n) % FOLDS, [np.stack([p, 1 - p], -1) for p in first], truth


def bootstrap(labels, folds, probabilities, rng):
    """Each classifier's metrics of resamples within folds: (classifier, metric, resample)."""
    draws = np.full((len(probabilities), 3, FOLDS, RESAMPLES), np.nan)
    for fold in range(FOLDS):
        own = np.flatnonzero(folds == fold)
        n = own.size
        drawn = rng.integers(n, size=(RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
        weight = np.bincount(drawn.ravel(), minlength=n * RESAMPLES).reshape(RESAMPLES, n)
        positive = labels[own] == 0
        size = weight[:, positive].sum(1), weight[:, ~positive].sum(1)
        for number, probability in enumerate(probabilities):
            share = probability[own, 0]
            hit = (share >= 0.5) == positive
            recall = [
                weight[:, side] @ hit[side] / m
                for side, m in zip((positive, ~positive), size, strict=True)
            ]
            won = share[positive][:, None] > share[~positive]
            pairs = np.einsum(
                "bp,pq,bq->b", weight[:, positive], won, weight[:, ~positive], optimize=True
            )
            draws[number, :, fold] = (
                weight @ hit / n,
                np.mean(recall, axis=0),
                pairs / np.prod(size, axis=0),
            )
    return np.nanmean(draws, axis=2)


def cover(case, samples, seed=0):
    """Count, of one row and of a difference, by metric, how often each interval holds.

    Returns the shares of samples whose own interval holds, of those that have one; that have one;
    whose bootstrap interval holds; and whose p is below 0.05, of accuracy and AUC.
    """
    rng = np.random.default_rng(seed)
    held, given, resampled, rejected = (np.zeros(shape) for shape in ((2, 3), (2, 3), (2, 3), 2))
    for _ in range(samples):
        labels, folds, both, truth = draw(case, rng)
        tables = evaluate(both[0], labels, folds=folds), compare(*both, labels, folds=folds)
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore")  # folds and resamples that lack an emotion
            metrics = bootstrap(labels, folds, both, rng)
        draws = metrics[0], metrics[1] - metrics[0]
        for i, true in enumerate((np.array(truth), np.zeros(3))):
            low, high = tables[i][["low", "high"]].to_numpy().T
            given[i] += ~np.isnan(low)
            held[i] += (low <= true) & (true <= high)
            low, high = np.nanquantile(draws[i], (0.025, 0.975), axis=1)
            resampled[i] += (low <= true) & (true <= high)
        rejected += (tables[1].p[["accuracy", "auc"]] < 0.05).to_numpy()
    shares = {"held": held / np.maximum(given, 1), "given": given / samples}
    shares |= {"bootstrap": resampled / samples, "rejected": rejected / samples}
    return {"case": case} | {name: values.round(4).tolist() for name, values in shares.items()}


def block(facts):
    """Make the page's table."""
    error = 100 * np.sqrt(0.95 * 0.05 / facts["samples"])
    lines = [
        f"Shares of {facts['samples']:,} samples in %, of which the standard error is "
        f"{error:.1f} points (`{facts['command']}`). In brackets the share of samples that have an "
        "interval at all, where it is not all of them:",
        "",
        "| images | positive | AUC | predicted positive | interval of | accuracy "
        "| balanced accuracy | AUC | bootstrap: accuracy | bootstrap: balanced accuracy "
        "| bootstrap: AUC | p < 0.05, McNemar | DeLong |",
        "|" + "---|" * 13,
    ]
    for row in facts["rows"]:
        n, prior, area, predicted, _ = row["case"]
        head = f"| {n} | {prior:.0%} | {area:.2f} | {predicted:.0%} |"
        for i, what in enumerate(("one row", "a difference")):
            cells = [
                f"{100 * held:.1f}" + (f" ({100 * given:.0f})" if given < 0.995 else "")
                for held, given in zip(row["held"][i], row["given"][i], strict=True)
            ]
            cells += [f"{100 * share:.1f}" for share in row["bootstrap"][i]]
            cells += [f"{100 * share:.1f}" for share in row["rejected"]] if i else ["", ""]
            lines.append(f"{head} {what} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def replaced(text, table):
    """The page with its table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{END}{after}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    record = parser.parse_args().record
    samples = 2000 if record else 100
    facts = {
        "command": "python benchmarks/bench_coverage.py --record",
        "samples": samples,
        "resamples": RESAMPLES,
        "rows": [cover(case, samples) for case in CASES],
    }
    print(block(facts))
    if record:
        FACTS.write_text(json.dumps(facts, indent=1) + "\n")
        PAGE.write_text(replaced(PAGE.read_text(), block(facts)))


if __name__ == "__main__":
    main()
