"""What is kept in the cache, under a name that changes with the code that it depends on."""

import ast
import importlib
import inspect
import shutil
from pathlib import Path

import pytest

from arlib._support import provenance
from arlib._support.storage import cache_folder
from arlib.experiments import images, stages, trainings

LIBRARY = provenance.ROOT
STAGES = {
    "training": trainings.TRAINING,
    "pcnn": trainings.PCNN,
    "bank": trainings.BANK,
    "scores": stages.SCORING,
    "rows": stages.MEASURING,
    "drawn": images.DRAWN,
    "run": stages.RUN,
}
NETWORKS = {"training", "pcnn", "rows"}
PASSES = {"pcnn", "scores", "rows"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the library, to be changed."""
    root = tmp_path_factory.mktemp("copy") / "arlib"
    shutil.copytree(provenance.ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "ROOT", root)
        yield root, folders()
    provenance.code_sha256.cache_clear()


def folders():
    provenance.code_sha256.cache_clear()
    return {stage: cache_folder("any", {"seed": 0}, *code).name for stage, code in STAGES.items()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("figures/style.py", set()),
        ("publishing/site.py", set()),
        ("cli/table.py", set()),
        ("datasets/checks.py", set()),
        ("datasets/registry.py", set()),
        ("datasets/oasis.py", set()),
        ("experiments/registry.py", set()),
        ("experiments/photographs.py", set()),
        ("_support/progress.py", set()),
        ("scoring/distributed.py", set()),
        ("experiments/stages.py", set()),
        ("experiments/protocol.py", set()),
        ("datasets/images.py", set(STAGES)),
        ("datasets/scenes/generator.py", {"drawn"}),
        ("networks/heads.py", {"scores", "rows"}),
        ("networks/training.py", NETWORKS),
        ("networks/finetuner.py", NETWORKS),
        ("networks/loaders.py", NETWORKS),
        ("scoring/crops.py", PASSES),
        ("proposals/edge_boxes.py", {"scores", "rows"}),
        ("evaluation/metrics.py", {"run"}),
        ("experiments/runs.py", {"run"}),
        ("experiments/baselines/rows.py", {"rows"}),
        ("experiments/baselines/pcnn.py", {"pcnn", "rows"}),
        ("experiments/baselines/sentibank.py", {"bank", "rows"}),
        ("experiments/baselines/lowlevel.py", {"bank", "rows"}),
    ],
)
def test_a_change_of_a_file_changes_the_names_of_what_depends_on_it(copy, path, expected):
    (root, before), text = copy, (copy[0] / path).read_text()
    (root / path).write_text(text + "\nCHANGED = True\n")
    after = folders()
    (root / path).write_text(text)
    assert {stage for stage in STAGES if after[stage] != before[stage]} == expected


def imported(path):
    """Where what a file imports of the library is defined, as Python itself finds it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "arlib":
            for alias in node.names:
                value = getattr(importlib.import_module(node.module), alias.name)
                name = value.__name__ if inspect.ismodule(value) else node.module
                name = getattr(value, "__module__", None) or name
                if name.startswith("arlib."):
                    file = importlib.import_module(name).__file__
                    yield alias.name, Path(file).relative_to(LIBRARY)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_that_its_modules_import(stage):
    files = {path.relative_to(provenance.ROOT) for path in provenance.covered_files(*STAGES[stage])}
    for path in files:
        for name, defined in imported(LIBRARY / path):
            assert defined in files or defined.as_posix() in provenance._BESIDE, (path, name)


def test_what_the_stages_themselves_compute_with_is_in_one_of_them():
    """But for what names, locks, plans and hands settings over, which are in the facts."""
    files = {
        path.relative_to(provenance.ROOT).as_posix()
        for parts in STAGES.values()
        for path in provenance.covered_files(*parts)
    }
    modules = [Path(module.__file__) for module in (stages, trainings, images)]
    needed = {path.as_posix() for each in modules for _, path in imported(each)}
    assert needed - files - provenance._BESIDE == {
        "datasets/__init__.py",
        "experiments/images.py",
        "experiments/planning.py",
        "experiments/protocol.py",
        "experiments/second_process.py",
        "experiments/registry.py",
        "experiments/trainings.py",
        "scoring/distributed.py",
    }
