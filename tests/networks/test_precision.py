"""Precision by name, and the hardware's support of it."""

import pytest
import torch

from arlib.networks import precision
from arlib.networks.precision import best_device, bf16_in_hardware, resolve_dtype


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_any_unit_that_multiplies_bf16_counts(name, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True, "avx512_f": True})
    assert bf16_in_hardware("cpu")
    assert resolve_dtype("auto", "cpu") == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: False, "avx512_f": True})
    assert not bf16_in_hardware("cpu")
    assert resolve_dtype("auto", "cpu") == torch.float32
    assert resolve_dtype("bf16", "cpu") == torch.bfloat16


def test_torch_names_this_processors_units():
    can = torch.cpu.get_capabilities()
    assert can.keys() & {"avx512_bf16", "amx_bf16", "bf16"}, sorted(can)


def test_without_a_gpu_it_has_no_tensor_cores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not bf16_in_hardware("cuda")
    assert best_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert best_device().type == "cuda"
    assert best_device("cpu").type == "cpu"


def test_float32_stays_float32_on_any_hardware(monkeypatch):
    monkeypatch.setattr(precision, "bf16_in_hardware", lambda device: True)
    assert resolve_dtype("float32") == torch.float32


def test_an_unknown_name():
    with pytest.raises(ValueError, match="precision must be 'float32', 'bf16' or 'auto', not 'x'"):
        resolve_dtype("x")
