"""On a GPU, where there is one: the same scores but for rounding, and a training."""

import os
import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import tempfile
from pathlib import Path
import numpy as np
from arlib.datasets import load
from arlib.networks import Training, finetune, load_backbone
from arlib.networks.finetuning import learning_curve
from arlib.proposals import Grid
from arlib.scoring import score

scenes = load("scenes-annotated", n=96)
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)

    # scores
    network = load_backbone("vgg_tiny", classes=2, weights="random")
    how = {"progress": False, "batch_size": 64}
    on = {
        device: score(scenes, Grid(9), network, out=folder / device, device=device, **how).load()
        for device in ("cpu", "cuda")
    }
    assert np.array_equal(on["cpu"].box, on["cuda"].box, equal_nan=True)
    for name in ("global_probability", "region_probability"):
        np.testing.assert_allclose(on["cuda"][name], on["cpu"][name], atol=2e-3)

    # a training, in bfloat16 and with images from processes
    plan = Training(epochs=2, batch_size=16, lr=0.02, head_factor=1)
    how = {"training": plan, "validation": scenes, "progress": False}
    trained = finetune(network, scenes, folder / "run", **how)
    assert all(p.device.type == "cpu" for p in trained.parameters())
    losses = [row["train_loss"] for row in learning_curve(folder / "run")]
    assert losses[-1] < losses[0]
print("compared")
"""


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no GPU")
def test_scores_and_training_on_a_gpu():
    environment = {name: v for name, v in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "compared\n", done.stderr
