"""Fine-tuning on two machines, here two launchers of torchrun, through the death of a rank."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tests.lab_server import free_port

from arlib.datasets import load
from arlib.networks.backbones import load_backbone
from arlib.networks.finetuning import finetune, learning_curve
from arlib.networks.training import Training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL"),
]

SETTINGS = {"iterations": 12, "round": 4, "batch_size": 8, "lr": 0.02, "head_factor": 1.0}

SCRIPT = """
import os, signal, sys
from pathlib import Path
from arlib.networks import finetuner
from arlib.networks.backbones import load_backbone
from arlib.datasets import load
from arlib.networks.finetuning import finetune

out, settings, killed = Path(sys.argv[1]), eval(sys.argv[2]), Path(sys.argv[1], "killed")
step = finetuner.Finetuner.training_step

def dies_once(self, batch, index):
    if self.global_step == 6 and os.environ["RANK"] == "1" and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, index)

finetuner.Finetuner.training_step = dies_once
network = load_backbone("vgg_tiny", classes=2, weights="random")
few = load("scenes-annotated", n=48, seed=1)
plan = training.Training(**settings)
finetune(network, few, out, training=plan, nodes=2, progress=False)
"""


def test_two_machines_and_a_killed_rank_follow_the_curve_of_one(tmp_path):
    script, out = tmp_path / "two.py", tmp_path / "out"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    command += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=x"]
    command += ["--max-restarts=2", "--monitor-interval=1", str(script), str(out), repr(SETTINGS)]
    machines = [
        subprocess.Popen(
            command,
            env=os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        printed = [machine.communicate(timeout=240)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(printed)
    assert (out / "killed").exists()
    assert sorted(path.name for path in (out / "checkpoints").iterdir())[-1] == "00000012.ckpt"

    network = load_backbone("vgg_tiny", classes=2, weights="random")
    few = load("scenes-annotated", n=48, seed=1)
    alone = tmp_path / "alone"
    finetune(network, few, alone, training=Training(**SETTINGS), progress=False)
    one, two = (
        {row["step"]: row["train_loss"] for row in learning_curve(folder)}
        for folder in (alone, out)
    )
    assert one.keys() == two.keys()
    np.testing.assert_allclose([two[step] for step in one], list(one.values()), rtol=0.02)
