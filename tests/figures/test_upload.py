"""Classifiers of a photograph, and the widget that takes it."""

import io
import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from arlib.experiments import Protocol, scenes_protocol
from arlib.figures import upload
from arlib.figures.upload import Classifier, load_classifier, upload_widget
from arlib.networks import LinearHead, Model, WeightsError, load_backbone
from arlib.proposals import EdgeBoxes, Grid
from arlib.scoring import score_image

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    return load_backbone("squeezenet1_1", classes=2, weights="random")


class TestLoadClassifier:
    @pytest.fixture(autouse=True)
    def bare(self, tmp_path, monkeypatch):
        """A machine without weights and without a connection."""
        monkeypatch.delenv("ARLIB_DATA", raising=False)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
        trained = SimpleNamespace(network="that of scenes")
        monkeypatch.setattr(Protocol, "stages", lambda _, **__: trained)

    @pytest.mark.parametrize("which", ["auto", "scenes"])
    def test_without_weights_it_is_the_network_of_the_scenes(self, which, monkeypatch):
        monkeypatch.setattr("arlib.networks.sources.find_spec", lambda _: None)
        classifier = load_classifier(which, scenes_protocol())
        assert classifier == Classifier("small VGG fine-tuned on tagged scenes", "that of scenes")

    def test_with_weights_it_is_the_default(self, tmp_path, monkeypatch):
        (tmp_path / "weights").mkdir()
        random = load_backbone("efficientnet_lite0", weights="random")
        random.save(tmp_path / "weights" / "efficientnet_lite0.safetensors")
        monkeypatch.setenv("ARLIB_DATA", str(tmp_path))
        for which in ("auto", "efficientnet_lite0"):
            classifier = load_classifier(which, scenes_protocol())
            described = "EfficientNet-Lite0, frozen, with a head fitted on OASIS"
            assert classifier.description == described
            assert classifier.head.emotions == LinearHead.default().emotions
        assert load_classifier("scenes", scenes_protocol()).network == "that of scenes"

    def test_a_network_that_was_named_is_not_replaced(self, monkeypatch):
        def offline(*_, **__):
            raise WeightsError("offline")

        monkeypatch.setattr(upload, "load_backbone", offline)
        with pytest.raises(WeightsError, match="offline"):
            load_classifier("efficientnet_lite0", scenes_protocol())

    def test_what_was_trained_is_loaded_by_its_path(self, tmp_path):
        path = tmp_path / "moods.safetensors"
        trained = load_backbone("vgg_tiny", classes=3, weights="random")
        Model(trained, ("joy", "fear", "awe"), facts={"dataset": "photos"}).save(path)
        classifier = load_classifier(str(path), scenes_protocol())
        assert classifier.description == "vgg_tiny, fine-tuned on photos"
        scores = classifier.scores(IMAGE, Grid(max_regions=2))
        assert scores.emotion.values.tolist() == ["joy", "fear", "awe"]


def test_a_classifier_scores_as_the_library(network):
    scores = Classifier("random", network).scores(IMAGE, Grid(max_regions=5))
    assert scores.equals(score_image(IMAGE, Grid(max_regions=5), network))


class TestWidget:
    @pytest.fixture
    def widget(self, network):
        other = load_backbone("squeezenet1_1", classes=2, weights="random", seed=1)
        classifiers = {
            "one": Classifier("network one", network),
            "two": Classifier("network two", other),
        }
        return upload_widget(classifiers, max_regions=12, k=3, alpha=0.5)

    def upload(self, widget, content, name="photo.png"):
        widget.children[0].value = (
            {
                "name": name,
                "type": "image/png",
                "size": len(content),
                "content": memoryview(content),
                "last_modified": datetime(2026, 1, 1, tzinfo=UTC),
            },
        )

    def png(self):
        file = io.BytesIO()
        Image.fromarray(IMAGE).save(file, "png")
        return file.getvalue()

    def facts(self, widget):
        """What its one explorer holds."""
        (output,) = widget.children[5].outputs
        html = output["data"]["text/html"]
        return json.loads(re.search(r'"application/json">(.*?)</script>', html).group(1))

    def test_it_shows_the_explorer_of_the_uploaded_image(self, widget, network):
        assert widget.children[5].outputs == ()
        self.upload(widget, self.png())
        facts = self.facts(widget)
        scores = score_image(IMAGE, EdgeBoxes(max_regions=12), network)
        np.testing.assert_array_equal(facts["objectness"], scores.objectness.values[0])
        np.testing.assert_array_equal(facts["probability"], scores.region_probability.values[0])
        assert (facts["title"], facts["settings"]["k"]) == ("photo.png", 3)
        assert facts["settings"]["alpha"] == 0.5
        status = widget.children[4].value
        assert status == f"photo.png: {scores.sizes['region']} regions, predicted by network one"

    def test_every_choice_predicts_anew(self, widget):
        self.upload(widget, self.png())
        one = self.facts(widget)
        widget.children[1].value = "two"
        two = self.facts(widget)
        assert one["objectness"] == two["objectness"]
        assert one["global"] != two["global"]
        widget.children[2].value = "grid"
        assert self.facts(widget)["boxes"] != two["boxes"]
        widget.children[3].value = 4
        assert len(self.facts(widget)["boxes"]) == 4
        assert widget.children[4].value == "photo.png: 4 regions, predicted by network two"

    def test_three_emotions_are_ranked_by_a_score_that_cannot_be_negative(self):
        network = load_backbone("vgg_tiny", classes=3, weights="random")
        moods = {"moods": Classifier("random", network, emotions=("joy", "fear", "awe"))}
        widget = upload_widget(moods, max_regions=2, base="e")
        self.upload(widget, self.png())
        facts = self.facts(widget)
        assert (facts["emotions"], facts["settings"]["base"]) == (["joy", "fear", "awe"], "classes")

    def test_a_file_that_is_no_image(self, widget):
        self.upload(widget, self.png())
        self.upload(widget, b"<html>", name="page.html")
        assert widget.children[4].value == "page.html: no image, or of an unknown format"
        assert widget.children[5].outputs == ()
