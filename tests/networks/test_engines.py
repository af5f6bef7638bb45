"""Engines: OpenVINO beside PyTorch, what is kept of a conversion, and what runs without PyTorch."""

import copy
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from arlib.datasets import load
from arlib.networks import (
    LinearHead,
    Model,
    load_backbone,
    load_model,
    load_predictor,
    make_engine,
    resolve_engine,
)
from arlib.networks.conversions import load_converted
from arlib.networks.engines import _SMALL
from arlib.networks.tiny import NETWORKS
from arlib.proposals import Grid
from arlib.scoring import Job, score_image

openvino = pytest.mark.skipif(
    resolve_engine(load_backbone("squeezenet1_1", weights="random")) == "torch",
    reason="OpenVINO is not installed",
)

CROPS = np.random.default_rng(0).integers(0, 256, (3, 3, 224, 224), np.uint8)


@pytest.fixture(scope="module")
def network():
    return load_backbone("squeezenet1_1", classes=2, weights="random")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ARLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@openvino
@pytest.mark.parametrize(
    "name",  # a plain stack; blocks that concatenate; depthwise convolutions; blocks that add
    ["vgg_tiny", "squeezenet1_1", "mobilenet_v2", "resnet18", "efficientnet_lite0"],
)
def test_the_engines_agree(name):
    network = load_backbone(name, classes=3, weights="random", seed=1)
    size = network.preprocessing.size
    crops = CROPS[..., :size, :size]
    theirs, ours = (make_engine(network, engine)(crops) for engine in ("torch", "openvino"))
    for expected, actual in zip(theirs, ours, strict=True):
        assert (actual.shape, actual.dtype) == (expected.shape, np.float32)
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-5)
    softmax = [np.exp(logits - logits.max()) for _, logits in (theirs, ours)]
    shares = [each / each.sum(axis=1, keepdims=True) for each in softmax]
    np.testing.assert_allclose(*shares, atol=1e-4)


@openvino
@pytest.mark.parametrize("count", [1, 5])
def test_any_number_of_crops_gives_what_each_gives_alone(network, count):
    run = make_engine(network, "openvino")
    crops = np.concatenate([CROPS, CROPS[:, :, ::-1]])[:count]
    features, logits = run(crops)
    for row in range(count):
        for together, alone in zip((features, logits), run(crops[row : row + 1]), strict=True):
            np.testing.assert_allclose(together[row], alone[0], rtol=1e-4, atol=1e-4)


@openvino
def test_what_auto_takes(network, monkeypatch):
    assert resolve_engine(network) == "openvino"
    assert resolve_engine(network, precision="bf16") == "torch"
    assert resolve_engine(network, features="shared") == "torch"
    assert resolve_engine(load_backbone("vgg_tiny", weights="random")) == "torch"
    assert set(_SMALL) == set(NETWORKS)
    monkeypatch.setattr("arlib.networks.engines.find_spec", lambda _: None)
    assert resolve_engine(network) == "torch"
    with pytest.raises(ImportError, match=r"pip install 'arlib\[cpu\]'"):
        make_engine(network, "openvino")


def test_engines_that_there_are_not(network):
    with pytest.raises(ValueError, match="engine must be 'auto', 'torch' or 'openvino', not 'x'"):
        resolve_engine(network, "x")
    for how in ({"precision": "bf16"}, {"features": "shared"}, {"device": "cuda"}):
        with pytest.raises(ValueError, match="engine 'openvino' runs crops in float32"):
            resolve_engine(network, "openvino", **how)


@openvino
def test_a_network_that_cannot_be_converted_is_named(monkeypatch):
    network = load_backbone("vgg_tiny", weights="random")
    monkeypatch.setattr("torch.jit.trace", lambda *_, **__: (_ for _ in ()).throw(RuntimeError()))
    with pytest.raises(
        ValueError, match=r"OpenVINO cannot convert vgg_tiny .*: take engine 'torch'"
    ):
        make_engine(network, "openvino")


@openvino
def test_a_conversion_that_computes_something_else_is_refused(monkeypatch):
    network = load_backbone("vgg_tiny", weights="random")
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.classifier.bias.add_(1.0)
    copied = iter([network, other])
    monkeypatch.setattr(type(network), "for_inference", lambda _: copy.deepcopy(next(copied)))
    monkeypatch.setattr(
        "arlib.networks.engines._torch_run",
        lambda network, *_: (
            lambda crops: [
                each.detach().numpy() + 1
                for each in network.features_and_logits(network.preprocessing.normalize(crops))
            ]
        ),
    )
    with pytest.raises(ValueError, match="computes something else of vgg_tiny"):
        make_engine(network, "openvino")


@pytest.mark.parametrize("engine", ["torch", pytest.param("openvino", marks=openvino)])
def test_a_network_is_prepared_once_until_its_weights_change(engine):
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    crops = CROPS[..., :48, :48]
    run = make_engine(network, engine)
    _, before = run(crops)
    assert make_engine(network, engine) is run
    with torch.no_grad():
        network.classifier.bias.add_(torch.tensor([1.0, 0.0]))
    _, after = make_engine(network, engine)(crops)
    np.testing.assert_allclose(after - before, np.tile([1.0, 0.0], (3, 1)), atol=1e-4)


@pytest.mark.parametrize("engine", ["torch", pytest.param("openvino", marks=openvino)])
def test_threads_share_a_prepared_network(engine):
    """Each gets the outputs of its own crops."""
    run = make_engine(load_backbone("vgg_tiny", classes=2, weights="random"), engine)
    batches = [CROPS[[i % 3], :, i : i + 48, :48] for i in range(6)]
    expected = [run(batch) for batch in batches]
    wrong = []

    def work(number):
        for _ in range(30):
            for actual, right in zip(run(batches[number]), expected[number], strict=True):
                if not np.allclose(actual, right, atol=1e-5):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@openvino
def test_scores_name_the_engine_and_agree(network):
    image = np.random.default_rng(1).integers(0, 256, (80, 100, 3), np.uint8)
    scores = {
        engine: score_image(image, Grid(max_regions=6), network, engine=engine)
        for engine in ("auto", "openvino", "torch")
    }
    assert scores["auto"].attrs["parameters"]["engine"] == "openvino"
    assert "engine" not in scores["torch"].attrs["parameters"]
    np.testing.assert_array_equal(*(scores[e].region_probability for e in ("auto", "openvino")))
    for name in ("region_probability", "global_probability"):
        np.testing.assert_allclose(scores["auto"][name], scores["torch"][name], atol=1e-4)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of weights, as `ARLIB_DATA` names one."""
    (tmp_path / "weights").mkdir()
    backbone = load_backbone("efficientnet_lite0", weights="random", seed=2)
    backbone.save(tmp_path / "weights" / "efficientnet_lite0.safetensors")
    monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
    return tmp_path


@openvino
def test_a_conversion_is_kept_under_the_weights(data, cache):
    assert load_converted("efficientnet_lite0", "auto") is None
    first = load_predictor()
    kept = load_converted("efficientnet_lite0", "auto")
    for expected, actual in zip(
        make_engine(first.network)(CROPS), make_engine(kept)(CROPS), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    assert kept.sha256() == load_backbone("efficientnet_lite0").sha256()
    # a damaged one is made anew
    (weights,) = cache.glob("*/network.bin")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert load_converted("efficientnet_lite0", "auto") is None
    load_predictor()
    assert load_converted("efficientnet_lite0", "auto") is not None
    # and so is that of other weights
    other = load_backbone("efficientnet_lite0", weights="random", seed=3)
    other.save(data / "weights" / "efficientnet_lite0.safetensors")
    assert load_converted("efficientnet_lite0", "auto") is None


@openvino
def test_a_model_of_ones_own_is_kept_likewise(data):
    network = load_backbone("efficientnet_lite0", classes=3, weights="random", seed=5)
    path = data / "moods.safetensors"
    Model(network, ("joy", "fear", "awe"), facts={"dataset": "photos"}).save(path)
    theirs = load_model(path)
    for _ in range(2):
        ours = load_predictor(path)
        assert (ours.emotions, ours.head, ours.facts) == (theirs.emotions, None, theirs.facts)
        assert ours.network.sha256() == network.sha256()
    facts = json.loads(path.with_suffix(".json").read_text()) | {"weights_sha256": "0" * 64}
    path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="has other weights than"):
        load_predictor(path)


@openvino
def test_where_nothing_can_be_kept_it_predicts_all_the_same(data, cache, caplog):
    cache.write_text("a file, where a folder would be")
    image = np.zeros((40, 50, 3), np.uint8)
    trained = load_predictor()
    assert "the converted network is not kept" in caplog.text
    scores = score_image(image, Grid(max_regions=2), trained.network, head=trained.head)
    assert scores.attrs["parameters"]["engine"] == "openvino"
    for how in ({"device": "cuda"}, {"precision": "bf16"}, {"engine": "torch"}):
        with pytest.raises(ValueError, match="is converted for OpenVINO"):
            score_image(image, Grid(max_regions=2), trained.network, head=trained.head, **how)


def test_few_networks_are_kept_prepared():
    networks = [load_backbone("vgg_tiny", weights="random", seed=seed) for seed in range(3)]
    runs = [make_engine(network, "torch") for network in networks]
    assert make_engine(networks[2], "torch") is runs[2]
    assert make_engine(networks[1], "torch") is runs[1]
    assert make_engine(networks[0], "torch") is not runs[0]


def test_another_engine_loads_a_backbone(data):
    assert (
        load_predictor(engine="torch").network.sha256()
        == load_backbone("efficientnet_lite0").sha256()
    )
    assert isinstance(load_predictor(engine="torch").network, torch.nn.Module)


_COLD = """
import sys
from arlib.cli import main
try:
    main(["predict", sys.argv[1], "--json", "--overlay", sys.argv[2]])
finally:
    heavy = {"torch", "torchvision", "openvino_telemetry", "seaborn", "sklearn"}
    loaded = {name for name in heavy if sys.modules.get(name)}
    print(sorted(loaded))
"""


@openvino
def test_a_cold_predict_imports_no_pytorch(data, monkeypatch):
    """By the weights of the package: ARLIB_DATA is not set."""
    monkeypatch.delenv("ARLIB_DATA")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    image = np.asarray(Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC))
    Image.fromarray(image).save(data / "x.png")
    trained = load_predictor()  # which converts
    assert trained.head.emotions == LinearHead.default().emotions
    command = [sys.executable, "-c", _COLD, str(data / "x.png"), str(data / "out")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    output = subprocess.check_output(command, env=environment, text=True).splitlines()
    assert output[-1] == "[]"
    assert (data / "out" / "x.regions.png").is_file()
    from arlib import predict

    expected = predict(data / "x.png").probability
    assert json.loads(output[0])["probability"] == pytest.approx(expected, abs=1e-5)


@openvino
def test_shards_are_not_shared_between_engines(network):
    dataset = load("scenes-annotated", n=20)
    key = {
        engine: Job(dataset, Grid(max_regions=2), network, settings={"engine": engine}).sha256
        for engine in ("auto", "openvino", "torch")
    }
    assert key["auto"] == key["openvino"] != key["torch"]
    assert Job(dataset, Grid(max_regions=2), network).sha256 == key["auto"]
