"""What is kept in the cache, under a name that changes with the code that it depends on."""

import ast
import shutil

import pytest

from arlib._support import provenance
from arlib._support.storage import cache_folder
from arlib.experiments import photographs, synthetic

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
        ("experiments/registry.py", set()),
        ("datasets/images.py", set(STAGES)),
        ("networks/heads.py", NETWORKS),
        ("networks/training.py", NETWORKS),
        ("scoring/crops.py", {"scored", *PCNNS}),
        ("proposals/edge_boxes.py", {"scored", *PCNNS}),
        ("evaluation/metrics.py", {"scored"}),
        ("experiments/runs.py", {"scored"}),
        ("experiments/baselines/rows.py", {"scored"}),
        ("experiments/baselines/pcnn.py", {"scored", *PCNNS}),
        ("experiments/baselines/sentibank.py", {"scored", "bank"}),
        ("experiments/baselines/lowlevel.py", {"scored", "bank"}),
        ("experiments/synthetic.py", set(SYNTHETIC)),
        ("experiments/photographs.py", set()),
    ],
)
def test_a_change_of_a_file_changes_the_names_of_what_depends_on_it(copy, path, expected):
    (root, before), text = copy, (copy[0] / path).read_text()
    (root / path).write_text(text + "\n# changed\n")
    after = folders()
    (root / path).write_text(text)
    assert {stage for stage in STAGES if after[stage] != before[stage]} == expected


def imported(path):
    """Modules and packages of the library that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "arlib":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in [node.module] if node.module != "arlib" else names:
                yield provenance.ROOT.joinpath(*name.split(".")[1:])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_that_its_modules_import(stage):
    """But for the protocols' own modules, which import what all their stages need."""
    covered = {path for part in STAGES[stage] for path in provenance._files(part)}
    modules = [provenance.ROOT.joinpath(*part.split(".")) for part in STAGES[stage]]
    modules = [module.with_suffix(".py") for module in modules if not module.is_dir()]
    for module in modules:
        if module.stem in ("synthetic", "photographs"):
            continue
        for name in imported(module):
            paths = {name.with_suffix(".py")} if not name.is_dir() else set(name.rglob("*.py"))
            assert paths <= covered, f"{module.stem} imports {name}"
