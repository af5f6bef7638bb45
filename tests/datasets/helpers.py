"""What tests of readers share: exact errors, and empty files."""

import re

import pytest

from arlib.datasets import DatasetError


def fails(text):
    """Expect exactly this error."""
    return pytest.raises(DatasetError, match=f"^{re.escape(text)}$")


def touch(root, *names):
    """Create empty files, and the folders that hold them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root
