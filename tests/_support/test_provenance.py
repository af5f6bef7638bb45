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
        ("scoring.scorer", "scoring/scorer.py", True),
        ("scoring.scorer", "scoring/crops.py", True),
        ("scoring.scorer", "datasets/images.py", True),
        ("scoring.scorer", "networks/tiny.py", True),
        ("scoring.scorer", "networks/finetuning.py", False),
        ("scoring.scorer", "proposals/types.py", True),
        ("scoring.scorer", "proposals/edge_boxes.py", False),
        ("scoring.scorer", "scoring/distributed.py", False),
        ("scoring.scorer", "_support/stores.py", True),
        ("scoring.scorer", "_support/storage.py", False),
        ("scoring.scorer", "_support/progress.py", False),
        ("scoring.scorer", "figures/style.py", False),
        ("networks.finetuning", "networks/finetuning.py", True),
        ("networks.finetuning", "networks/loaders.py", True),
        ("networks.finetuning", "networks/heads.py", False),
        ("networks.finetuning", "networks/models.py", False),
        ("networks.finetuning", "datasets/containers.py", True),
        ("networks.finetuning", "datasets/checks.py", False),
        ("networks.finetuning", "datasets/registry.py", False),
        ("networks.finetuning", "datasets/oasis.py", False),
        ("networks.finetuning", "_support/settings.py", False),
        ("networks.finetuning", "scoring/crops.py", False),
        ("networks.finetuning", "cli/train.py", False),
        ("networks", "networks/heads.py", True),
        ("experiments.baselines", "experiments/baselines/pcnn.py", True),
        ("experiments.baselines", "networks/heads.py", True),
        ("experiments.baselines", "experiments/registry.py", False),
        ("experiments/stages.py", "experiments/stages.py", True),
        ("experiments/stages.py", "networks/training.py", False),
    ],
)
def test_which_files_count(copy, part, path, counts):
    root, digest = copy
    before = digest(part)
    with (root / path).open("a") as file:
        file.write("\nCHANGED = True\n")
    assert (digest(part) != before) == counts


OF_LOADERS = "networks/loaders.py"


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("import torch\n", "import torch  # of 2026\n", False),
        ("import torch\n", "\n\nimport torch\n", False),
        ('"""Training batches', '"""Batches for training', False),
        ("    Epoch e is a permutation", "    An epoch is a permutation", False),
        ('"""Yield this process', '"""Give this process', False),
        ('"""An image\'s index and', '"""The index of an image and', False),
        ("self.seed, epoch", "epoch, self.seed", True),
        ("does not fit a set of", "fits no set of", True),
        ("drop_last = False", "drop_last = True", True),
        ("        self.round = epoch", "        self.round = epoch + 1", True),
    ],
)
def test_comments_and_docstrings_do_not_count(copy, old, new, counts):
    root, digest = copy
    text = (root / OF_LOADERS).read_text() + "\ndrop_last = False\n"
    assert text.count(old) == 1
    (root / OF_LOADERS).write_text(text)
    before = digest("networks.finetuning")
    (root / OF_LOADERS).write_text(text.replace(old, new))
    assert (digest("networks.finetuning") != before) == counts


def test_what_a_module_newly_imports_counts(copy):
    root, digest = copy
    with (root / OF_LOADERS).open("a") as file:
        file.write("\n\ndef late():\n    from arlib.networks import LinearHead\n")
    before = digest("networks.finetuning")
    with (root / "networks/heads.py").open("a") as file:
        file.write("\nCHANGED = True\n")
    assert digest("networks.finetuning") != before


def test_a_new_file_of_a_package_counts(copy):
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
    assert digest("networks.tiny", "networks.backbones") == digest("networks.backbones")
    assert digest("evaluation", "datasets") != digest("datasets")


@pytest.mark.parametrize("part", ["absent", "networks.absent", "networks/absent.py", "absent.tiny"])
def test_what_is_not_there_is_refused(part):
    with pytest.raises(ValueError, match=f"no package or module '{part}'"):
        provenance.code_sha256(part)
