"""Settings by name: what fits passes as it is, anything else is an error that lists the names."""

import pytest
from hypothesis import given, strategies as st

from arlib._support.settings import check_settings, fits

VALUES = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.lists(st.integers())
)
NAMES = st.sampled_from(["seed", "scale", "backbone", "runs"])


@given(VALUES, VALUES)
def test_only_an_int_serves_for_another_type(value, default):
    if type(value) is int and type(default) is float:
        assert fits(value, default)
    else:
        assert fits(value, default) == (type(value) is type(default))


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (1, 0.5, True),
        (1.0, 2, False),
        (True, 1, False),
        (True, 0.5, False),
        (0, False, False),
        ("1", 1, False),
        (None, 1, False),
        ([1], (1,), False),
        ("forest.yml", None, True),
    ],
)
def test_near_misses(value, default, expected):
    assert fits(value, default) is expected


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES))
def test_settings_pass_as_they_are_or_not_at_all(settings, defaults):
    wrong = [
        name
        for name, value in settings.items()
        if name not in defaults or not fits(value, defaults[name])
    ]
    if wrong:
        with pytest.raises(ValueError, match=wrong[0]):
            check_settings(settings, defaults, "a run")
        return
    checked = check_settings(settings, defaults, "a run")
    assert checked == settings
    assert checked is not settings, "the caller's own stay as they are"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sede": 1}, "no setting 'sede' of a run; there are seed, scale"),
        ({"seed": 1.5}, "seed must be int, not 1.5"),
        ({"seed": True}, "seed must be int, not True"),
        ({"scale": "large"}, "scale must be float, not 'large'"),
        ({"seed": 1, "scale": None}, "scale must be float, not None"),
    ],
)
def test_an_error_says_what_would_be_right(settings, message):
    with pytest.raises(ValueError, match=r".") as caught:
        check_settings(settings, {"seed": 0, "scale": 1.0}, "a run")
    assert str(caught.value) == message
