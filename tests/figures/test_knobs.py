"""The controls that draw a figure anew, and who gets none."""

from base64 import b64decode
from types import SimpleNamespace

import IPython
import pytest

from arlib.figures import knobs, upload_widget
from arlib.figures.style import new_note

START = {"k": 8, "alpha": 1.0, "beta": 0.5, "rank_by": "both"}


@pytest.fixture
def drawn():
    """A function that draws, and the settings of every figure that it drew."""
    settings = []

    def draw(**values):
        settings.append(values)
        return new_note(str(values))

    return draw, settings


def front_end(monkeypatch, **content):
    """Be in a kernel, in a cell that a front end sent with this."""
    shell = SimpleNamespace(get_parent=lambda: {"content": content} if content else {})
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)


def test_every_control_draws_anew_with_all_values(drawn):
    draw, settings = drawn
    row, output = knobs(draw, **START).children
    assert settings == [START]
    k, alpha, beta, rank_by = row.children
    k.value, alpha.value, beta.value, rank_by.value = 3, 0.0, 2.0, "sentiment"
    assert len(settings) == 5
    assert settings[-1] == {"k": 3, "alpha": 0.0, "beta": 2.0, "rank_by": "sentiment"}
    (shown,) = output.outputs
    assert b64decode(shown["data"]["image/png"]).startswith(b"\x89PNG")
    rank_by.value = "objectness"
    assert output.outputs[0]["data"] != shown["data"]
    assert len(output.outputs) == 1


def test_only_what_is_given_has_a_control_and_none_begins_out_of_its_range(drawn):
    draw, settings = drawn
    row, _ = knobs(draw, k=40, alpha=10.0).children
    assert [control.value for control in row.children] == [40, 10.0]
    assert settings == [{"k": 40, "alpha": 10.0}]


@pytest.mark.parametrize("content", [{}, {"allow_stdin": False}])
def test_where_nobody_answers_there_is_the_figure_alone(drawn, monkeypatch, content):
    draw, settings = drawn
    front_end(monkeypatch, **content)
    assert knobs(draw, **START)._repr_mimebundle_()["image/png"]
    assert settings == [START]
    assert "arlib predict --html photo.jpg" in upload_widget({}).data


def test_before_a_reader_there_are_controls(drawn, monkeypatch):
    front_end(monkeypatch, allow_stdin=True)
    assert len(knobs(drawn[0], k=8).children) == 2
