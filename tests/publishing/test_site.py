"""What a book's pages link to, where its repository has a public address."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from arlib.publishing.hosting import Public
from arlib.publishing.site import build_site, configured

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stage(tmp_path):
    """A staged book of a page and a chapter, with the settings of this one."""
    stage = tmp_path / "source"
    (stage / "book").mkdir(parents=True)
    for folder in ("_static", "_extra"):
        shutil.copytree(ROOT / "book" / folder, stage / "book" / folder)
    shutil.copy(ROOT / "book" / "references.bib", stage / "book")
    shutil.copy(ROOT / "_config.yml", stage)
    chapters = {"caption": "All", "chapters": [{"file": "book/one"}]}
    toc = {"format": "jb-book", "root": "book/index", "parts": [chapters]}
    (stage / "_toc.yml").write_text(yaml.safe_dump(toc))
    (stage / "book" / "index.md").write_text("# A book\n\nOf <3 & *more*.\n")
    cells = [new_markdown_cell("# One\n\nIts text."), new_code_cell("1 + 1")]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    nbformat.write(new_notebook(cells=cells, metadata=metadata), stage / "book" / "one.ipynb")
    return stage


def test_without_an_address_nothing_changes(stage):
    before = (stage / "_config.yml").read_bytes()
    configured(stage, Public())
    assert (stage / "_config.yml").read_bytes() == before


CLONE = "https://github.com/someone/affective"
BINDER = "https://mybinder.org/v2/gh/someone/affective/main?urlpath=lab/tree/book/one.ipynb"
COLAB = "https://colab.research.google.com/github/someone/affective/blob/main/book/one.ipynb"
ON_GITLAB = "https://mybinder.org/v2/gl/someone%2Faffective/main?urlpath=lab/tree/book/one.ipynb"


@pytest.mark.parametrize(
    ("public", "there", "absent"),
    [
        (Public(), [], ["github", "gitlab", "colab", "mybinder"]),
        (Public(CLONE), [CLONE, f"{CLONE}/edit/main/book/one.ipynb", BINDER, COLAB], ["gitlab"]),
        (Public("https://gitlab.com/someone/affective"), [ON_GITLAB], ["colab", "github.com/some"]),
    ],
    ids=["nowhere", "github", "gitlab"],
)
def test_the_built_pages_have_these_links_and_no_others(stage, tmp_path, public, there, absent):
    configured(stage, public)
    site = build_site(stage, tmp_path / "build", public).parent
    page = (site / "book" / "one.html").read_text()
    links = re.findall(r'<a href="([^"]*)"', page)
    for address in there:
        assert address in links
    for word in absent:
        assert not [link for link in links if word in link], word
    assert ("On Colab, put a cell before the first" in page) == public.on_github


def test_the_front_and_the_first_page_say_the_same_of_themselves(stage, tmp_path):
    public = Public(address="http://localhost:8000/book/")
    site = build_site(stage, tmp_path / "build", public).parent
    front, first = ((site / name).read_text() for name in ("index.html", "book/index.html"))
    for said in (
        'property="og:title"',
        "Of &lt;3 &amp; more.",
        "http://localhost:8000/book/book/index.html",
        "http://localhost:8000/book/_static/card.png",
    ):
        assert said in front
        assert said in first
    assert '<meta http-equiv="refresh" content="0; url=book/index.html" />' in front
    assert front.endswith("</html>\n")


def test_binder_installs_what_chapters_need_and_torch_without_cuda():
    folder = ROOT / "binder"
    environment = yaml.safe_load((folder / "environment.yml").read_text())
    assert {"pip", "pytorch-cpu", "torchvision"} <= set(environment["dependencies"])
    script = folder / "postBuild"
    assert script.stat().st_mode & 0o111  # or it is not run
    extras = {"book", "training"}  # papermill and Jupyter; Lightning, for the synthetic scenes
    assert f"--editable '.[{','.join(sorted(extras))}]'" in script.read_text()
    assert f"[{','.join(sorted(extras))}]" in Public(CLONE).first_on_colab()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras <= project["optional-dependencies"].keys()
    code = [line for line in script.read_text().splitlines() if line.startswith("python -c")]
    done = subprocess.run(shlex.split(code[0].replace("python", sys.executable, 1)), check=False)
    assert done.returncode == 0
