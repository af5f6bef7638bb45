"""Settings by name: what fits passes as it is, anything else is an error that lists the names."""

import pytest
from hypothesis import given, strategies as st

from arlib._support.settings import SETTINGS, check_settings, fits, read_settings

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
        ({"sede": 1}, "no setting 'sede' of a run (did you mean seed?); there are seed, scale"),
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


TEXTS = ["photos #1", "a: b.csv", "010", "1:30", "2024", "no", "null", "~", "2024-05-01", "", "yes"]
TEXTS += ["[a]", "{a: 1}", "!!python/name:os.system", "&a", "*a", "@x", "\t", " a ", "1e308", "'a'"]
HOSTILE = [*TEXTS, ".nan", "nan", "-1", "inf", "-.inf", "1e999", "9" * 5000, "0x10", "1_000", "٣"]
HOSTILE += ["[", "{", "[a, [b]]", "[]", "[a, a]", "[&a x, *a]", "{a: 1, a: 2}", "[" * 3000, "\0"]


def every(table=SETTINGS, within=""):
    for name, setting in table.items():
        yield within + name, setting
        yield from every(setting.of or {}, f"{name}.")


PARAMETERS = [pytest.param(*each, id=each[0]) for each in every()]


@pytest.mark.parametrize(("name", "setting"), PARAMETERS)
def test_any_text_is_a_value_of_the_settings_type_or_one_line(name, setting):
    for text in HOSTILE:
        error, value = None, None
        try:
            value = setting.read(name, text)
        except ValueError as caught:
            error = str(caught)
        if error is not None:
            assert name in error
            assert len(error.splitlines()) == 1
            assert len(error) < 500
            continue
        assert type(value) is setting.kind or (value is None and setting.nothing)
        assert setting.read(name, value) == value, "what was read is read again"
        if setting.kind in (int, float):
            assert setting.least <= value <= setting.most
        if setting.kind is str and value is not None:
            assert value == text


@given(st.text())
def test_a_text_stays_as_it_is_typed(text):
    assert SETTINGS["dataset"].read("dataset", text) == text


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("k", "010", 10),
        ("k", "+8", 8),
        ("alpha", "1e-3", 0.001),
        ("alpha", "2", 2.0),
        ("alpha", ".5", 0.5),
        ("runs", "[photos #1]", None),
        (
            "runs",
            "[010, no, 1:30, ~, 'a #1', \"b: c\"]",
            ["010", "no", "1:30", "~", "a #1", "b: c"],
        ),
        (
            "training",
            "{lr: 1e-3, epochs: 3, augment: no}",
            {"lr": 0.001, "epochs": 3.0, "augment": False},
        ),
        (
            "reader",
            "{n_folds: 010, label: null, image: 010}",
            {"n_folds": 10, "label": None, "image": "010"},
        ),
    ],
)
def test_numbers_booleans_and_lists_are_read_as_such(name, text, value):
    if value is None:
        with pytest.raises(ValueError, match="parameter runs: must be a list"):
            SETTINGS[name].read(name, text)
    else:
        read = SETTINGS[name].read(name, text)
        assert read == value
        assert type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("k", ["0", "-3", "8.0", "1:30", "1e3", "true", "10001", ".nan"]),
        ("alpha", ["-0.1", "nan", ".nan", "inf", "1e308", "", "1,5"]),
        ("beta", ["-1", "1e308", "nan"]),
        ("scale", ["0", "-1", "101"]),
        ("max_regions", ["0", "1000000000"]),
        ("base", ["2", "E", "10"]),
        ("truth", ["coco"]),
        ("runs", ["a", "[]", "[a, a]", "[[a]]", "{a: b}", "[a", "a]", "- [", ""]),
    ],
)
def test_what_is_out_of_its_range_is_refused_with_the_range(name, texts):
    setting = SETTINGS[name]
    for text in texts:
        with pytest.raises(ValueError, match=r"^parameter \w+: must be ") as caught:
            setting.read(name, text)
        assert setting.wanted in str(caught.value)


def test_values_that_are_no_texts_have_the_settings_type():
    wrong = {"k": 2.5, "alpha": "x", "dataset": 2024, "runs": ("a",), "crop": None, "training": []}
    for name, value in {**wrong, "seed": True, "beta": float("nan")}.items():
        with pytest.raises(ValueError, match=f"parameter {name}: must be"):
            read_settings({name: value}, SETTINGS, "run.json")
    assert read_settings({"alpha": 2, "k": 3}, SETTINGS, "run.json") == {"alpha": 2.0, "k": 3}
