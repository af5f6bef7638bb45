"""Built pages: finished in one pass, with a card and links; addresses are checked."""

import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image
from tests.publishing.conftest import ends

from arlib.publishing.chapters import INJECTED
from arlib.publishing.editions import EditionError
from arlib.publishing.site import (
    CARD,
    add_downloads,
    build_site,
    card_tags,
    checked_address,
    colab_cell,
    configure,
    finish_pages,
    fix_page,
    for_sphinx,
    front_page,
    page_card,
    page_for_sphinx,
)

ROOT = Path(__file__).parents[2]


def text_for_sphinx(text, **values):
    """Turn a cell's text into what Sphinx reads, with the values of its expressions as texts."""
    kept = [
        {"expression": name, "result": {"status": "ok", "data": {"text/plain": repr(value)}}}
        for name, value in values.items()
    ]
    cell = new_markdown_cell(text, metadata={"user_expressions": kept})
    (done,) = for_sphinx(new_notebook(cells=[cell])).cells
    assert cell.source == text
    return done.source


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("It is {eval}`x`, **{eval}`y`**.", r"It is a\_b \<i\> \$2\$, **5%**."),
        ("[Sun et al., 2016](references.md#sun2016) and", "{cite}`sun2016` and"),
        ("[Late fusion](glossary.md#late%20fusion)", "{term}`Late fusion <late fusion>`"),
        ("by [Eq. 2](04_a.ipynb#eq-ar), [Eq. 1](#eq-s)", "by {eq}`eq-ar`, {eq}`eq-s`"),
        ("```{math}\n:label: eq-a\n:enumerator: 1\nx\n```", "```{math}\n:label: eq-a\nx\n```"),
        ("```{math}\n:enumerator: 1.2\nx\n```\nis", "```{math}\nx \\tag{1.2}\n```\nis"),
        (
            "call `arlib.method.late_fusion` or `arlib run`",
            "call {py:obj}`arlib.method.late_fusion` or `arlib run`",
        ),
        ("[Chapter 4](04_a.ipynb), [x](glossary.md)", "[Chapter 4](04_a.ipynb), [x](glossary.md)"),
        (
            "```python\nf('`arlib.x`')\n```\n`arlib.x`",
            "```python\nf('`arlib.x`')\n```\n{py:obj}`arlib.x`",
        ),
        (
            "```{note}\n`arlib.x`\n```\n`arlib.x`",
            "```{note}\n{py:obj}`arlib.x`\n```\n{py:obj}`arlib.x`",
        ),
        ("`a` {eval}`y` {eq}`eq-a`", "`a` 5% {eq}`eq-a`"),
    ],
)
def test_what_jupyterlab_renders_becomes_what_sphinx_has_for_it(text, read):
    assert text_for_sphinx(text, x="a_b <i> $2$", y="5%") == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("[(A, 2016)](../references.md#a2016) and", "{cite}`a2016` and"),
        ("[nested](../glossary.md#nested%20choice)", "{term}`nested <nested choice>`"),
        ("[Eq. 2](../04_a.ipynb#eq-ar)", "{eq}`eq-ar`"),
        (
            "```{glossary}\none\n: 1: a\n\ntwo\n: [x](references.md#y)\n```\n: z",
            "```{glossary}\none\n  1: a\n\ntwo\n  {cite}`y`\n```\n: z",
        ),
        (
            "# R\n<!-- sources -->\n[1] A\n<!-- /sources -->\nB",
            "# R\n```{bibliography}\n:style: plain\n```\nB",
        ),
    ],
)
def test_a_page_too_becomes_what_sphinx_has_for_it(text, read):
    assert page_for_sphinx(text) == read


def test_an_expression_without_a_value_is_refused():
    with pytest.raises(EditionError, match=r"^not evaluated: \{eval\}`z`$"):
        text_for_sphinx("{eval}`x` {eval}`z`", x="1")


def figure(name, **more):
    return new_code_cell("plot()", metadata={"mystnb": {"figure": {"name": name, **more}}})


def test_parameters_are_folded_on_the_site_alone():
    tags = ["parameters", INJECTED, "thumbnail"]
    given = [new_code_cell("k = 8", metadata={"tags": [tag]}) for tag in tags]
    done = for_sphinx(new_notebook(cells=given)).cells
    folded = ["hide-input" in cell.metadata.tags for cell in done]
    assert folded == [True, True, False]
    shown = [cell.metadata.mystnb.code_prompt_show for cell in done[:2]]
    assert shown == ["Show the parameters", "Show what this edition sets"]
    assert [cell.metadata.tags for cell in given] == [[tag] for tag in tags]


def test_the_text_in_italics_below_a_figure_becomes_its_caption():
    texts = ["*One of $K$, see [Eq. 2](#eq-a).*\n\nMore *text*.", "*Two.*", "*Not* a caption."]
    one, two, three = map(new_markdown_cell, texts)
    cells = [figure("fig-a"), one, figure("fig-b"), two, figure("fig-c", caption="Own."), three]
    done = for_sphinx(new_notebook(cells=cells)).cells
    captions = [cell.metadata.mystnb.figure.caption for cell in done[::2]]
    assert captions == ["One of $K$, see {eq}`eq-a`.", "Two.", "Own."]
    assert [cell.source for cell in done[1::2]] == ["More *text*.", "", "*Not* a caption."]
    assert "caption" not in cells[0].metadata.mystnb.figure
    for after in ([three], [], [figure("fig-d"), one]):
        with pytest.raises(EditionError, match="no caption in italics below fig-b"):
            for_sphinx(new_notebook(cells=[figure("fig-b"), *after]))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "someone/affective",
        "http://github.com/someone/affective",
        "https://github.com/someone",
        "https://github.com/someone/",
        "https://github.com/someone/affective/tree/main",
        "https://github.com/someone/..",
        "https://github.com.example.org/someone/affective",
        "https://github.com/someone/affective && rm -r .",
        'https://github.com/someone/"affective',
        "https://github.com/someone/affective\n",
        "https://codeberg.org/someone/affective",
    ],
)
def test_what_is_no_repository_is_refused(address):
    with pytest.raises(
        EditionError, match=r"is no repository such as https://github\.com/OWNER/NAME"
    ):
        checked_address("repository", address)


@pytest.mark.parametrize(
    "address", ["", "a.org", "ftp://a.org", "javascript:alert(1)", 'https://a.org/"', "https://a b"]
)
def test_what_is_no_address_of_a_site_is_refused(address):
    with pytest.raises(EditionError, match=r"is no address such as https://OWNER\.github\.io/NAME"):
        checked_address("address", address)


@pytest.mark.parametrize("name", ["affective", "a.b-c_d", "1", ".github"])
def test_repositories(name):
    repository = checked_address("repository", f"https://github.com/some-one/{name}/")
    assert repository == f"https://github.com/some-one/{name}"
    assert colab_cell(repository).splitlines()[-1] == f"%cd {name}/book"


@pytest.mark.parametrize(
    "address", ["https://a.org", "http://localhost:8000/b", "https://a.org/~b"]
)
def test_addresses(address):
    for form in (address, f"{address}/"):
        assert checked_address("address", form) == address


def test_colab_opens_repositories_on_github_alone():
    assert colab_cell("https://gitlab.com/someone/affective") is None
    assert colab_cell(None) is None


THEBE = """<head>
    <link rel="stylesheet" href="../_static/sphinx-thebe.css?v=4fa983c6" />
    <script src="../_static/scripts/fontawesome.js?digest=55"></script>
    <script src="../_static/scripts/bootstrap.js?digest=55"></script>
    <script>const THEBE_JS_URL = "https://unpkg.com/thebe"; const thebe_selector = ".cell"</script>
    <script async="async" src="../_static/sphinx-thebe.js?v=c100c467"></script>
    <script>const THEBE_JS_URL = "https://unpkg.com/thebe"; const thebe_selector = ".cell"</script>
    <script>DOCUMENTATION_OPTIONS.pagename = 'book/one';</script>
</head>"""


def test_scripts_that_no_page_uses_are_removed():
    assert (
        fix_page(THEBE)
        == """<head>
    <script src="../_static/scripts/bootstrap.js?digest=55"></script>
    <script>DOCUMENTATION_OPTIONS.pagename = 'book/one';</script>
</head>"""
    )


def test_roles_and_tables():
    references = '<div role="list"><div class="citation" role="doc-biblioentry">[1]</div></div>'
    assert (
        fix_page(references)
        == '<div role="list"><div class="citation" role="listitem">[1]</div></div>'
    )
    table = '<table border="1" class="dataframe facts"><tr><td>1</td></tr></table>'
    assert fix_page(table) == table.replace('border="1"', 'tabindex="0"')


def test_text_about_them_is_left_alone():
    text = "<p>The constant THEBE_JS_URL, sphinx-thebe.css and fontawesome.js.</p>"
    assert fix_page(text) == text
    assert fix_page(fix_page(THEBE)) == fix_page(THEBE)


def test_what_unfolds_pages_below_has_a_name():
    fold = '<details><summary><span class="toctree-toggle" role="presentation"></span></summary>'
    assert '<summary aria-label="Pages below"><span' in fix_page(fold)


@pytest.mark.parametrize("name", ["a&b.ipynb", 'a"><script>.ipynb'])
def test_names_in_links_are_texts(name):
    page = add_downloads("<article>T</article><article>U</article>", {"with outputs": name})
    assert page.startswith("<article>T</article><article>U<p")
    assert "<script>" not in page
    assert "a&b" not in page


def meta_elements(page):
    """Name -> content of a page's meta elements, as a browser reads them."""
    soup = BeautifulSoup(page, "html.parser")
    named = soup.select("meta[property], meta[name]")
    return {meta.get("property") or meta["name"]: meta["content"] for meta in named}


PAGE = "<html><head><title>{} &#8212; A book</title></head><body><article>{}</article></html>"


def card(title, article):
    return page_card(PAGE.format(title, article), "A book")


def tags(title, article, name, root):
    return meta_elements(card_tags(card(title, article), name, root))


def test_a_page_has_its_title_and_its_first_paragraph_on_its_card():
    elements = tags("One", "<p>Its text.</p><p>More.</p>", "book/guide/one", "../../")
    assert elements["og:title"] == "One"
    assert elements["description"] == elements["og:description"] == "Its text."
    assert elements["og:image"] == f"../../{CARD['og:image']}"
    assert elements["twitter:card"] == "summary_large_image"
    assert "og:url" not in elements  # where no address is known
    assert tags("A book", "", "book/index", "../")["og:title"] == "A book"


def test_with_an_address_image_and_page_are_absolute():
    elements = tags("One", "", "book/one", "https://a.org/b/")
    assert elements["og:url"] == "https://a.org/b/book/one.html"
    assert elements["og:image"] == f"https://a.org/b/{CARD['og:image']}"
    assert "description" not in elements  # it has no paragraph


MARKUP = "\"><script>alert(1)</script> & 'x'"


def test_markup_in_a_title_or_a_paragraph_is_text():
    escaped = MARKUP.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    markup_card = card(escaped, f"<p>{escaped}</p>")
    for page in (
        card_tags(markup_card, "book/one", "../"),
        front_page(markup_card, "book/one", ""),
    ):
        assert meta_elements(page)["og:title"] == MARKUP
        assert meta_elements(page)["og:description"] == MARKUP
        assert BeautifulSoup(page, "html.parser").find("script") is None


@pytest.mark.parametrize(
    ("paragraph", "description"),
    [
        ("Short.", "Short."),
        ("One. " + "word " * 60, "One. " + "word " * 38 + "…"),
        (r"The \(\alpha\) of <b>Eq. 2</b> [Sun et al., 2016].", "The alpha of Eq. 2."),
    ],
)
def test_a_description_is_short_plain_text(paragraph, description):
    text = card("One", f"<p>{paragraph}</p>")["og:description"]
    assert text == description
    assert len(text) <= 200


def test_the_image_of_the_card_is_what_the_tool_draws():
    drawn = runpy.run_path(str(ROOT / "tools" / "social_card.py"))["draw"]()
    path = ROOT / "book" / CARD["og:image"]
    assert path.stat().st_size < 150_000
    kept = Image.open(path)
    assert kept.size == drawn.size == (1200, 630)
    apart = np.asarray(kept.convert("RGB"), float) - np.asarray(drawn.convert("RGB"), float)
    assert np.abs(apart).mean() < 3  # a font's rendering may differ a little


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


def test_without_a_repository_the_configuration_stays(stage):
    before = (stage / "_config.yml").read_bytes()
    configure(stage, None)
    assert (stage / "_config.yml").read_bytes() == before


CLONE = "https://github.com/someone/affective"


BINDER = "https://mybinder.org/v2/gh/someone/affective/main?urlpath=lab/tree/book/one.ipynb"


COLAB = "https://colab.research.google.com/github/someone/affective/blob/main/book/one.ipynb"


ON_GITLAB = "https://mybinder.org/v2/gl/someone%2Faffective/main?urlpath=lab/tree/book/one.ipynb"


LINKS = {
    None: ([], ["github", "gitlab", "colab", "mybinder"]),
    CLONE: ([CLONE, f"{CLONE}/edit/main/book/one.ipynb", BINDER, COLAB], ["gitlab"]),
    "https://gitlab.com/someone/affective": ([ON_GITLAB], ["colab", "github.com/some"]),
}


def has_its_links_and_no_others(site, repository):
    page = (site / "book" / "one.html").read_text()
    links, (present, absent) = re.findall(r'<a href="([^"]*)"', page), LINKS[repository]
    for address in present:
        assert address in links
    for word in absent:
        assert not [link for link in links if word in link], word
    assert ("On Colab, put a cell before the first" in page) == (repository == CLONE)


def test_the_built_pages_have_links_to_their_repository_and_their_card(stage, tmp_path):
    """The front and the first page have the same card."""
    address = "http://localhost:8000/book"
    site = build_site(stage, tmp_path / "build", repository=CLONE, address=address).parent
    has_its_links_and_no_others(site, CLONE)
    front, first = ((site / name).read_text() for name in ("index.html", "book/index.html"))
    for text in (
        'property="og:title"',
        "Of &lt;3 &amp; more.",
        "http://localhost:8000/book/book/index.html",
        "http://localhost:8000/book/_static/card.png",
    ):
        assert text in front
        assert text in first
    assert '<meta http-equiv="refresh" content="0; url=book/index.html" />' in front
    assert front.endswith("</html>\n")


@pytest.mark.slow  # the site of the smoke edition has no repository either
@pytest.mark.parametrize("repository", [each for each in LINKS if each != CLONE])
def test_without_a_repository_or_with_one_on_gitlab_there_are_fewer_links(
    stage, tmp_path, repository
):
    site = build_site(stage, tmp_path / "build", repository=repository).parent
    has_its_links_and_no_others(site, repository)


def test_a_page_that_is_missing_or_incomplete_is_refused(stage, tmp_path):
    pages = {"index": "<html></html>", "one": "<html><body>cut"}
    (tmp_path / "site" / "book").mkdir(parents=True)
    for name, text in pages.items():
        with pytest.raises(EditionError, match=f"its page book/{name} is missing"):
            finish_pages(stage, tmp_path / "site", None, None)
        (tmp_path / "site" / "book" / f"{name}.html").write_text(text)
    with pytest.raises(EditionError, match="its page book/one is incomplete"):
        finish_pages(stage, tmp_path / "site", None, None)


def test_binder_installs_what_chapters_need_and_torch_without_cuda(tmp_path):
    folder = ROOT / "binder"
    environment = yaml.safe_load((folder / "environment.yml").read_text())
    assert {"pip", "pytorch-cpu", "torchvision"} <= set(environment["dependencies"])
    script = folder / "postBuild"
    assert script.stat().st_mode & 0o111  # or it is not run
    extras = {"book", "training"}  # papermill and Jupyter; Lightning, for the synthetic scenes
    assert f"--editable '.[{','.join(sorted(extras))}]'" in script.read_text()
    assert f"[{','.join(sorted(extras))}]" in colab_cell(CLONE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras <= project["optional-dependencies"].keys()
    code = [line for line in script.read_text().splitlines() if line.startswith("python -c")]
    done = subprocess.run(shlex.split(code[0].replace("python", sys.executable, 1)), check=False)
    assert done.returncode == 0
    (line,) = [line for line in script.read_text().splitlines() if "labconfig" in line]
    subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env={**os.environ, "HOME": str(tmp_path)}, check=True
    )
    assert (tmp_path / ".jupyter" / "labconfig" / "default_setting_overrides.json").is_file()


def test_a_killed_process_leaves_no_jupyter_book(tmp_path):
    package = tmp_path / "jupyter_book" / "cli"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "main.py").write_text("""import os, pathlib, signal, time
def main():
    pathlib.Path("pid").write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
""")
    code = "from arlib.publishing.site import Path, build_site; build_site(Path('a'), Path('b'))"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    killed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert ends(int((tmp_path / "pid").read_text()))
