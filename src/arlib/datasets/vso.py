"""Visual Sentiment Ontology: Flickr photographs by adjective-noun pair (Borth et al. 2013)."""

import re
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.folds import stratified_folds
from arlib.datasets.label_files import lines, once
from arlib.datasets.listing import folders, is_image, walk

_SENTIMENT = re.compile(r"(\S+_\S+)\s*\[sentiment:\s*(-?[\d.]+)\]")


def vso(root: str | Path, *, n_folds: int = 10, seed: int = 0, held_out: bool = True) -> Dataset:
    """Read the photographs; the weak label of each is the sign of its adjective-noun pair.

    The paper fine-tunes on a random 90 % of them and does not say which. This split is as random,
    and seeded; `save_folds` keeps it in a file.

    Args:
        root: holds `3244ANPs.txt` and `bi_concepts1553/<adjective_noun>/<picture>.jpg`.
        n_folds: stratified folds, of which the first is held out: 10 is the paper's tenth.
        seed: of the folds' shuffle.
        held_out: True numbers the first fold 1, for testing, and all others -1, for training;
            False numbers every fold, for cross-validation.

    Returns:
        The pictures by pair and name, keyed by `<adjective_noun>/<picture>.jpg`, their path below
        `bi_concepts1553/`, which is the dataset's root; `tags` holds each one's pair. `counts` has
        "pairs", "pairs without sentiment", whose pictures are left out, and "other files".

    Raises:
        DatasetError: a file or folder is missing, a line gives a pair a second sentiment, or no
            picture is left; or as `walk`.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> text = "happy_dog [sentiment: 1.5]  sad_dog [sentiment: -1.2]"
        >>> _ = (root / "3244ANPs.txt").write_text(text)
        >>> for name in ("happy_dog/1.jpg", "happy_dog/2.jpg", "sad_dog/1.jpg", "sad_dog/2.jpg"):
        ...     (root / "bi_concepts1553" / name).parent.mkdir(parents=True, exist_ok=True)
        ...     (root / "bi_concepts1553" / name).touch()
        >>> made = vso(root, n_folds=2)
        >>> made.labels, made.keys[0]
        (array([0, 0, 1, 1], dtype=int8), np.str_('happy_dog/1.jpg'))
    """
    table, below = Path(root, "3244ANPs.txt"), Path(root, "bi_concepts1553")
    if not table.is_file() or not below.is_dir():
        raise DatasetError(f"vso: {root} must hold 3244ANPs.txt and bi_concepts1553/")
    sentiment = _sentiment(table)
    pairs = folders(below)
    known = [pair for pair in pairs if sentiment.get(pair)]
    found: list[str] = []
    sizes, other = [], 0
    for pair in known:
        every = [f"{pair}/{name}" for name in walk(below / pair)]
        mine = [name for name in every if is_image(name)]
        found += mine
        sizes.append(len(mine))
        other += len(every) - len(mine)
    if not found:
        raise DatasetError(f"vso: no image under {below}")
    keys = np.array(found)
    signs = np.array([sentiment[pair] < 0 for pair in known], np.int8)
    labels = np.repeat(signs, sizes)
    folds = stratified_folds(labels, n_folds, seed)
    return Dataset(
        name="vso",
        root=below,
        keys=keys,
        files=keys,
        labels=labels,
        folds=np.where(folds == 1, folds, np.int8(-1)) if held_out else folds,
        tags=np.repeat(np.array(known), sizes),
        counts={
            "pairs": len(known),
            "pairs without sentiment": len(pairs) - len(known),
            "other files": other,
        },
    )


def _sentiment(path: Path) -> dict[str, float]:
    sentiment: dict[str, float] = {}
    seen: dict[str, int] = {}
    for number, text in lines(path):
        for pair, value in _SENTIMENT.findall(text):
            once(seen, pair, number, path)
            try:
                sentiment[pair] = float(value)
            except ValueError as error:
                raise DatasetError(f"{path}, line {number}: {value!r} is no sentiment") from error
    return sentiment
