"""The rows of Table 1: each a named method that predicts every image from what a run measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from arlib.evaluation.runs import Run
from arlib.evaluation.significance import best_option, fold_means, nested_choice
from arlib.evaluation.sweeps import predicted_labels
from arlib.method import predict_labels

KS = tuple(range(1, 21))
"""The K among which the last row of Table 1 chooses."""

REFERENCE = "VGGNet + ft"
"""The row that the others are tested against."""

CONTROL = f"{REFERENCE}, threshold chosen"
"""The control of every fused row: what the full image gains by another threshold alone."""

THRESHOLDS = tuple(sorted((i / 100 for i in range(1, 100)), key=lambda t: abs(t - 0.5)))
"""Those of the first emotion's probability among which that row chooses, the usual one first."""


PAPER, FURTHER, UNTESTED = "the paper's", "further", "not tested"
"""Families of rows, within which p is corrected; rows of the last are compared, but not tested."""


class Unavailable(ValueError):
    """A method that cannot predict these images, with the reason as text."""


class RowPrediction(NamedTuple):
    """What a method predicts of each image, (image, emotion), and how.

    `without` gives the same where no label of a fold is used; None where the run cannot.
    """

    response: np.ndarray
    note: str = ""
    picked: tuple[int, float] | None = None  # K picked on the tested images, and its accuracy
    without: Callable[[int], np.ndarray] | None = None


@dataclass(frozen=True)
class Method:
    """A row of Table 1.

    Attributes:
        name: As the paper has it.
        predict: Run -> its prediction; raises `Unavailable`.
        refers: How it is made, in a sentence.
        family: Of the rows among which p is corrected.
    """

    name: str
    predict: Callable[[Run], RowPrediction]
    refers: str
    family: str = PAPER


def methods(
    *, alpha: float = 1.0, beta: float = 0.5, base: float | str = "e", ks: Sequence[int] = KS
) -> list[Method]:
    """List the paper's ten rows of Table 1, in its order, DeepSentiBank, and a control.

    Args:
        alpha: Eq. 2's tradeoff.
        beta: Eq. 3's tradeoff.
        base: Eq. 1's logarithm.
        ks: The K among which the last row chooses; of a single one there is no choice.

    Returns:
        Methods with a ``name``, ``refers`` (how the row is made, in a sentence) and
        ``predict(run)``.

    Example:
        >>> [method.name for method in methods()][-2:]
        ['DeepSentiBank', 'VGGNet + ft, threshold chosen']
    """
    equations: dict[str, Any] = {"alpha": alpha, "beta": beta, "base": base}
    first, ft = {**equations, "k": 1}, REFERENCE
    return [
        _measured("SentiBank", "hand-made features, one linear SVM a noun pair, linear classifier"),
        _measured(
            "PCNN + CaffeNet",
            "an AlexNet in its place, fine-tuned, images of low confidence dropped, trained on",
        ),
        _measured("PCNN + VGGNet", "likewise, with the run's own network"),
        _measured("VGGNet", "features as they were before fine-tuning, linear classifier"),
        _fused(ft, "the full image alone", {**first, "beta": 0.0}),
        _fused(f"{ft} + obj + lf (K = 1)", "ranked by objectness", first, "objectness"),
        _fused(f"{ft} + senti + lf (K = 1)", "ranked by Eq. 1", first, "sentiment"),
        _fused(f"{ft} + obj + senti + lf (K = 1)", "ranked by Eq. 2", first),
        _measured(f"{ft} + obj + senti + ff (K = 1)", "features side by side, linear SVM (C = 1)"),
        Method(
            f"{ft} + obj + senti + lf (K)",
            lambda run: _nested(run, ks, equations),
            "K chosen for each fold on the other folds",
        ),
        _measured("DeepSentiBank", "fine-tuned on adjective-noun pairs, linear classifier"),
        Method(
            CONTROL,
            _at_threshold,
            "the full image, its threshold chosen on the other folds",
            UNTESTED,
        ),
    ]


def usable_shares(
    run: Run, predictions: Sequence[RowPrediction]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Scale responses to sum to 1, and leave labels only of images that all of them predict."""
    responses = [prediction.response for prediction in predictions]
    usable = np.all(np.isfinite(responses), axis=(0, -1))
    labels = np.where(usable & (run.folds >= 0), run.labels, -1)
    filled = (np.where(usable[:, None], response, 1) for response in responses)
    return [response / response.sum(-1, keepdims=True) for response in filled], labels


def _measured(name: str, refers: str) -> Method:
    """A row that was measured beside the scores."""

    def predict(run: Run) -> RowPrediction:
        if run.frozen and name == "VGGNet":  # which is what such a run's scores hold
            return RowPrediction(full_probability(run))
        return RowPrediction(measured_probability(run, name))

    return Method(name, predict, refers)


def full_probability(run: Run) -> np.ndarray:
    """Take the full images' probabilities, (image, emotion)."""
    return run.scores.global_probability.transpose("image", "emotion").values.astype(float)


def measured_probability(run: Run, name: str) -> np.ndarray:
    """Take what was measured beside the scores under a name, (image, emotion)."""
    baselines = run.baselines
    if baselines is None:
        raise Unavailable("not measured in this run: it holds scores alone")
    if name in baselines.attrs.get("missing", {}):
        raise Unavailable(baselines.attrs["missing"][name])
    names = baselines.method.values.tolist()
    if name not in names:
        raise Unavailable("not measured in this run")
    response = baselines.probability.isel(method=names.index(name))
    return response.transpose("image", "emotion").values.astype(float)


def _fused(name: str, refers: str, settings: Mapping[str, Any], rank_by: str = "both") -> Method:
    """A row that Algorithm 1 computes from the scores."""

    def predict(run: Run) -> RowPrediction:
        def without(fold: int) -> np.ndarray:
            return _algorithm_1(run.leaving_out(fold), rank_by, settings)

        response = _algorithm_1(run, rank_by, settings)
        return RowPrediction(response, without=without if run.nested else None)

    return Method(name, predict, refers)


def _algorithm_1(run: Run, rank_by: str, settings: Mapping[str, Any]) -> np.ndarray:
    prediction = predict_labels(run.scores, rank_by=rank_by, **settings)
    return prediction.probability.transpose("image", "emotion").values


def _nested(run: Run, ks: Sequence[int], equations: Mapping[str, Any]) -> RowPrediction:
    """Choose K for each fold on the other folds; beside it, K picked on the tested images."""
    if len(ks) == 1:
        return RowPrediction(_algorithm_1(run, "both", {**equations, "k": ks[0]}))

    def right_of(run: Run) -> np.ndarray:
        labels = predicted_labels(run.scores, ks, **equations).transpose("image", "k").values
        return labels == run.labels[:, None]

    right = right_of(run)
    k, note = _chosen(run, right, right_of, np.asarray(ks), "K")

    # predict the images of each K with it
    response = np.full((len(k), run.scores.sizes["emotion"]), np.nan)
    for value in np.unique(k).tolist():
        images = k == value
        part = run.select(images, run.name)
        response[images] = _algorithm_1(part, "both", {**equations, "k": value})

    # what choosing on the tested images would have given
    known = run.labels >= 0
    best = best_option(right[known], run.folds[known])
    rate, _, _ = fold_means(right[known, best], run.folds[known])

    def without(fold: int) -> np.ndarray:
        chosen = int(k[known & (run.folds == fold)][0])
        return _algorithm_1(run.leaving_out(fold), "both", {**equations, "k": chosen})

    picked = (ks[best], float(rate))
    return RowPrediction(response, note, picked, without if run.nested else None)


def _at_threshold(run: Run) -> RowPrediction:
    """Predict the first of two emotions from a threshold on, which is brought to 0.5."""
    if run.scores.sizes["emotion"] != 2:
        raise Unavailable("a threshold is of two emotions")
    thresholds = np.array(THRESHOLDS)

    def right_of(run: Run) -> np.ndarray:
        first = full_probability(run)[:, :1]
        odds = first * (1 - thresholds), (1 - first) * thresholds  # (image, threshold) each
        return (odds[0] < odds[1]) == run.labels[:, None]

    shares = full_probability(run)
    threshold, note = _chosen(run, right_of(run), right_of, thresholds, "threshold")
    response = np.stack([shares[:, 0] * (1 - threshold), (1 - shares[:, 0]) * threshold], axis=-1)
    return RowPrediction(response / response.sum(-1, keepdims=True), note)


def _chosen(
    run: Run,
    right: np.ndarray,
    right_of: Callable[[Run], np.ndarray],
    options: np.ndarray,
    name: str,
) -> tuple[np.ndarray, str]:
    """Choose the option (image,) by right (image, option) on other folds; and note which, and how.

    `right_of` gives what is right by inner heads, where the run has them.
    """
    known = run.labels >= 0
    apart = None
    if run.nested:
        tested = np.unique(run.folds[known & (run.folds >= 0)]).tolist()
        apart = {fold: right_of(run.leaving_out(fold)) for fold in tested}
    try:
        place = nested_choice(right, np.where(known, run.folds, -1), apart)
    except ValueError as error:
        raise Unavailable(str(error)) from error
    option = options[place]  # of an image without a label, the best over all folds
    folds = np.unique(run.folds[known]).tolist()
    chosen = [str(option[known][run.folds[known] == fold][0]) for fold in folds]
    note = f"{name} = {', '.join(chosen)} in folds {folds[0]} to {folds[-1]}"
    return option, ", ".join(filter(None, (note, how_learned(run))))


def how_learned(run: Run) -> str:
    """Tell by which classifiers something was chosen or learned on the other folds."""
    if run.leaks:
        return "by classifiers of the other folds that saw the tested fold's labels"
    return "by heads that saw no label of the tested fold" if run.nested else ""
