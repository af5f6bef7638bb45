"""EmotionROI: photographs of Ekman's six emotions, with maps of what evokes them."""

from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset, DatasetError
from arlib.datasets.folder import class_folders
from arlib.datasets.label_files import lines, once
from arlib.datasets.labels import view
from arlib.datasets.listing import is_image, walk

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")


def emotionroi(root: str | Path, *, classes: str = "emotions") -> Dataset:
    r"""Read EmotionROI (Peng et al. 2016) as its archive unpacks.

    The layout is what programs that read the archive expect, for instance `Kahsolt/EmotionROI-ex`
    on GitHub; no description by the authors could be found.

    Args:
        root: holds `images/<emotion>/<picture>`, `ground_truth/<emotion>/<picture>` (the emotion
            stimuli maps, of any ending) and `training_testing_split/training.txt` and
            `testing.txt` with lines `<emotion>/<picture>`.
        classes: "emotions" for the six; "polarity" for positive (joy, surprise) and negative, as
            `arlib.method.polarities` maps them.

    Returns:
        The images, keyed by `<emotion>/<picture>`: fold 1 is the testing list, -1 the training
        list. `maps` names each one's map; it is None without `ground_truth/`. `counts` has "rows"
        of both lists, "rows without image", "images without map" and "other files".

    Raises:
        DatasetError: a folder or list is missing; naming the line, one that is of no class or
            comes twice; an image is in neither list, or `classes` is none of the two; or as
            `walk`.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> names = [f"{emotion}/{i}.jpg" for emotion in EMOTIONS for i in (1, 2)]
        >>> for path in [root / "images" / name for name in names]:
        ...     path.parent.mkdir(parents=True, exist_ok=True)
        ...     path.touch()
        >>> (root / "training_testing_split").mkdir()
        >>> for name, part in (("training", names[::2]), ("testing", names[1::2])):
        ...     path = root / "training_testing_split" / f"{name}.txt"
        ...     _ = path.write_text("\n".join(part))
        >>> made = emotionroi(root)
        >>> made.folds[:4], made.maps is None
        (array([-1,  1, -1,  1], dtype=int8), True)
    """
    root = Path(root)
    keys, labels, other = class_folders("emotionroi", root / "images", EMOTIONS)
    tested = _split(root / "training_testing_split")
    names = keys.tolist()
    if lost := [key for key in names if key not in tested]:
        raise DatasetError(f"emotionroi: {len(lost)} images are in neither list: {lost[:5]}")
    maps = _maps(root, names)
    labels, emotions = view(labels, EMOTIONS, classes)
    return Dataset(
        name="emotionroi",
        root=root,
        keys=keys,
        files=np.array([f"images/{key}" for key in names]),
        labels=labels,
        folds=np.array([1 if tested[key] else -1 for key in names], np.int8),
        emotions=emotions,
        maps=maps,
        counts={
            "rows": len(tested),
            "rows without image": len(tested) - len(names),
            "images without map": len(names) if maps is None else int((maps == "").sum()),
            "other files": other,
        },
    )


def _split(folder: Path) -> dict[str, bool]:
    """An image -> whether it is for testing."""
    tested: dict[str, bool] = {}
    for name in ("training", "testing"):
        path = folder / f"{name}.txt"
        seen: dict[str, int] = {}
        for number, key in lines(path):
            if key.partition("/")[0] not in EMOTIONS or "/" not in key:
                raise DatasetError(
                    f"{path}, line {number}: {key!r} is of no class; a line is EMOTION/NAME.jpg, "
                    f"and there are {', '.join(EMOTIONS)}"
                )
            once(seen, key, number, path)
            if key in tested:
                raise DatasetError(f"{path}, line {number}: {key} is in training.txt too")
        tested |= dict.fromkeys(seen, name == "testing")
    return tested


def _maps(root: Path, keys: list[str]) -> np.ndarray | None:
    if not (root / "ground_truth").is_dir():
        return None
    found = {
        path.rpartition(".")[0]: f"ground_truth/{path}"
        for path in filter(is_image, walk(root / "ground_truth"))
    }
    return np.array([found.get(key.rpartition(".")[0], "") for key in keys])
