"""Labels: names of classes become numbers, emotions become positive and negative."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from arlib.datasets.files import DatasetError

POLARITY = ("positive", "negative")
"""The two emotions of the paper, in the order of its P_Pos, P_Neg."""

MIKELS = (
    "amusement",
    "anger",
    "awe",
    "contentment",
    "disgust",
    "excitement",
    "fear",
    "sadness",
)
"""The eight emotions of Mikels et al. (2005), which most sets are labelled by."""

_POLAR = {"positive": 0, "pos": 0, "negative": 1, "neg": 1}
_SIGNS = ({"+": 0, "-": 1}, {"1": 0, "-1": 1}, {"+1": 0, "-1": 1})  # both must occur

_NO_LABEL = frozenset({"", "nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat"})

_JOINERS = "\u200c\u200d"  # invisible, and part of words in some scripts


def encode(
    names: Sequence[str],
    emotions: Sequence[str] | None,
    place: Callable[[int], str],
    source: str = "",
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Number the names of classes, by given emotions or those that occur; -1 where there is none.

    Names that differ by case, Unicode form or characters that cannot be seen are one class; what
    is read otherwise than it is written is in the notes, the last of what is returned. Errors name
    the source, or the place of a name by its index.
    """
    counts = Counter(names)
    keys = {name: _key(name) for name in counts}
    if emotions is None:
        labelled = {name: key for name, key in keys.items() if key not in _NO_LABEL}
        classes = _classes(labelled, counts)
        present = sorted(set(classes.values()))
        emotions = POLARITY if set(present) <= set(POLARITY) else present
    else:
        classes = {_key(emotion): emotion for emotion in emotions}
        if len(classes) < len(emotions):
            raise DatasetError(f"a class comes twice: {list(emotions)}")
    check_classes(emotions, source)
    numbers = {key: emotions.index(emotion) for key, emotion in classes.items()}
    number_of = {}
    for name, key in keys.items():
        if key not in numbers and key not in _NO_LABEL:
            raise DatasetError(
                f"{place(list(names).index(name))}: {name!r} is no class; "
                f"there are {', '.join(emotions)}"
            )
        number_of[name] = numbers.get(key, -1)
    labels = np.fromiter((number_of[name] for name in names), np.int8, len(names))
    return labels, tuple(emotions), _notes(number_of, tuple(emotions), counts)


def _key(name: str) -> str:
    """Reduce a name to what it shares with other spellings of the same word."""
    plain = "".join(c for c in _clean(name) if c not in _JOINERS)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())


def _clean(name: str) -> str:
    """Compose a name's letters, and take out what cannot be seen, such as a zero-width space."""
    name = "".join(" " if c.isspace() else c for c in unicodedata.normalize("NFC", name))
    seen = (c for c in name if c in _JOINERS or unicodedata.category(c) not in ("Cf", "Cc"))
    return " ".join("".join(seen).split()).strip(_JOINERS)


def _classes(keys: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, str]:
    """Name the class of each key: a polarity where all are, else its most frequent spelling."""
    for polar in (_POLAR, *_SIGNS):
        if set(keys.values()) <= polar.keys() and (polar is _POLAR or len(set(keys.values())) == 2):
            return {key: POLARITY[polar[key]] for key in keys.values()}
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for name, key in keys.items():
        spellings[key][_clean(name)] += counts[name]
    return {
        key: min(found, key=lambda each: (-found[each], each != each.lower(), each))
        for key, found in spellings.items()
    }


def _notes(
    number_of: Mapping[str, int], emotions: tuple[str, ...], counts: Mapping[str, int]
) -> tuple[str, ...]:
    """List which names are read as a class that is spelled otherwise, or as no label."""
    read_as = defaultdict(list)
    for name, number in number_of.items():
        if name and name != (*emotions, None)[number]:
            text = repr(name) if _clean(name) == name else ascii(name)
            read_as[number].append(f"{text} ({counts[name]:,})")
    groups = sorted(read_as.items(), key=lambda item: item[0] % 128)  # -1 last
    words = [f"{', '.join(names)} as {(*emotions, 'no label')[number]}" for number, names in groups]
    notes = [f"labels are read otherwise than written: {'; '.join(words)}"] if words else []
    if set(emotions) == {"0", "1"}:
        notes.append(
            "labels 0 and 1 are read as two classes of which neither is known to be positive: "
            "write positive and negative"
        )
    return tuple(notes)


def check_classes(emotions: Sequence[str], source: str = "") -> None:
    """Refuse classes that are too few, too many or not distinct."""
    where = source and f"{source}: "
    if not 2 <= len(emotions) <= np.iinfo(np.int8).max:
        raise DatasetError(
            f"{where}there must be 2 to 127 classes, not {len(emotions)}: {emotions[:5]}"
        )
    if len(set(emotions)) < len(emotions):
        raise DatasetError(f"{where}a class comes twice: {list(emotions)}")


def view(
    labels: np.ndarray, emotions: tuple[str, ...], classes: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Leave emotions as they are, or turn them into positive and negative."""
    if classes == "emotions":
        return labels, emotions
    if classes != "polarity":
        raise DatasetError(f"classes must be 'emotions' or 'polarity', not {classes!r}")
    from arlib.method import polarities  # it imports xarray

    return np.where(labels < 0, np.int8(-1), polarities(emotions)[labels]), POLARITY
