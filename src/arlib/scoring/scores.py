"""The scores: probabilities of each image and each of its regions, as Zarr.

Everything after scoring (ranking, fusion, evaluation, the book's chapters 3 to 6) reads this and
nothing else. `check_scores` holds its layout; the table in the book's notation page explains it.
"""

import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from arlib._support.files import StoreError
from arlib._support.storage import place_folder, refuse_output
from arlib.datasets import Dataset
from arlib.proposals import Proposals

CHUNK = 256
"""Images in one chunk of the store."""


_LAYOUT = {
    "objectness": (("image", "region"), np.float32),
    "box": (("image", "region", "corner"), np.float32),
    "region_probability": (("image", "region", "emotion"), np.float32),
    "global_probability": (("image", "emotion"), np.float32),
    "label": (("image",), np.int8),
    "fold": (("image",), np.int8),
}

_INNER = {
    "inner_region_probability": (("image", "left_out", "region", "emotion"), np.float32),
    "inner_global_probability": (("image", "left_out", "emotion"), np.float32),
}
"""Both or neither: by heads that learned neither from the image's fold nor from another."""


class ScoresError(StoreError):
    """Scores that cannot be read, or whose layout is not the one that every tool relies on."""


def assemble_scores(
    images: Sequence[str],
    emotions: Sequence[str],
    left_out: Sequence[int] | None = None,
    **arrays: npt.ArrayLike,
) -> xr.Dataset:
    """Assemble scores from the layout's arrays, cast to its dtypes, and check them."""
    layout = _LAYOUT if left_out is None else _LAYOUT | _INNER
    data = {
        name: (dims, np.asarray(arrays[name]).astype(dtype))
        for name, (dims, dtype) in layout.items()
    }
    coords = {
        "image": np.array(images, dtype=object),
        "emotion": np.array(emotions, dtype=object),
    }
    if left_out is not None:
        coords["left_out"] = np.array(left_out, np.int8)
    try:
        scores = xr.Dataset(data, coords=coords)
    except ValueError as error:
        raise ScoresError(f"the arrays do not fit together: {error}") from error
    return check_scores(scores)


def check_scores(scores: xr.Dataset) -> xr.Dataset:
    """Return scores of the right layout unchanged; else `ScoresError` names what is wrong."""
    # every array, with its dimensions and type
    inner = not scores.keys().isdisjoint(_INNER)
    for name, (dims, dtype) in (_LAYOUT | _INNER if inner else _LAYOUT).items():
        if name not in scores:
            raise ScoresError(f"these scores have no {name!r}")
        if scores[name].dims != dims or scores[name].dtype != dtype:
            actual = f"{scores[name].dims} {scores[name].dtype}"
            raise ScoresError(f"{name} must be {dims} {np.dtype(dtype)}, not {actual}")
    for name in ("image", "emotion", "left_out") if inner else ("image", "emotion"):
        if name not in scores.coords:
            raise ScoresError(f"these scores have no coordinate {name!r}")
    # one row an image, labels and folds that there are
    if not scores.indexes["image"].is_unique:
        raise ScoresError("two images have the same key")
    for name, end in (("label", scores.sizes["emotion"]), ("fold", 128)):
        outside = (scores[name].values < -1) | (scores[name].values >= end)
        if outside.any():
            image = scores.image.values[outside][0]
            raise ScoresError(f"{image}: its {name} is not in -1..{end - 1}")
    # probabilities exactly where there are regions, and these sum to 1
    missing = np.isnan(scores.objectness.values)
    unscored = np.isnan(scores.region_probability.values).any(axis=-1)
    if (missing != unscored).any():
        image = scores.image.values[(missing != unscored).any(axis=1)][0]
        raise ScoresError(
            f"{image}: a region has an objectness but no probability, or none but one"
        )
    expected = {"global_probability": np.ones(len(missing), bool), "region_probability": ~missing}
    if inner:
        if not scores.indexes["left_out"].is_unique:
            raise ScoresError("a fold is left out twice")
        fold = scores.fold.values[:, None]
        other = (fold >= 0) & (fold != scores.left_out.values)  # (image, left_out)
        expected["inner_global_probability"] = other
        expected["inner_region_probability"] = other[:, :, None] & ~missing[:, None]
    for name, there in expected.items():
        total = scores[name].sum("emotion", skipna=False).values
        if not (np.abs(total - 1)[there] <= 1e-4).all():  # NaN too
            raise ScoresError(f"{name} does not sum to 1 over emotions everywhere")
        if name in _INNER and not np.isnan(total[~there]).all():
            raise ScoresError(f"{name} must be NaN where the fold that is left out is the image's")
    return scores


def save_scores(scores: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write scores as a Zarr store that appears only when it is complete.

    Args:
        scores: in the layout of the notation page.
        path: of the store.
        overwrite: replace what is at `path`.

    Returns:
        The path.

    Raises:
        FileExistsError: there is something at `path` already and `overwrite` is false.

    Example:
        >>> import tempfile
        >>> scores = assemble_scores(["a.jpg"], ["positive", "negative"],
        ...     objectness=[[0.4]], box=[[[0, 0, 8, 6]]], region_probability=[[[0.9, 0.1]]],
        ...     global_probability=[[0.7, 0.3]], label=[0], fold=[-1])
        >>> path = save_scores(scores, Path(tempfile.mkdtemp(), "scores.zarr"))
        >>> open_scores(path).equals(scores)
        True
    """
    with ScoresWriter(path, overwrite=overwrite) as writer:
        for start in range(0, scores.sizes["image"], CHUNK):
            writer.append(scores.isel(image=slice(start, start + CHUNK)))
        writer.attrs.update(scores.attrs)
    return Path(path)


def open_scores(path: str | Path) -> xr.Dataset:
    """Open scores, reading each array when it is first used.

    What is read is what was written: the store lists its files with sizes, checked here, and
    hashes, checked whenever a file is read.

    Args:
        path: of the store, as `save_scores`, `score` or `arlib score` wrote it.

    Returns:
        The scores, in the layout of the notation page.

    Raises:
        ScoresError: no scores there, another layout, or a file that is missing or not as it was
            written; so does an array that is read later.

    Example:
        >>> open_scores("nowhere.zarr")
        Traceback (most recent call last):
        ...
        arlib.scoring.scores.ScoresError: no scores at nowhere.zarr: ...
    """
    from arlib._support.stores import open_store

    path = Path(path)
    if not (path / "zarr.json").is_file():
        raise ScoresError(f"no scores at {path}: `arlib score` or `arlib run` makes them")
    try:
        return check_scores(open_store(path))
    except ScoresError as error:
        raise ScoresError(f"{path}: {error}") from error
    except StoreError as error:
        raise ScoresError(str(error)) from error


class ScoresWriter:
    """Appends full chunks to a new store, which takes its name and `attrs` at the block's end."""

    def __init__(self, path: str | Path, *, overwrite: bool = False, chunk: int = CHUNK):
        self.path, self.overwrite, self.chunk = Path(path), overwrite, chunk
        if overwrite:
            refuse_scores_output(self.path)
        elif os.path.lexists(self.path):
            raise FileExistsError(f"{self.path} exists already: remove it, or ask to overwrite it")
        self.partial = self.path.with_name(f".{self.path.name}.partial-{uuid.uuid4().hex[:12]}")
        self.attrs: dict[str, Any] = {}
        self._images = 0

    def __enter__(self) -> "ScoresWriter":
        self.partial.parent.mkdir(parents=True, exist_ok=True)
        return self

    def append(self, scores: xr.Dataset) -> None:
        """Add images; every call but the last must bring exactly a chunk of them."""
        if self._images % self.chunk:
            raise ValueError(f"only the last part may hold other than {self.chunk} images")
        text = {name: scores[name].astype(object) for name in ("image", "emotion")}
        scores = scores.assign_coords(text).drop_attrs()  # Zarr has no fixed-width text
        if self._images:
            fixed = [name for name, array in scores.variables.items() if "image" not in array.dims]
            varying = scores.drop_vars(fixed)
            varying.to_zarr(self.partial, append_dim="image", consolidated=False)
        else:
            along_image = [str(name) for name in scores.variables if "image" in scores[name].dims]
            from arlib._support.stores import fill_values

            encoding = fill_values(scores)
            for name in along_image:
                encoding[name]["chunks"] = (self.chunk, *scores[name].shape[1:])
            scores.to_zarr(self.partial, mode="w", encoding=encoding, consolidated=False)
        self._images += scores.sizes["image"]

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None or not self._images:
            shutil.rmtree(self.partial, ignore_errors=True)
            if kind is None:
                raise ScoresError(f"no image was scored: nothing is written to {self.path}")
            return
        from arlib._support.stores import finish_store

        try:
            finish_store(self.partial, self.attrs)
            if self.overwrite:
                refuse_scores_output(self.path)
            place_folder(self.partial, self.path, overwrite=self.overwrite)
        except BaseException:
            shutil.rmtree(self.partial, ignore_errors=True)
            raise


def refuse_scores_output(path: Path) -> None:
    """Raise `FileExistsError` where a path holds anything but a finished store."""
    from arlib._support.stores import is_finished_store

    refuse_output(path, ours=is_finished_store, what="a finished store of scores")


def row(index: int, proposals: Proposals, probability: np.ndarray) -> dict[str, Any]:
    """Make an image's row of scores from probabilities (1 + n, M), the full image's first."""
    return {
        "index": index,
        "objectness": proposals.objectness,
        "box": proposals.boxes,
        "region_probability": probability[1:],
        "global_probability": probability[0],
    }


def inner_row(probability: np.ndarray) -> dict[str, Any]:
    """Make what is added to a row by probabilities (left_out, 1 + n, M) of inner heads."""
    return {
        "inner_region_probability": probability[:, 1:],
        "inner_global_probability": probability[:, 0],
    }


def pack(
    rows: list[dict[str, Any]],
    dataset: Dataset,
    regions: int,
    left_out: Sequence[int] | None = None,
) -> xr.Dataset:
    """Pack rows of different lengths into scores, padded with NaN to `regions`."""
    emotions, whole = len(dataset.emotions), ["global_probability"]
    shapes: dict[str, tuple[int, ...]] = {
        "objectness": (regions,),
        "box": (regions, 4),
        "region_probability": (regions, emotions),
    }
    if left_out is not None:
        shapes["inner_region_probability"] = (len(left_out), regions, emotions)
        whole.append("inner_global_probability")
    padded = {
        name: np.full((len(rows), *shape), np.nan, np.float32) for name, shape in shapes.items()
    }
    for number, row in enumerate(rows):
        for name, array in padded.items():
            along = np.s_[:, : row[name].shape[1]] if name in _INNER else np.s_[: len(row[name])]
            array[number][along] = row[name]
    index = np.array([row["index"] for row in rows])
    return assemble_scores(
        dataset.keys[index].tolist(),
        dataset.emotions,
        left_out,
        **padded,
        **{name: np.stack([row[name] for row in rows]) for name in whole},
        label=dataset.labels[index],
        fold=dataset.folds[index],
    )


def proposals_provenance(proposals: Any) -> dict[str, Any]:
    """Name a proposal method, a dataclass, and its settings: JSON values."""
    method = proposals
    while callable(inner := getattr(method, "method", None)):  # that of `Cached` or `Deadline`
        method = inner
    return {"method": type(method).__name__, **asdict(method)}
