"""Precision by name, and the hardware's support of it."""

import pytest
import torch

from arlib.networks import devices
from arlib.networks.devices import bf16_in_hardware, resolve_device


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_any_unit_that_multiplies_bf16_counts(name, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True, "avx512_f": True})
    assert bf16_in_hardware("cpu")
    assert resolve_device("cpu", "auto")[1] == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: False, "avx512_f": True})
    assert not bf16_in_hardware("cpu")
    assert resolve_device("cpu", "auto")[1] == torch.float32
    assert resolve_device("cpu", "bf16")[1] == torch.bfloat16


def test_torch_names_this_processors_units():
    can = torch.cpu.get_capabilities()
    assert can.keys() & {"avx512_bf16", "amx_bf16", "bf16"}, sorted(can)


def test_without_a_gpu_it_has_no_tensor_cores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not bf16_in_hardware("cuda")
    assert resolve_device()[0] == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device()[0].type == "cuda"
    assert resolve_device("cpu")[0].type == "cpu"


def test_float32_stays_float32_on_any_hardware(monkeypatch):
    monkeypatch.setattr(devices, "bf16_in_hardware", lambda device: True)
    assert resolve_device()[1] == torch.float32


def test_an_unknown_name():
    with pytest.raises(ValueError, match="precision must be 'float32', 'bf16' or 'auto', not 'x'"):
        resolve_device(precision="x")
