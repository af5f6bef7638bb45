"""Folders of images: one folder a class, or any images without labels."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arlib.datasets.dataset import Dataset
from arlib.datasets.files import (
    DatasetError,
    file_names,
    folder_names,
    is_image,
    list_images,
    other_endings,
    passed_over,
)
from arlib.datasets.folds import fixed_folds, is_part, own_folds
from arlib.datasets.labels import POLARITY, check_classes, encode

_IMAGES = frozenset({"image", "images", "img", "imgs", "jpegimages", "photo", "photos", "pictures"})
_BESIDE = frozenset({
    "annotation", "annotations", "label", "labels", "mask", "masks", "ground_truth", "groundtruth",
    "gt", "maps", "saliency", "segmentation", "segmentations", "json", "xml", "meta", "metadata",
    "text", "texts", "tags", "captions", "features", "thumbnails", "thumbs",
})  # fmt: skip


def folder(root: str | Path, *, n_folds: int | None = None, seed: int = 0) -> Dataset:
    """Read a folder of class folders, `<class>/<image>`; a class may have folders below.

    Where class folders lie in the parts of a split (train/<class>, test/<class>; fold1/<class>), or
    hold such parts, the folds are those of the split, unless `n_folds` is given.
    """
    root = Path(root)
    check_folder_is_there(root, "folder: no folder")
    beside = file_names(root)
    stray = [name for name in beside if is_image(name)]
    if stray:
        raise DatasetError(f"folder: {len(stray)} images have no class folder: {stray[:5]}")
    places, split = _class_folders_below(root)
    numbers: dict[str, int] = {}
    if split and n_folds is None:
        numbers, described = fixed_folds({part for *_, part in places}, str(root))
        split += f": {described}"

    # images in the order of their classes, which the folds depend on
    files: list[str] = []
    sizes: list[int] = []
    others = other_endings(beside)
    for path, *_ in places:
        images, other = list_images(root / path, f"{path}/")
        if not images:
            why = "; ".join([f"folder: no image in {root / path}", *passed_over(other)])
            raise DatasetError(f"{why}: a class has images; if it is none, move it away")
        files += images
        sizes.append(len(images))
        others += other
    classes = np.repeat([name for _, name, _ in places], sizes)
    labels, emotions, notes = encode(classes.tolist(), None, files.__getitem__, str(root))
    order = np.argsort(labels, kind="stable")
    labels, keys = labels[order], np.array(files)[order]
    if numbers:
        folds = np.repeat([numbers[part] for *_, part in places], sizes).astype(np.int8)[order]
        notes += (split,)
    else:
        folds, few = own_folds(labels, n_folds, seed, emotions, str(root))
        notes += few
    return Dataset(
        name="folder",
        root=root,
        keys=keys,
        files=keys,
        labels=labels,
        folds=folds,
        emotions=emotions,
        counts={"other files": others.total()},
        notes=(*notes, *passed_over(others)),
    )


def unlabelled_images(root: str | Path, emotions: tuple[str, ...] | None = None) -> Dataset:
    """Take all images in a folder and the folders below, without labels and folds."""
    root = Path(root)
    check_folder_is_there(root, "no folder")
    images, others = list_images(root)
    name = root.resolve().name
    if not images:
        raise DatasetError("; ".join([f"{name}: no image under {root}", *passed_over(others)]))
    keys = np.array(images)
    notes = passed_over(others)
    if beside := _images_and_beside(folder_names(root)):
        without = f"to leave them out, give {root / beside[0]}"
        notes += (f"what is in {_listed(beside[1])} is taken too: {without}",)
    return Dataset(
        name=name,
        root=root,
        keys=keys,
        files=keys,
        labels=np.full(len(keys), -1, np.int8),
        folds=np.full(len(keys), -1, np.int8),
        emotions=emotions or POLARITY,
        counts={"other files": others.total()},
        notes=notes,
    )


def check_folder_is_there(root: Path, missing: str) -> None:
    """Refuse a path that is no folder, saying what to give instead where it is a file."""
    if root.is_dir():
        return
    if not root.exists():
        raise DatasetError(f"{missing} {root}")
    if is_image(root.name):
        raise DatasetError(f"{root} is an image: give the folder that holds it")
    raise DatasetError(
        f"{root} is a file: give a folder of images, or a table that ends in .csv, .tsv or "
        ".parquet (save a spreadsheet as CSV, unpack an archive)"
    )


def why_unlabelled(root: Path) -> str | None:
    """Tell why a folder is read without labels, "" if it is plain; None for class folders."""
    names = folder_names(root)
    stray = sum(map(is_image, file_names(root)))
    if stray and names:
        lie = "1 image lies" if stray == 1 else f"{stray:,} images lie"
        return f"no labels, since {lie} beside the folders {_listed(names)}"
    if stray or not names:
        return ""
    if len(names) > 1:
        return None
    below = folder_names(root / names[0])
    if len(below) > 1 and not any(map(is_image, file_names(root / names[0]))):
        return f"no labels: to have {_listed(below)} as classes, give {root / names[0]}"
    return f"no labels, since a single folder, {names[0]}, is no two classes"


def class_folders(
    name: str, root: Path, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """List the images of all class folders: keys `<class>/<image>`, labels, endings of others."""
    check_classes(classes)
    keys: list[str] = []
    sizes, others = [], Counter[str]()
    for each in classes:
        if not (root / each).is_dir():
            raise DatasetError(f"{name}: no folder {root / each}")
        images, other = list_images(root / each, f"{each}/")
        if not images:
            raise DatasetError(f"{name}: no image in {root / each}")
        keys += images
        sizes.append(len(images))
        others += other
    return np.array(keys), np.repeat(np.arange(len(sizes), dtype=np.int8), sizes), others


def _class_folders_below(root: Path) -> tuple[list[tuple[str, str, str]], str]:
    """List class folders: path, class and part of a split; and describe where that split is."""
    names = _checked_names(root)
    parts = [name for name in names if is_part(name)]
    if len(names) < 2:
        raise DatasetError(f"folder: {root} needs a folder for each of two classes: {names}")

    # parts above the classes; "train" may be a class of vehicles
    if parts and ([each.lower() for each in parts] != ["train"] or folder_names(root / parts[0])):
        if len(parts) < len(names):
            classes = _listed([name for name in names if name not in parts])
            raise DatasetError(
                f"folder: {root} holds {_listed(parts)} of a split beside {classes}: leave either "
                "classes or the parts of a split in it, or give a table of path,label,fold"
            )
        places = [(f"{p}/{each}", each, p) for p in parts for each in _checked_names(root / p)]
        for part in parts:
            stray = [name for name in file_names(root / part) if is_image(name)]
            if stray or not any(place[2] == part for place in places):
                raise DatasetError(
                    f"folder: {_listed(parts)} in {root} are parts of a split, not classes, and "
                    f"{len(stray)} images of {part} have no class folder: give a table of "
                    "path,label,fold, or class folders in each part"
                )
        return places, f"{_listed(parts)} are parts of a split, not classes"

    # parts below each class
    below = {name: folder_names(root / name) for name in names}
    if all(
        inner and all(map(is_part, inner)) and not any(map(is_image, file_names(root / name)))
        for name, inner in below.items()
    ):
        places = [(f"{name}/{part}", name, part) for name in names for part in below[name]]
        parts = sorted({part for *_, part in places})
        return places, f"{_listed(parts)} below each class are parts of a split"
    return [(name, name, "") for name in names], ""


def _checked_names(root: Path) -> list[str]:
    """Name the folders in a folder; refuse images beside their masks, which are no classes."""
    names = folder_names(root)
    if beside := _images_and_beside(names):
        raise DatasetError(
            f"folder: {root} holds {beside[0]}/ beside {_listed(beside[1])}, which are no classes: "
            f"give {root / beside[0]}, or a table of path,label"
        )
    return names


def _images_and_beside(names: Sequence[str]) -> tuple[str, list[str]] | None:
    """Find a folder of images and those of masks, annotations and the like beside it."""
    images = [name for name in names if name.lower() in _IMAGES]
    beside = [name for name in names if name.lower() in _BESIDE]
    return (images[0], beside) if images and beside else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{name}/" for name in names[:5]) + (", ..." if len(names) > 5 else "")
