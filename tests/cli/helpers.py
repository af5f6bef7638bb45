"""What tests of the command line share: `arlib` in a process of its own, and in this one."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest

from arlib import cli


def arlib(*arguments, cwd, **environment):
    """Run `arlib` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "arlib.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


def arlib_here(*arguments, cwd, **environment):
    """Run `arlib` in this process, which has done the imports that each process does anew."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["arlib", *map(str, arguments)])
        for name, value in environment.items():
            patch.setenv(name, str(value))
        with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
            cli.main()
    return SimpleNamespace(
        returncode=ended.value.code, stdout=output.getvalue(), stderr=errors.getvalue()
    )
