"""Experiments from names and values, as an edition or run.json has them."""

import json
from dataclasses import asdict, fields

import pytest
from hypothesis import given, strategies as st

from arlib.experiments.photographs import Experiment
from arlib.experiments.protocol import Finetuning, Protocol, scenes_protocol
from arlib.experiments.registry import experiment_settings, parse_experiment


def test_names_and_values_make_an_experiment():
    settings = {"dataset": "oasis", "backbones": ["vgg16"], "finetune_on": ["none", "folds"]}
    expected = Experiment("oasis", ("vgg16",), finetune_on=("none", "folds"))
    assert parse_experiment(settings) == expected
    assert settings["backbones"] == ["vgg16"], "the caller's own stay as they are"


def test_a_share_and_sizes_make_a_protocol_on_scenes():
    settings = {"scale": 1, "seed": 2, "backbone": "alexnet_tiny", "local_share": 0}
    assert parse_experiment({"dataset": "scenes", **settings}) == scenes_protocol(**settings)


def test_the_settings_are_those_that_can_be_set_with_their_defaults():
    assert parse_experiment(experiment_settings("scenes")) == scenes_protocol()
    photographs = experiment_settings("oasis") | {"dataset": "oasis", "backbones": ["vgg16"]}
    assert parse_experiment(photographs) == Experiment("oasis", ("vgg16",))
    assert photographs.keys() == {field.name for field in fields(Experiment)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "oasis"}, "an experiment on photographs needs backbones"),
        ({}, "needs backbones and dataset"),
        ({"dataset": "oasis", "backbones": ["a"], "epochs": 3}, "no setting 'epochs' of an exp"),
        (
            {"dataset": "oasis", "backbones": "vgg16"},
            "backbones: must be a list such as .* not 'vgg16'",
        ),
        (
            {"dataset": "oasis", "backbones": ["a"], "seed": 0.5},
            "parameter seed: must be a whole number from 0 to 2147483647, not 0.5",
        ),
        (
            {"dataset": "oasis", "backbones": ["a"], "finetune_on": ["oasis"]},
            "fine-tuned on all of oasis has seen the images that it would predict",
        ),
        (
            {"dataset": "scenes", "scales": 1.0},
            r"'scales' of the synthetic scenes \(did you mean scale\?\); there are dataset, local_",
        ),
        ({"dataset": "scenes", "pretraining": {}}, "no setting 'pretraining' of the synthetic"),
        (
            {"dataset": "scenes", "seed": 0.5},
            "parameter seed: must be a whole number from 0 to 2147483647, not 0.5",
        ),
        (
            {"dataset": "scenes", "scale": "small"},
            "scale: must be a number above 0, at most 10, not 'small'",
        ),
        (
            {"dataset": "scenes", "max_regions": True},
            "max_regions: must be a whole number from 1 to 10000, not True",
        ),
        ({"dataset": "scenes", "local_share": 1.5}, "local_share: must be a number from 0 to 1"),
    ],
)
def test_settings_that_make_no_experiment_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        parse_experiment(settings)


def test_settings_of_training_are_checked():
    settings = {"dataset": "oasis", "backbones": ["vgg16"], "training": {"epoch": 3}}
    with pytest.raises(ValueError, match="no setting 'epoch' of training"):
        parse_experiment(settings)


COUNT = st.integers(1, 10**6)
LEARNING = st.builds(
    Finetuning,
    dataset=st.sampled_from(["scenes-tagged", "vso"]),
    hold_out=st.floats(0.01, 0.5),
    training=st.fixed_dictionaries(
        {}, optional={"epochs": st.floats(1, 9), "iterations": COUNT, "augment": st.booleans()}
    ),
)


def from_json(values):
    return json.loads(json.dumps(values))


@given(
    st.builds(
        Protocol,
        backbone=st.sampled_from(["vgg_tiny", "vgg16"]),
        finetune=LEARNING,
        pretrain=st.none() | LEARNING,
        columns=st.just(("scenes-folded", "twitter2")),
        seed=COUNT,
        scale=st.floats(0.01, 9),
        local_share=st.floats(0, 1),
        max_regions=st.integers(1, 10_000),
        rows=st.sampled_from([("vggnet",), ("sentibank", "controls")]),
    )
)
def test_a_protocol_comes_back_from_run_json(protocol):
    facts = {"dataset": "twitter2", "protocol": asdict(protocol), "max_regions": 3}
    again = parse_experiment(from_json(facts))
    assert again == protocol
    for field in fields(protocol):
        assert type(getattr(again, field.name)) is type(getattr(protocol, field.name))


def test_an_experiment_comes_back_from_run_json():
    reader = {"positive_from": 4.5}
    experiment = Experiment("oasis", ("vgg16",), training={"epochs": 3}, reader=reader)
    assert parse_experiment(from_json(asdict(experiment))) == experiment
