"""Twitter I: tweets judged by five people each (You et al. 2015), in three subsets."""

from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset, DatasetError, stratified_folds
from arlib.datasets.twitter1_lists import GET, labels_of, read_lists
from arlib.datasets.walk import files, is_picture

_FOLDERS = ("Agg_AMT_Candidates", "images")


def twitter1(
    root: str | Path, *, agree: str = "three", n_folds: int | None = None, seed: int = 0
) -> Dataset:
    r"""Read Twitter I in either of its layouts; a subset is a view, with its own folds.

    In the lists that circulate the subsets are not quite nested: of the images that five agree on,
    one is missing in the lists of four and three in those of three.

    Args:
        root: holds the lists, as `twitter1_labels` says, and the images in `Agg_AMT_Candidates/`
            or `images/`.
        agree: "five", "four" or "three": how many people, at least, gave the label.
        n_folds: None takes the folds of the lists, and where those have none deals 5; a number
            deals so many stratified ones in either case.
        seed: of that shuffle.

    Returns:
        The images in the order of the lists, keyed by file name, with their `agreement`. `counts`
        has "rows", "rows without image", and "images without label", which are in none of the
        lists that are there.

    Raises:
        DatasetError: as `twitter1_labels`; or there is no image, saying what to get.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> names = [f"{i}.jpg" for i in range(10)]
        >>> text = "".join(f"{name} {i % 2}\n" for i, name in enumerate(names))
        >>> _ = (root / "three_agree.txt").write_text(text)
        >>> (root / "Agg_AMT_Candidates").mkdir()
        >>> for name in names:
        ...     (root / "Agg_AMT_Candidates" / name).touch()
        >>> len(twitter1(root)), sorted(set(twitter1(root).folds.tolist()))
        (10, [1, 2, 3, 4, 5])
    """
    root = Path(root)
    lists = read_lists(root)
    found = labels_of(root, lists, agree)
    folder = next((name for name in _FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DatasetError(
            f"twitter1: {len(found.keys):,} labels, but no images: {root} has neither "
            f"Agg_AMT_Candidates/ nor images/; {GET}"
        )
    names = set(filter(is_picture, files(root / folder)))
    there = np.array([key in names for key in found.keys.tolist()])
    if not there.any():
        raise DatasetError(
            f"twitter1: none of the {len(found.keys):,} images is in {root / folder}; {GET}"
        )
    keys, labels, folds = found.keys[there], found.labels[there], found.folds[there]
    if n_folds is not None or (folds < 0).any():
        folds = stratified_folds(labels, 5 if n_folds is None else n_folds, seed)
    return Dataset(
        name="twitter1",
        root=root,
        keys=keys,
        files=np.array([f"{folder}/{key}" for key in keys.tolist()]),
        labels=labels,
        folds=folds,
        agreement=None if found.agreement is None else found.agreement[there],
        counts={
            "rows": len(there),
            "rows without image": int((~there).sum()),
            "images without label": len(names.difference(*lists.values())),
        },
    )
