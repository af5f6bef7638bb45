"""The package as a whole: what importing costs, who imports whom, what is installed with what."""

import ast
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

# Imports run downwards only: a package imports from the lines above its own.
LAYERS = """
    _support method
    datasets evaluation
    networks proposals
    scoring
    experiments
    figures
    publishing
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
    maths = "arlib.method.algorithm, arlib.method.polarity, arlib.evaluation.metrics"
    assert loads({"torch", "cv2", "PIL", "zarr"}, after=f"import {maths}") == []


def test_what_the_later_chapters_import_knows_no_torch_and_no_opencv():
    first = (
        "arlib.experiments.runs, arlib.figures, arlib.evaluation.metrics, arlib.method.algorithm"
    )
    after = f"import {first}, arlib.experiments.registry, arlib.evaluation.boxes"
    assert loads({"torch", "cv2"}, after=after) == []


def test_scoring_runs_without_opencv():
    assert loads({"cv2"}, after="import arlib.scoring.scorer, arlib.scoring.prediction") == []


def test_every_package_is_reachable():
    for name in arlib.__all__:
        assert getattr(arlib, name) is not None
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages == set(arlib.__all__) - {"Prediction", "predict"} | {"_support"}
    assert [path.name for path in SOURCE.glob("*.py")] == ["__init__.py"]


def test_imports_run_downwards():
    level = {
        name: depth
        for depth, line in enumerate(LAYERS.strip().splitlines())
        for name in line.split()
    }
    for name, path in MODULES.items():
        below = {each.split(".")[1] for each in imported(path) - {"arlib"}}
        for other in below - {name.split(".")[1]} if name != "arlib" else ():
            assert level[other] < level[name.split(".")[1]], f"{name} imports {other}"


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


def test_the_library_has_a_page_for_each_package():
    pages = {page.stem: page.read_text() for page in (ROOT / "book" / "api").glob("*.md")}
    assert set(pages) == set(arlib.__all__) - {"Prediction", "cli", "predict"}
    for name, text in pages.items():
        assert f"automodule:: arlib.{name}\n" in text
        assert f"(api/{name}.md)" in (ROOT / "book" / "api.md").read_text()
