"""The package as a whole: what importing costs, who imports whom, what is installed with what."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import yaml

import arlib

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "arlib"
MODULES = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}

PACKAGES = sorted(set(arlib.__all__) - {"Prediction", "predict"})


def loads(modules, *, after):
    """Which of `modules` are loaded in a fresh interpreter after running a line."""
    code = f"import sys; {after}; print([m for m in {sorted(modules)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_importing_arlib_loads_nothing_heavy():
    heavy = {"torch", "cv2", "sklearn", "pandas", "xarray", "numpy", "matplotlib", "scipy", "PIL"}
    assert loads(heavy, after="import arlib") == []


def test_the_maths_know_no_torch_no_opencv_and_no_files():
    """Every exported name, used: what is lazy is loaded."""
    load = "import arlib; [getattr(p, n) for p in (arlib.method, arlib.evaluation) for n in dir(p)]"
    assert loads({"torch", "cv2", "PIL", "zarr"}, after=load) == []


def test_what_the_later_chapters_import_knows_no_torch_and_no_opencv():
    after = "from arlib.experiments import find_run, open_run; import arlib.figures as f; "
    assert loads({"torch", "cv2"}, after=after + "f.plot_table, f.plot_sweeps") == []


def test_the_images_of_a_run_on_scenes_are_drawn_without_torch():
    experiment = "{'protocol': asdict(scenes_protocol(scale=0.01)), 'dataset': 'scenes-folded'}"
    after = (
        "from dataclasses import asdict; from types import SimpleNamespace; "
        "from arlib.experiments import images_of, scenes_protocol; "
        f"images_of(SimpleNamespace(facts={{'experiment': {experiment}}})).read(0)"
    )
    assert loads({"torch", "cv2"}, after=after) == []


def test_scoring_runs_without_opencv():
    assert loads({"cv2"}, after="import arlib.scoring.scorer, arlib.scoring.prediction") == []


def test_every_package_is_reachable():
    for name in arlib.__all__:
        assert getattr(arlib, name) is not None
    assert {path.parent.name for path in SOURCE.glob("*/__init__.py")} == {*PACKAGES, "_support"}
    assert [path.name for path in SOURCE.glob("*.py")] == ["__init__.py"]


def test_the_exported_names_are_pinned():
    """A new export is a decision: it is added to the list by hand."""
    pinned = (ROOT / "tests" / "exported_names.txt").read_text().split()
    packages = [*(f"arlib.{name}" for name in PACKAGES), "arlib.datasets.scenes", "arlib"]
    exported = [
        f"{package}.{name}"
        for package in packages
        for name in importlib.import_module(package).__all__
        if f"arlib.{name}" not in packages
    ]
    assert pinned == sorted(exported)


def test_everything_exported_is_there():
    for line in (ROOT / "tests" / "exported_names.txt").read_text().split():
        package, _, name = line.rpartition(".")
        assert getattr(importlib.import_module(package), name) is not None


def test_imports_run_downwards_by_the_linter():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


def test_the_picture_of_the_packages_shows_the_layers_that_are_checked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = project["tool"]["importlinter"]["contracts"]
    layers = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
    picture = ET.parse(ROOT / "book" / "_static" / "packages.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    groups = [each for each in picture.iter(f"{name}g") if each.get("class") == "layer"]
    shown = [
        [text.text for text in group.iter(f"{name}text") if text.get("class") == "package"]
        for group in groups
    ]
    assert shown == layers
    heights = [{float(rect.get("y")) for rect in group.iter(f"{name}rect")} for group in groups]
    assert all(len(height) == 1 for height in heights)
    tops = [height.pop() for height in heights]
    assert tops == sorted(tops), "the first layer is on top"


def imports_past_a_door(text, own=()):
    """Imports of a package's modules in code that does not belong to the package."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("arlib."):
            package, _, module = node.module.removeprefix("arlib.").partition(".")
            if module and module != "scenes" and package not in {*own, "_support"}:
                yield f"from {node.module} import ..."


def test_nobody_imports_past_a_packages_door():
    """But its own modules and tests; the book's and JupyterLab's tests are publishing's."""
    places = [(path, {path.relative_to(SOURCE).parts[0]}) for path in SOURCE.rglob("*.py")]
    for path in (ROOT / "tests").rglob("*.py"):
        own = path.relative_to(ROOT / "tests").parts[0]
        places.append((path, {"publishing" if own in ("book", "lab_server.py") else own}))
    places += [(path, set()) for path in (ROOT / "tools").glob("*.py")]
    past = {path: list(imports_past_a_door(path.read_text(), own)) for path, own in places}
    for path in (ROOT / "book").glob("*.ipynb"):
        cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        code = "\n".join(line for line in "\n".join(cells).splitlines() if line[:1] not in "%!")
        past[path] = list(imports_past_a_door(code))
    assert not {str(path): lines for path, lines in past.items() if lines}


def test_the_books_links_are_to_exported_names():
    """What the library's pages do not document is no link, and shows a path past the door."""
    pinned = (ROOT / "tests" / "exported_names.txt").read_text().split()
    pages = [*(ROOT / "book").rglob("*.md"), *(ROOT / "book").glob("*.ipynb")]
    links = {
        link
        for page in pages
        for link in re.findall(
            r"(?<!`)(?:{py:\w+})?`(arlib\.\w+\.[\w.]+)`(?!`)", page.read_text(encoding="utf-8")
        )
    }
    assert len(links) > 10
    assert not links - set(pinned)


def test_conda_and_make_install_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert [entry.split(">")[0] for entry in conda] == ["python", "pip"]
    wanted = " ".join(pip).split()
    script = (ROOT / "tools" / "install.sh").read_text().replace("\\\n", " ").replace("'", "")
    (first, *_) = [line for line in script.splitlines() if "--editable" in line]
    assert first[first.index("--constraint") :].split(";")[0].split() == wanted
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
    for text in [*project["dependencies"], *extras["book"], *extras["cpu"], *extras["dev"]]:
        wanted = Requirement(text)
        name = wanted.name.lower().replace("_", "-")
        assert name in pins, f"{name} is not pinned: make constraints"
        assert wanted.specifier.contains(pins[name], prereleases=True), name


def test_ci_calls_the_test_command_of_the_readme():
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


def test_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == arlib.__version__ == citation["version"]


def test_the_library_has_a_page_for_each_package():
    pages = {page.stem: page.read_text() for page in (ROOT / "book" / "api").glob("*.md")}
    assert set(pages) == set(PACKAGES) - {"cli"}
    for name, text in pages.items():
        assert f"automodule:: arlib.{name}\n" in text
        assert f"(api/{name}.md)" in (ROOT / "book" / "api.md").read_text()
