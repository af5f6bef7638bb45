"""EmotionROI: photographs of Ekman's six emotions, with maps of what evokes them."""

from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError, is_image, lines, once, passed_over, walk
from arlib.datasets.folder import class_folders
from arlib.datasets.labels import view

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")


def emotionroi(root: str | Path, *, classes: str = "emotions") -> Dataset:
    """Read EmotionROI (Peng et al. 2016) as its archive unpacks; fold 1 is the testing list."""
    # The layout is what programs that read the archive expect, for instance `Kahsolt/EmotionROI-ex`
    # on GitHub; no description by the authors could be found.
    root = Path(root)
    keys, labels, others = class_folders("emotionroi", root / "images", EMOTIONS)
    tested = _read_split(root / "training_testing_split")
    names = keys.tolist()
    if missing := [key for key in names if key not in tested]:
        raise DatasetError(
            f"emotionroi: {len(missing)} images are neither in training.txt nor in testing.txt of "
            f"{root / 'training_testing_split'}: {missing[:5]}"
        )
    maps = _list_maps(root, names)
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
            "other files": others.total(),
        },
        notes=passed_over(others),
    )


def _read_split(folder: Path) -> dict[str, bool]:
    """Read both lists: an image -> whether it is for testing."""
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


def _list_maps(root: Path, keys: list[str]) -> np.ndarray | None:
    """Find each image's map, which may have another ending; None without `ground_truth/`."""
    if not (root / "ground_truth").is_dir():
        return None
    maps = {
        path.rpartition(".")[0]: f"ground_truth/{path}"
        for path in filter(is_image, walk(root / "ground_truth"))
    }
    return np.array([maps.get(key.rpartition(".")[0], "") for key in keys])
