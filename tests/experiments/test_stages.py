"""What is kept in the cache, under a name that changes with the code that it depends on."""

import ast
import importlib
import inspect
import shutil
from pathlib import Path

import pytest

from arlib._support import provenance
from arlib._support.storage import cache_folder
from arlib.experiments import photographs, synthetic

LIBRARY = provenance.ROOT
SYNTHETIC = {
    "training": synthetic.TRAINING,
    "pcnn": synthetic.PCNN,
    "bank": synthetic.BANK,
    "scored": synthetic.SCORING,
}
PHOTOGRAPHS = {"photographs": photographs.TRAINING, "pcnn, photographs": photographs.PCNN}
STAGES = SYNTHETIC | PHOTOGRAPHS
NETWORKS = set(STAGES) - {"bank"}
PCNNS = {"pcnn", "pcnn, photographs"}


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
        ("datasets/images.py", set(STAGES)),
        ("datasets/scenes/generator.py", set(SYNTHETIC)),
        ("networks/heads.py", {"scored"}),
        ("networks/training.py", NETWORKS),
        ("networks/loaders.py", NETWORKS),
        ("scoring/crops.py", {"scored", *PCNNS}),
        ("proposals/edge_boxes.py", {"scored"}),
        ("evaluation/metrics.py", {"scored"}),
        ("experiments/runs.py", {"scored"}),
        ("experiments/baselines/rows.py", {"scored"}),
        ("experiments/baselines/pcnn.py", {"scored", *PCNNS}),
        ("experiments/baselines/sentibank.py", {"scored", "bank"}),
        ("experiments/baselines/lowlevel.py", {"scored", "bank"}),
        ("experiments/synthetic.py", set(SYNTHETIC)),
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
    """But for the protocol's own module, which imports what all its stages need."""
    files = {path.relative_to(provenance.ROOT) for path in provenance.covered_files(*STAGES[stage])}
    for path in files - {Path("experiments/synthetic.py")}:
        for name, defined in imported(LIBRARY / path):
            assert defined in files or defined.as_posix() in provenance._BESIDE, (path, name)


def test_all_that_the_protocol_on_scenes_imports_is_in_its_last_stage():
    """But for the registry, which hands settings over that are in the facts."""
    files = provenance.covered_files(*synthetic.SCORING)
    files = {path.relative_to(provenance.ROOT).as_posix() for path in files}
    needed = {path.as_posix() for _, path in imported(Path(synthetic.__file__))}
    assert needed - files - provenance._BESIDE == {"datasets/registry.py"}
