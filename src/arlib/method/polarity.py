"""Several emotions -> positive or negative: the stated mapping, and sums of probability by it."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

POLARITY_OF: dict[str, str] = {
    "amusement": "positive",
    "awe": "positive",
    "contentment": "positive",
    "excitement": "positive",
    "joy": "positive",
    "surprise": "positive",
    "positive": "positive",
    "anger": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sadness": "negative",
    "negative": "negative",
}
"""Mikels' eight emotions and Ekman's six, split as You et al. (2016) and Yang et al. (2018) do."""


def polarities(emotions: Sequence[str], mapping: Mapping[str, str] = POLARITY_OF) -> np.ndarray:
    """Tell which emotions are negative.

    Args:
        emotions: M names.
        mapping: emotion -> "positive" or "negative".

    Returns:
        (M,) int8: 0 positive, 1 negative.

    Raises:
        ValueError: an emotion that the mapping does not name, or maps to another word; or all of
            the emotions have one polarity.

    Example:
        >>> polarities(["awe", "fear"])
        array([0, 1], dtype=int8)
    """
    unknown = [name for name in emotions if name not in mapping]
    if unknown:
        raise ValueError(f"no polarity is stated for {unknown}; there are {sorted(mapping)}")
    named = [mapping[name] for name in emotions]
    other = sorted(set(named) - {"positive", "negative"})
    if other:
        raise ValueError(f"a polarity is 'positive' or 'negative', not {other[0]!r}")
    if len(set(named)) < 2:
        raise ValueError(f"{list(emotions)} are all {named[0] if named else 'nothing'}")
    return np.array([name == "negative" for name in named], np.int8)


def has_polarity(emotions: Sequence[str], mapping: Mapping[str, str] = POLARITY_OF) -> bool:
    """Say whether emotions, more than two, have both polarities by the mapping.

    Example:
        >>> has_polarity(["awe", "fear", "joy"]), has_polarity(["cat", "dog", "cow"])
        (True, False)
    """
    named = {mapping.get(name) for name in emotions}
    return len(emotions) > 2 and named == {"positive", "negative"}


def in_polarity(scores: xr.Dataset, mapping: Mapping[str, str] = POLARITY_OF) -> xr.Dataset:
    """Turn scores of M emotions into scores of two: each polarity has its emotions' probability.

    This is done to a network's answers, before Eq. 1, so a region that is torn between awe and joy
    counts as decided. The other way, Eq. 1 to 3 on M emotions and then `sums` of the response,
    ranks such a region low.

    Args:
        scores: as `arlib.scoring.scores` lays them out.
        mapping: emotion -> "positive" or "negative".

    Returns:
        The scores with the emotions "positive" and "negative", in this order, and labels to match.

    Raises:
        ValueError: as `polarities`.
    """
    emotions = scores.emotion.values.tolist()
    negative = polarities(emotions, mapping)
    label = scores.label.values
    labels = np.where(label >= 0, negative[np.maximum(label, 0)], -1).astype(np.int8)
    names = ["region_probability", "global_probability"]
    rest = scores.drop_vars([*names, "emotion", "label"])
    summed = to_polarity(scores[names], emotions, mapping)
    summed = summed.assign(label=("image", labels))
    return rest.assign({name: summed[name] for name in summed.data_vars})


def to_polarity(
    probability: xr.Dataset, emotions: Sequence[str], mapping: Mapping[str, str] = POLARITY_OF
) -> xr.Dataset:
    """Add up, in every variable with the dimension ``emotion``, what each polarity has.

    Args:
        probability: variables with the dimension ``emotion``.
        emotions: M names, in the order of that dimension.
        mapping: emotion -> "positive" or "negative".
    """
    negative = polarities(emotions, mapping)
    names = {"emotion": np.array(["positive", "negative"], object)}
    return xr.Dataset(
        {
            str(name): (
                [*(dim for dim in one.dims if dim != "emotion"), "emotion"],
                sums(one.transpose(..., "emotion").values, negative),
            )
            for name, one in probability.data_vars.items()
        },
        {**{key: c for key, c in probability.coords.items() if key != "emotion"}, **names},
    )


def sums(probability: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Add up what each polarity has.

    Args:
        probability: (…, M), of emotions.
        negative: (M,) from `polarities`.

    Returns:
        (…, 2) of the same dtype: positive, negative; NaN stays NaN.

    Example:
        >>> sums(np.array([0.5, 0.25, 0.25]), np.array([0, 1, 1]))
        array([0.5, 0.5])
    """
    return np.stack([probability[..., negative == side].sum(-1) for side in (0, 1)], axis=-1)


def first_side(emotions: Sequence[str]) -> tuple[np.ndarray, str]:
    """Tell which emotions stand on the first side where a picture has room for two sides.

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
