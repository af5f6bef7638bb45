"""What a run was made with: the machine, and the source's commit, inside and outside of git."""

import subprocess

import pytest

from arlib._support import provenance


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package folder; git searches no further up, and not in a hook's index."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "repository" / "src"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "ROOT", folder)
    return folder


@pytest.fixture
def committed(package):
    git(package.parent, "init", "-q")
    git(package.parent, "add", "src")
    git(package.parent, "commit", "-q", "-m", "first", "--no-verify")
    return package


def test_the_commit_of_the_source_is_named(committed):
    named = provenance.source_commit()
    assert named == git(committed, "rev-parse", "HEAD")
    assert len(named) == 40


@pytest.mark.parametrize("change", ["an edited file", "a new file"])
def test_source_that_differs_from_the_commit_has_a_plus(committed, change):
    name = "__init__.py" if change == "an edited file" else "new.py"
    (committed / name).write_text("changed = True\n")
    assert provenance.source_commit() == git(committed, "rev-parse", "HEAD") + "+"


def test_a_change_beside_the_source_does_not_count(committed):
    (committed.parent / "notes.txt").write_text("changed")
    assert not provenance.source_commit().endswith("+")


def test_outside_of_git_there_is_no_commit(package):
    assert provenance.source_commit() is None


def test_a_repository_that_does_not_hold_the_source_is_not_named(committed, monkeypatch):
    """As where the library is installed into an environment within somebody's repository."""
    (committed.parent / ".gitignore").write_text("installed\n")
    installed = committed.parent / "installed" / "arlib"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "ROOT", installed)
    assert provenance.source_commit() is None


def test_without_git_there_is_no_commit(committed, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.source_commit() is None


def test_the_machine_is_described():
    facts = provenance.machine()
    assert facts["processor"]
    assert facts["cores"] >= 1
    assert {"gpu", "system", "python", "arlib", "torch", "torchvision", "numpy"} <= facts.keys()
