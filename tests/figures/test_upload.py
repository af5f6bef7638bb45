"""Who judges a photograph, and the widget that takes it."""

import io
import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from PIL import Image

from arlib.experiments import SyntheticProtocol
from arlib.figures import upload as upload_widget
from arlib.figures.upload import Classifier, photograph_classifier
from arlib.networks import WeightsError, default_head, load_backbone, weights_at_hand
from arlib.proposals import EdgeBoxes, Grid
from arlib.scoring import score_picture

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    return load_backbone("squeezenet1_1", classes=2, weights="random")


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """A machine without weights and without a net."""
    monkeypatch.delenv("ARLIB_DATA", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(upload_widget, "fine_tune", lambda *_, **__: ("the drawn one", None))
    return tmp_path


class TestWhoJudges:
    def test_without_weights_the_drawn_worlds_network(self, nothing):
        for which in ("auto", "scenes"):
            found = photograph_classifier(which, SyntheticProtocol())
            assert found == Classifier("vgg_tiny, fine-tuned on tagged scenes", "the drawn one")

    def test_with_weights_the_default(self, nothing, monkeypatch):
        (nothing / "weights").mkdir()
        random = load_backbone("squeezenet1_1", weights="random")
        random.save(nothing / "weights" / "squeezenet1_1.safetensors")
        monkeypatch.setenv("ARLIB_DATA", str(nothing))
        for which in ("auto", "squeezenet1_1"):
            found = photograph_classifier(which, SyntheticProtocol())
            assert found.said == "squeezenet1_1, frozen, under a linear head fitted on OASIS"
            assert found.head.emotions == default_head().emotions
        assert photograph_classifier("scenes", SyntheticProtocol()).network == "the drawn one"

    def test_torchvisions_own_download_counts(self, nothing):
        assert not weights_at_hand("squeezenet1_1")
        kept = nothing / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
        kept.parent.mkdir(parents=True)
        kept.touch()
        assert weights_at_hand("squeezenet1_1")
        assert not weights_at_hand("vgg16")

    def test_what_was_asked_for_by_name_is_not_replaced(self, nothing, monkeypatch):
        def offline(*_, **__):
            raise WeightsError("offline")

        monkeypatch.setattr(upload_widget, "load_backbone", offline)
        with pytest.raises(WeightsError, match="offline"):
            photograph_classifier("squeezenet1_1", SyntheticProtocol())

    def test_it_scores_as_the_library(self, network):
        found = Classifier("random", network).scores(PICTURE, Grid(max_regions=5))
        assert found.equals(score_picture(PICTURE, network=network, proposals=Grid(max_regions=5)))


class TestWidget:
    @pytest.fixture
    def bench(self, network):
        other = load_backbone("squeezenet1_1", classes=2, weights="random", seed=1)
        classifiers = {
            "one": Classifier("network one", network),
            "two": Classifier("network two", other),
        }
        return upload_widget.upload_widget(classifiers, max_regions=12, k=3, alpha=0.5)

    def give(self, bench, content, name="photo.png"):
        upload = bench.children[0]
        upload.value = (
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
        Image.fromarray(PICTURE).save(file, "png")
        return file.getvalue()

    def shown(self, bench):
        """What its one explorer holds, and what the line says."""
        (output,) = bench.children[5].outputs
        html = output["data"]["text/html"]
        return json.loads(re.search(r'"application/json">(.*?)</script>', html).group(1))

    def test_it_shows_the_explorer_of_what_is_uploaded(self, bench, network):
        assert bench.children[5].outputs == ()
        self.give(bench, self.png())
        facts = self.shown(bench)
        scores = score_picture(PICTURE, network=network, proposals=EdgeBoxes(max_regions=12))
        np.testing.assert_array_equal(facts["objectness"], scores.objectness.values[0])
        np.testing.assert_array_equal(facts["probability"], scores.region_probability.values[0])
        assert (facts["title"], facts["settings"]["k"]) == ("photo.png", 3)
        assert facts["settings"]["alpha"] == 0.5
        said = bench.children[4].value
        assert said == f"photo.png: {scores.sizes['region']} regions, judged by network one"

    def test_every_choice_judges_anew(self, bench):
        self.give(bench, self.png())
        one = self.shown(bench)
        bench.children[1].value = "two"
        two = self.shown(bench)
        assert one["objectness"] == two["objectness"]
        assert one["whole"] != two["whole"]
        bench.children[2].value = "grid"
        assert self.shown(bench)["boxes"] != two["boxes"]
        bench.children[3].value = 4
        assert len(self.shown(bench)["boxes"]) == 4
        assert bench.children[4].value == "photo.png: 4 regions, judged by network two"

    def test_what_is_no_picture(self, bench):
        self.give(bench, self.png())
        self.give(bench, b"<html>", name="page.html")
        assert bench.children[4].value == "page.html: no image, or of an unknown format"
        assert bench.children[5].outputs == ()
