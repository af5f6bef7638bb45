"""Progress: a bar on a terminal, elsewhere a line now and then, nothing in short loops."""

import io
import re
import sys
import time
from types import SimpleNamespace

import pytest

from arlib._support import progress
from arlib._support.progress import has_reader, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def written(monkeypatch, stream, **settings):
    """What a loop of 6 steps of 0.05 s writes."""
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in progress_bar(range(6), desc="photos", unit="image", **settings):
        time.sleep(0.05)
    return stream.getvalue()


def test_elsewhere_it_writes_lines(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.1)
    lines = written(monkeypatch, io.StringIO()).splitlines(keepends=True)
    assert 1 <= len(lines) <= 3
    form = r"photos: \d of 6 images, [\d.]+ images/s, 00:00, 00:0\d left\n"
    assert all(re.fullmatch(form, line) for line in lines)


@pytest.mark.parametrize(
    ("rate", "expected"), [(19.84, "19.8 images/s"), (1.5, "1.5 images/s"), (0.2, "12 images/min")]
)
def test_a_line_has_the_rate(monkeypatch, rate, expected):
    bar = progress._Lines(total=600, unit="image", file=io.StringIO())
    monkeypatch.setattr(bar, "_ema_dn", lambda: rate)
    monkeypatch.setattr(bar, "_ema_dt", lambda: 1.0)
    assert f", {expected}, " in str(bar)
    bar.close()


def test_on_a_terminal_it_draws_a_bar(monkeypatch):
    assert "\rphotos: 100%|" in written(monkeypatch, Terminal())


@pytest.mark.parametrize(
    ("stream", "show"), [(io.StringIO, True), (io.StringIO, False), (Terminal, False)]
)
def test_a_short_or_hidden_loop_writes_nothing(monkeypatch, stream, show):
    assert written(monkeypatch, stream(), show=show) == ""


@pytest.mark.parametrize("content", [{"allow_stdin": True}, {"allow_stdin": False}, {}])
def test_a_notebook_that_a_program_executes_shows_nothing(monkeypatch, content):
    shell = SimpleNamespace(get_parent=lambda: {"content": content})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    reader = bool(content.get("allow_stdin"))
    assert has_reader() is reader
    assert ("100%" in written(monkeypatch, Terminal())) == reader


def test_without_a_kernel_there_is_no_telling(monkeypatch):
    assert has_reader() is None
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert has_reader() is None
