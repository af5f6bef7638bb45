"""The hash over a module's code: it changes with all that the module stands on, and no more."""

import shutil

import pytest

from arlib._support import provenance as sources


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the library, to be changed."""
    shutil.copytree(sources._ROOT, tmp_path / "arlib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "_ROOT", tmp_path / "arlib")

    def digest(module="arlib.scoring.scorer"):
        sources.modules_below.cache_clear()
        sources.code_sha256.cache_clear()
        return sources.code_sha256(module)

    yield tmp_path / "arlib", digest
    sources.modules_below.cache_clear()
    sources.code_sha256.cache_clear()


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("scoring/scorer.py", True),
        ("scoring/crops.py", True),
        ("datasets/images.py", True),
        ("proposals/edge_boxes.py", True),
        ("networks/tiny.py", True),
        ("figures/style.py", False),
        ("publishing/build.py", False),
        ("method/ranking.py", True),  # Algorithm 1 ends early by it
        ("evaluation/metrics.py", False),
    ],
)
def test_which_modules_count(copy, path, counts):
    root, digest = copy
    before = digest()
    with (root / path).open("a") as file:
        file.write("\n# changed\n")
    assert (digest() != before) == counts


def test_versions_count(copy, monkeypatch):
    _, digest = copy
    before = digest()
    monkeypatch.setattr(sources, "version", lambda _: "0")
    assert digest() != before


def test_no_such_module():
    with pytest.raises(ValueError, match=r"no module 'arlib\.absent'"):
        sources.modules_below("arlib.absent")
