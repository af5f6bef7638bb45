"""The package as a whole: what importing costs, who imports whom, what is installed with what."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import arlib

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "arlib"
MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}

# Imports run downwards only: a module imports from the lines above its own.
LAYERS = """
    replacing locks sources engines early_end polarity scaling
    images boxes sentiment ranking fusion figures.dark tiny
    figures.style proposals.types proposals.checks
    cache calibration datasets.scenes.shapes settings machine intervals processes cluster
    precision choice
    walk edges algorithm scores backbones heads datasets.dataset
    datasets.scenes.world
    datasets.scenes.drawing
    datasets.scenes.sets
    datasets.scenes
    proposals.controls proposals.edge_boxes proposals.selective_search proposals.saliency
    proposals.cached proposals.deadline
    proposals evaluation localization crops significance
    sweeps
    methods
    curves table1 rule2018 failures
    sensitivity
    datasets.lines datasets.walk datasets.labels datasets.assemble datasets.coco
    datasets.folds datasets.folder datasets.twitter1_lists datasets.twitter2 datasets.oasis
    datasets.twitter1 datasets.fi datasets.emotionroi datasets.table datasets.huggingface
    datasets.vso datasets.report datasets.archives
    datasets
    datasets.catalog
    datasets.check datasets.fetch datasets.guide
    data_cli
    shared packing stream recall batches training
    walking
    scorer
    scoring whole finetuning
    jobs
    shards
    work assembly
    sharded
    judges
    controls
    baselines
    baselines.pcnn baselines.lowlevel baselines.former_fusion prediction runs
    baselines.sentibank
    baselines.rows
    networks miniature
    experiment miniature_runs explorer
    shelf workbench
    figures.pictures
    figures.regions figures.fusion figures.experiments figures.proposals figures.training
    figures.localization figures.table1 figures.failures figures.pipeline
    figures
    editions describe pages cards lighter
    execution status public lab shown
    comparing website
    overview
    publishing
    tabulate
    options
    scoring_cli training_cli editions_cli
    cli
"""


def imported(path):
    """Modules of arlib that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("arlib"):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("arlib")}
    return found


def loads(modules, *, after):
    """Which of `modules` are loaded in a fresh interpreter after running a line."""
    code = f"import sys; {after}; print([m for m in {sorted(modules)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_importing_arlib_loads_nothing_heavy():
    heavy = {"torch", "cv2", "sklearn", "pandas", "xarray", "numpy", "matplotlib", "scipy", "PIL"}
    assert loads(heavy, after="import arlib") == []


def test_the_maths_know_no_torch_no_opencv_and_no_files():
    maths = "arlib.sentiment, arlib.ranking, arlib.fusion, arlib.algorithm, arlib.evaluation"
    assert loads({"torch", "cv2", "PIL", "zarr"}, after=f"import {maths}") == []


def test_what_the_later_chapters_import_knows_no_torch_and_no_opencv():
    first = "arlib.runs, arlib.figures, arlib.evaluation, arlib.algorithm"
    after = f"import {first}, arlib.shelf, arlib.localization"
    assert loads({"torch", "cv2"}, after=after) == []


def test_scoring_runs_without_opencv():
    assert loads({"cv2"}, after="import arlib.scoring, arlib.prediction") == []


def test_every_module_is_reachable_from_the_package():
    for name in arlib.__all__:
        assert getattr(arlib, name) is not None
    listed = {name for name in MODULES if name.count(".") == 1}
    assert listed - {f"arlib.{name}" for name in arlib.__all__} == {"arlib.cli"}


def test_imports_run_downwards():
    level = {
        f"arlib.{name}": depth
        for depth, line in enumerate(LAYERS.strip().splitlines())
        for name in line.split()
    }
    unplaced = MODULES.keys() - level.keys() - {"arlib"}
    assert not unplaced, "name the new module in LAYERS"
    for name, path in MODULES.items():
        for other in imported(path) - {"arlib", name}:
            assert level[other] < level[name], f"{name} imports {other}"


def test_modules_stay_short():
    """Most of them under 200 lines, and none far from it."""
    lines = sorted(len(path.read_text().splitlines()) for path in MODULES.values())
    assert lines[int(0.6 * len(lines))] < 200
    assert lines[-1] < 350


def test_conda_and_make_install_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert [entry.split(">")[0] for entry in conda] == ["python", "pip"]
    wanted = " ".join(pip).split()
    script = (ROOT / "tools" / "install.sh").read_text().replace("\\\n", " ").replace("'", "")
    (first, *_) = [line for line in script.splitlines() if "--editable" in line]
    assert first[first.index("--constraint") :].split() == wanted
    assert "tools/install.sh" in (ROOT / "Makefile").read_text()


def test_the_pinned_versions_meet_what_the_package_asks_for():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split(";")[0].strip().split("==")
            pins[name.lower().replace("_", "-")] = version
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["book"], *extras["dev"]]:
        wanted = Requirement(text)
        name = wanted.name.lower().replace("_", "-")
        assert name in pins, f"{name} is not pinned: make constraints"
        assert wanted.specifier.contains(pins[name], prereleases=True), name


@pytest.mark.parametrize(
    "package",
    [
        "jupyter-book",
        "jupyterlab",
        "torch",
        "torchvision",
        "opencv-contrib-python",
        "seaborn",
        "ipywidgets",
        "papermill",
    ],
)
def test_the_packages_that_were_settled_are_required(package):
    text = (ROOT / "pyproject.toml").read_text()
    assert f'"{package}>=' in text


def test_ci_calls_the_test_command_of_the_readme():
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


def test_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == arlib.__version__ == citation["version"]


def test_the_page_of_the_library_names_every_module():
    """Or the package that gives its contents: of datasets, proposals and figures."""
    pages = [page.read_text() for page in (ROOT / "book" / "api").glob("*.md")]
    named = set(re.findall(r"automodule:: (\S+)", "".join(pages)))
    whole = ("arlib.datasets.", "arlib.proposals.", "arlib.figures.")
    left_out = {"arlib", "arlib.baselines", "arlib.cli", "arlib.options"}
    commands = {name for name in MODULES if name.endswith("_cli")}
    missing = {name for name in MODULES if not name.startswith(whole)}
    assert not missing - named - left_out - commands
