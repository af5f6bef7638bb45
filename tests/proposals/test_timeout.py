"""Proposals under a deadline: a method that hangs, dies or fails ends nothing but its own image."""

import os
import sys
import time

import numpy as np
import pytest

from arlib.datasets import ImageError
from arlib.proposals.controls import Grid
from arlib.proposals.timeout import Deadline

BAD = """
import os, time
from dataclasses import dataclass
from arlib.proposals import Grid

@dataclass(frozen=True)
class Bad:
    max_regions: int = 3

    def __call__(self, image):
        if image.max() == 1:
            time.sleep(600)
        if image.max() == 2:
            os._exit(7)
        if image.max() == 3:
            raise ValueError("three")
        return Grid(max_regions=self.max_regions)(image)
"""


@pytest.fixture
def bad(tmp_path, monkeypatch):
    """A method that hangs on 1s, dies of 2s and fails on 3s, in a module that processes import."""
    (tmp_path / "bad_method.py").write_text(BAD)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    import bad_method

    yield bad_method.Bad()
    sys.modules.pop("bad_method")


def test_proposals_under_a_deadline(bad):
    image = np.zeros((40, 60, 3), np.uint8)
    method = Deadline(bad, seconds=1.0)
    assert method.max_regions == 3
    np.testing.assert_array_equal(method(image).boxes, bad(image).boxes)
    began = time.monotonic()
    with pytest.raises(ImageError, match="took longer than 1 s"):
        method(image + 1)
    assert time.monotonic() - began < 60
    with pytest.raises(ImageError, match=r"ended their process \(status 7\)"):
        method(image + 2)
    with pytest.raises(ValueError, match="three"):
        method(image + 3)
    assert len(method(image)) == 3


def test_a_deadline_must_be_above_0():
    with pytest.raises(ValueError, match=r"seconds must be in \(0, inf\), not 0"):
        Deadline(Grid(), seconds=0)
