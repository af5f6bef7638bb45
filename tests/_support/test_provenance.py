"""The hash over code: it changes with all that a part depends on, and with no more."""

import shutil

import pytest

from arlib._support import provenance


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the library, to be changed."""
    root = tmp_path / "arlib"
    shutil.copytree(provenance.ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "ROOT", root)

    def digest(*parts):
        provenance.code_sha256.cache_clear()
        return provenance.code_sha256(*parts)

    yield root, digest
    provenance.code_sha256.cache_clear()


@pytest.mark.parametrize(
    ("part", "path", "counts"),
    [
        ("scoring", "scoring/scorer.py", True),
        ("scoring", "scoring/crops.py", True),
        ("scoring", "datasets/images.py", True),
        ("scoring", "datasets/scenes/generator.py", True),
        ("scoring", "proposals/edge_boxes.py", True),
        ("scoring", "networks/tiny.py", True),
        ("scoring", "method/ranking.py", True),
        ("scoring", "_support/storage.py", True),
        ("scoring", "evaluation/metrics.py", False),
        ("scoring", "experiments/runs.py", False),
        ("scoring", "figures/style.py", False),
        ("networks", "networks/finetuning.py", True),
        ("networks", "scoring/crops.py", False),
        ("networks", "figures/style.py", False),
        ("experiments.baselines", "experiments/baselines/pcnn.py", True),
        ("experiments.baselines", "networks/heads.py", True),
        ("experiments.baselines", "experiments/registry.py", False),
        ("experiments.baselines", "publishing/site.py", False),
        ("experiments.synthetic", "experiments/synthetic.py", True),
        ("experiments.synthetic", "networks/heads.py", False),
    ],
)
def test_which_files_count(copy, part, path, counts):
    root, digest = copy
    before = digest(part)
    with (root / path).open("a") as file:
        file.write("\n# changed\n")
    assert (digest(part) != before) == counts


def test_a_new_file_counts(copy):
    root, digest = copy
    before = digest("method")
    (root / "method" / "new.py").write_text("")
    assert digest("method") != before


def test_versions_count(copy, monkeypatch):
    _, digest = copy
    before = digest("scoring")
    monkeypatch.setattr(provenance, "version", lambda _: "0")
    assert digest("scoring") != before


def test_several_parts_count_together(copy):
    _, digest = copy
    assert digest("method", "datasets") == digest("datasets")  # which imports the method
    assert digest("evaluation", "datasets") != digest("datasets")


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no package or module 'absent'"):
        provenance.code_sha256("absent")
