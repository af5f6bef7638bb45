"""Table 1 of an edition, of runs, or of two runs against each other, as text, CSV or JSON."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from arlib.evaluation.methods import Run, Unavailable, methods
from arlib.evaluation.significance import fold_means, mcnemar
from arlib.evaluation.table1 import column, columns_of, paper_table
from arlib.method import usable_base

if TYPE_CHECKING:
    pass


log = logging.getLogger(__name__)


def table_of(runs: Iterable[Run], **settings: Any) -> dict[str, pd.DataFrame]:
    """Fill every column of the runs: column -> `column`'s table.

    Raises:
        ValueError: two columns have one name.
    """
    tables: dict[str, pd.DataFrame] = {}
    for one in (part for every in runs for part in columns_of(every)):
        if one.name in tables:
            raise ValueError(f"two columns are called {one.name}: --compare tells them apart")
        tables[one.name] = column(one, **settings)
    return tables


def compare_runs(one: Run, other: Run, *, n_bootstrap: int = 1000) -> pd.DataFrame:
    """Tell how far apart two runs are, row by row.

    Of the same images, the interval is that of the images' own differences, resampled. Of other
    images it is put together from the two accuracies' intervals, by MOVER (Newcombe, Statistics
    in Medicine 17, 1998): from each difference of a limit and its estimate, squared and added.

    Args:
        one: a run.
        other: a run; where it judged the same images, differences are paired.
        n_bootstrap: resamples behind each interval.

    Returns:
        A row a method that both have: ``one``, ``other``, ``difference`` (other - one), ``low``,
        ``high`` (95 %, over images) and, where the images are the same, ``p`` (McNemar's exact);
        NaN otherwise.
    """
    paired = one.scores.image.values.tolist() == other.scores.image.values.tolist()
    rows: dict[str, list[float]] = {}
    for method in methods():
        try:
            said = [method.judge(run).response for run in (one, other)]
        except Unavailable:
            continue
        rows[method.name] = (_paired if paired else _apart)(one, other, said, n_bootstrap)
    names = ["one", "other", "difference", "low", "high", "p"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    return table.rename_axis("method")


def as_text(tables: Mapping[str, pd.DataFrame]) -> str:
    """Show columns as people read them, with the paper's own below."""
    parts = ["Accuracy in %: mean over folds [95 % interval over images]", "", _grid(tables), ""]
    parts += ["* differs from VGGNet + ft (McNemar's exact test, Holm-adjusted p < 0.05)"]
    parts += ["v lies below the majority line", ""]
    for name, table in tables.items():
        parts += [name, _details(table), ""]
    return "\n".join([*parts, _paper()])


def as_csv(tables: Mapping[str, pd.DataFrame]) -> str:
    """Every number of every column, one row a method and column."""
    return pd.concat(dict(tables), names=["column"]).to_csv()


def as_json(tables: Mapping[str, pd.DataFrame]) -> str:
    """The same as JSON: column -> method -> number; null where there is none."""
    return json.dumps({name: _filled(table) for name, table in tables.items()}, indent=1)


def comparison_as_json(table: pd.DataFrame) -> str:
    """`compare_runs`' table as JSON: method -> number; null where there is none."""
    return json.dumps(_filled(table), indent=1)


def predictions(runs: Iterable[Run]) -> pd.DataFrame:
    """What every row says of every image: run, image, label, fold, method, each emotion's share."""
    parts = []
    for run in runs:
        emotions = run.scores.emotion.values.tolist()
        for method in methods(base=usable_base(len(emotions))):
            try:
                response = method.judge(run).response
            except Unavailable:
                continue
            shares = response / response.sum(-1, keepdims=True)
            part = pd.DataFrame(shares.round(6), columns=emotions)
            part.insert(0, "method", method.name)
            part.insert(0, "fold", run.scores.fold.values)
            part.insert(0, "label", run.labels)
            part.insert(0, "image", run.scores.image.values)
            part.insert(0, "run", run.name)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def cell(row: pd.Series) -> str:
    """One cell: 71.0 [68.2, 73.9], with its marks; a dash where there is no number."""
    if np.isnan(row.accuracy):
        return "–"
    low, high = 100 * row.low, 100 * row.high
    marks = ("*" if row.p_holm < 0.05 else "") + ("v" if row.accuracy < row.majority else "")
    return f"{100 * row.accuracy:.1f} [{low:.1f}, {high:.1f}]{marks:<2}"


def _filled(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return table.astype(object).where(table.notna(), None).to_dict(orient="index")


def _grid(tables: Mapping[str, pd.DataFrame]) -> str:
    grid = pd.DataFrame({name: table.apply(cell, axis=1) for name, table in tables.items()})
    heads = {name: _head(name, table) for name, table in tables.items()}
    grid = grid.rename(columns=heads)
    grid.loc["always the commonest label"] = [
        f"{100 * table.majority.max():.1f}" for table in tables.values()
    ]
    return grid.rename_axis(None).to_string()


def _head(name: str, table: pd.DataFrame) -> str:
    images = table.images.max()
    return f"{name} (n = {images:.0f})"


def _details(table: pd.DataFrame) -> str:
    """What changed, what was picked, what is missing."""
    shown = table[["balanced_accuracy", "auc", "could", "changed", "fixed", "broken", "p_holm"]]
    there = shown[table.accuracy.notna()]
    whole = ["could", "changed", "fixed", "broken"]
    text = there.map("{:.3f}".format)
    text[whole] = there[whole].map("{:.0f}".format)
    lines = [text.replace("nan", "").rename_axis(None).to_string()]
    for name, row in table.iterrows():
        if row.note:
            lines.append(f"  {name}: {row.note}")
        if not np.isnan(row.picked):
            lines.append(
                f"  {name}: picked on the tested images, K = {row.picked_k:.0f} would give "
                f"{100 * row.picked:.1f}"
            )
    return "\n".join(lines)


def _paper() -> str:
    table = paper_table()
    shown = (100 * table).map("{:.1f}".format)
    shown.loc["always the commonest label"] = [
        "not known" if np.isnan(rate) else f"{100 * rate:.1f}"
        for rate in table.attrs["majority"].values()
    ]
    return f"The paper's own table, of other data and another network\n{shown.to_string()}\n"


def _paired(one: Run, other: Run, said: Sequence[np.ndarray], n_bootstrap: int) -> list[float]:
    usable = (one.labels >= 0) & np.isfinite(said[0]).all(-1) & np.isfinite(said[1]).all(-1)
    labels = [response.argmax(-1)[usable] for response in said]
    truth, folds = one.labels[usable], one.folds[usable]
    hits = np.stack([found == truth for found in labels]).astype(float)
    means, _, _ = fold_means(hits, folds, n_bootstrap=1)
    apart = fold_means(hits[1] - hits[0], folds, n_bootstrap=n_bootstrap)
    return [*map(float, (*means, *apart)), mcnemar(labels[0], labels[1], truth)]


def _apart(one: Run, other: Run, said: Sequence[np.ndarray], n_bootstrap: int) -> list[float]:
    """Of different images: the interval of the difference from the two intervals, by MOVER."""
    found = []
    for run, response in zip((one, other), said, strict=True):
        usable = (run.labels >= 0) & np.isfinite(response).all(-1)
        hit = (response.argmax(-1) == run.labels)[usable]
        found.append(fold_means(hit, run.folds[usable], n_bootstrap=n_bootstrap))
    (a, a_low, a_high), (b, b_low, b_high) = [list(map(float, one)) for one in found]
    low = b - a - np.hypot(b - b_low, a_high - a)
    high = b - a + np.hypot(b_high - b, a - a_low)
    return [a, b, b - a, float(low), float(high), float("nan")]
