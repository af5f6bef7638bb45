"""Synthetic scenes as files, in the layouts that the paper's datasets are published in."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from arlib import __version__
from arlib._support.files import read_json
from arlib._support.progress import progress_bar
from arlib._support.storage import refuse_output, replace_folder
from arlib.datasets.dataset import Dataset
from arlib.datasets.files import DatasetError
from arlib.datasets.scenes.benchmark import SETS, annotated
from arlib.datasets.scenes.generator import SceneGenerator
from arlib.datasets.twitter1 import IMAGE_FOLDERS, SUBSETS
from arlib.datasets.twitter2 import LABELS
from arlib.datasets.vso import FOLDS, IMAGES, PAIRS

FACTS = "scenes.json"
"""What was exported: settings, seeds and how many files there are."""

_README = """\
# Synthetic scenes, in the layouts of the paper's datasets

Drawings of a generator, not photographs: `arlib data export-scenes` wrote them, and draws them
again from the settings in `scenes.json`. They belong to no dataset whose name a folder here has.

    twitter1/   the annotated set, in the layout of Twitter I: three subsets of five folds each
    twitter2/   the folded set, in the layout of Twitter II
    vso/        the tagged set, in the layout of the Visual Sentiment Ontology's Flickr images
    objects/    the object set, a folder a class; it stands for ImageNet

With this folder as `ARLIB_DATA` each is loaded by its name, and `objects` by its path.
"""


def export_scenes(
    folder: str | Path,
    generator: SceneGenerator | None = None,
    *,
    objects: int = 720,
    tagged: int = 400,
    tested: int = 200,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write the four sets as files; with the folder as `ARLIB_DATA`, `load` reads them by name.

    `twitter1` holds the annotated set, `twitter2` the folded one, `vso` the tagged one, `objects`
    the object set as a folder of class folders. Images are PNG, so that the pixels are those that
    are drawn; their order, labels, folds, tags and agreement are those of the drawn sets too, of
    `vso` by a file `folds.csv`. The folder appears when it is complete.

    Args:
        folder: new, empty, or what this function wrote, which is replaced.
        generator: the settings; None takes the default ones.
        objects: images of the object set.
        tagged: images of the tagged set.
        tested: images of the annotated set, and of the folded one.
        seed: set number i of the four is drawn with the seed 1000 `seed` + i, as the experiment on
            scenes draws it.
        progress: show a bar.

    Returns:
        The folder.

    Raises:
        FileExistsError: the folder holds something else.
        DatasetError: too few images for the folds.
        OSError: the disk is full, or the folder must not be written to.

    Example:
        >>> from arlib.datasets import load
        >>> root = export_scenes(tempfile.mkdtemp(), objects=300, tagged=60, tested=50)
        >>> load("vso", root / "vso").keys[0], len(load("twitter1", root / "twitter1"))
        (np.str_('happy_star/scenes-tagged-000000.png'), 50)
    """
    folder = Path(folder)
    what = "an empty folder, or one that `arlib data export-scenes` wrote and nobody added to"
    refuse_output(folder, ours=_is_replaceable, what=what)
    generator = generator or SceneGenerator()
    seeds = {name: 1000 * seed + number for number, name in enumerate(SETS, 1)}
    sizes = {"objects": objects, "tagged": tagged, "annotated": tested, "folded": tested}
    sets = {name: draw(generator, sizes[name], seeds[name]) for name, draw in SETS.items()}
    _check_objects(sets["objects"])
    subsets = {
        name: annotated(generator, tested, seeds["annotated"], agreement=least)
        for name, least in SUBSETS.items()
    }
    facts: dict[str, Any] = {
        "arlib": __version__,
        "generator": asdict(generator),
        "sets": {name: {"n": sizes[name], "seed": seeds[name]} for name in SETS},
    }
    total = sum(map(len, sets.values()))
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as hidden,
            progress_bar(total=total, unit="image", show=progress, desc="scenes") as bar,
        ):
            fresh = Path(hidden, "scenes")
            for root, dataset, places in (
                ("objects", sets["objects"], _write_classes(sets["objects"])),
                ("vso", sets["tagged"], _write_vso(sets["tagged"], fresh / "vso")),
                ("twitter1", sets["annotated"], _write_twitter1(subsets, fresh / "twitter1")),
                ("twitter2", sets["folded"], _write_twitter2(sets["folded"], fresh / "twitter2")),
            ):
                for index, place in enumerate(places):
                    _write_png(fresh / root / place, dataset.read(index))
                    bar.update()
            _write_lines(fresh / "README.md", _README.splitlines())
            facts["files"] = _count(fresh) + 1
            _write_lines(fresh / FACTS, [json.dumps(facts, indent=1)])
            replace_folder(fresh, folder)
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(folder)) from error
    return folder


def _is_replaceable(folder: Path) -> bool:
    """Tell whether a folder is empty, or holds as many files as were exported into it."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    try:
        facts = read_json(folder / FACTS, {"files": int, "sets": dict})
    except (OSError, ValueError):
        return False
    return bool(facts["files"] == _count(folder))


def _count(folder: Path) -> int:
    return sum(not path.is_dir() or path.is_symlink() for path in folder.rglob("*"))


def _write_twitter1(subsets: Mapping[str, Dataset], root: Path) -> list[str]:
    """Write the five folds' lists of each subset; return the images' places in the largest."""
    for agree, subset in subsets.items():
        lines = [f"{key}.png {1 - label}" for key, label in _rows(subset)]
        for fold in range(1, 6):
            folder = root / "ground_truth" / f"{agree}_agrees" / f"test{fold}"
            for name, chosen in (("test", subset.folds == fold), ("train", subset.folds != fold)):
                _write_lines(folder / f"{name}.txt", np.array(lines)[chosen])
    return [f"{IMAGE_FOLDERS[0]}/{key}.png" for key in subsets["three"].keys]


def _write_twitter2(dataset: Dataset, root: Path) -> list[str]:
    """Write the labels; return the images' places."""
    lines = [f"{key}.png\t{dataset.emotions[label]}" for key, label in _rows(dataset)]
    _write_lines(root / LABELS, ["Image\tSentiment", *lines])
    return [
        f"partition{fold}/{key}.png"
        for key, fold in zip(dataset.keys.tolist(), dataset.folds.tolist(), strict=True)
    ]


def _write_vso(dataset: Dataset, root: Path) -> list[str]:
    """Write the pairs with their sentiment, and which images are held out; return their places."""
    tagged = dataset.by_tag()
    pairs = [tagged.emotions[label].replace(" ", "_") for _, label in _rows(tagged)]
    sentiment = dict(zip(pairs, 1 - 2 * dataset.labels, strict=True))
    lines = [f"\t{pair} [sentiment: {sign:.2f}]" for pair, sign in sorted(sentiment.items())]
    _write_lines(root / PAIRS, lines)
    names = [f"{pair}/{key}.png" for pair, key in zip(pairs, dataset.keys.tolist(), strict=True)]
    replace(dataset, keys=np.array(names)).save_folds(root / FOLDS)
    return [f"{IMAGES}/{name}" for name in names]


def _write_classes(dataset: Dataset) -> list[str]:
    return [f"{dataset.emotions[label]}/{key}.png" for key, label in _rows(dataset)]


def _rows(dataset: Dataset) -> list[tuple[str, int]]:
    return list(zip(dataset.keys.tolist(), dataset.labels.tolist(), strict=True))


def _check_objects(dataset: Dataset) -> None:
    sizes = np.bincount(dataset.labels, minlength=len(dataset.emotions))
    if sizes.min() < 2:
        raise DatasetError(
            f"of {len(dataset):,} objects {sizes.min()} are {dataset.emotions[sizes.argmin()]}, "
            f"and a class needs 2: draw more than {len(dataset):,} objects"
        )


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=1)
