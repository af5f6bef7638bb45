"""Map emotions to positive or negative, and sum their probabilities by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

_POSITIVE = ("amusement", "awe", "contentment", "excitement", "joy", "surprise", "positive")
_NEGATIVE = ("anger", "disgust", "fear", "sadness", "negative")
POLARITY_OF: dict[str, str] = {
    **dict.fromkeys(_POSITIVE, "positive"),
    **dict.fromkeys(_NEGATIVE, "negative"),
}
"""Mikels' eight emotions and Ekman's six, split as You et al. (2016) and Yang et al. (2018) do."""


def polarities(emotions: Sequence[str], mapping: Mapping[str, str] = POLARITY_OF) -> np.ndarray:
    """Look up which emotions are negative.

    Args:
        emotions: M names.
        mapping: Emotion -> "positive" or "negative"; the default has Mikels' eight emotions and
            Ekman's six, split as You et al. (2016) and Yang et al. (2018) do.

    Returns:
        (M,) int8: 0 positive, 1 negative.

    Raises:
        ValueError: An emotion that the mapping does not name, or maps to another word; or all of
            the emotions have one polarity.

    Example:
        >>> polarities(["awe", "fear"])
        array([0, 1], dtype=int8)
    """
    unknown = [name for name in emotions if name not in mapping]
    if unknown:
        raise ValueError(f"no polarity is stated for {unknown}; there are {sorted(mapping)}")
    named = [mapping[name] for name in emotions]
    wrong = sorted(set(named) - {"positive", "negative"})
    if wrong:
        raise ValueError(f"a polarity is 'positive' or 'negative', not {wrong[0]!r}")
    if len(set(named)) < 2:
        raise ValueError(f"{list(emotions)} are all {named[0] if named else 'nothing'}")
    return np.array([name == "negative" for name in named], np.int8)


def to_polarity(
    dataset: xr.Dataset,
    emotions: Sequence[str] | None = None,
    mapping: Mapping[str, str] = POLARITY_OF,
) -> xr.Dataset:
    """Turn probabilities of M emotions into probabilities of two: each polarity's are summed.

    This is done to a network's predictions, before Eq. 1, so a region that is torn between awe and
    joy counts as confident. Eq. 1 to 3 on M emotions rank such a region low.

    Args:
        dataset: Scores, or other variables with the dimension ``emotion``; the rest is kept.
        emotions: M names, in the order of that dimension; None takes its coordinate.
        mapping: Emotion -> "positive" or "negative", as for `polarities`.

    Returns:
        The dataset with the emotions "positive" and "negative", in this order, in the precision
        given, NaN where a region is missing; a ``label`` is mapped to match, -1 stays.

    Raises:
        ValueError: As `polarities`.

    Example:
        >>> dataset = xr.Dataset(
        ...     {"global_probability": (("image", "emotion"), [[0.5, 0.25, 0.25]])},
        ...     {"emotion": ["joy", "fear", "anger"]},
        ... )
        >>> to_polarity(dataset).global_probability.values
        array([[0.5, 0.5]])
    """
    if emotions is None:
        emotions = dataset.emotion.values.tolist()
    negative = polarities(emotions, mapping)
    changed: dict[str, tuple[list[str], np.ndarray]] = {}
    for name, variable in dataset.data_vars.items():
        if "emotion" in variable.dims:
            values = variable.transpose(..., "emotion")
            sides = [values.values[..., negative == side].sum(-1) for side in (0, 1)]
            changed[str(name)] = [*map(str, values.dims)], np.stack(sides, axis=-1)
    if "label" in dataset:
        label = dataset.label.values
        labels = np.where(label >= 0, negative[np.maximum(label, 0)], -1).astype(np.int8)
        changed["label"] = [*map(str, dataset.label.dims)], labels
    rest = dataset.drop_vars([*changed, "emotion"], errors="ignore")
    return rest.assign(changed).assign_coords(emotion=np.array(["positive", "negative"], object))


def first_side(emotions: Sequence[str]) -> tuple[np.ndarray, str]:
    """Choose the emotions of the first side, where a figure has room for two sides.

    Args:
        emotions: M names.

    Returns:
        (M,) bool, and the side's name: the positive emotions where all polarities are stated,
        otherwise the first emotion alone, against all others.

    Example:
        >>> first_side(["fear", "awe", "joy"])
        (array([False,  True,  True]), 'positive')
        >>> first_side(["cat", "dog"])
        (array([ True, False]), 'cat')
    """
    try:
        return polarities(emotions) == 0, "positive"
    except ValueError:
        return np.arange(len(emotions)) == 0, str(emotions[0])
