"""The precision and the device that a network runs in."""

from typing import Literal

import torch

Precision = Literal["float32", "bf16", "auto"]


def bf16_in_hardware(device: str | torch.device = "cpu") -> bool:
    """Check whether a device multiplies bfloat16 in hardware: AVX512-bf16, AMX, or tensor cores."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities()
    return any(bool(can.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_dtype(precision: Precision, device: str | torch.device = "cpu") -> torch.dtype:
    """Resolve a precision's name to a dtype for a device.

    Args:
        precision: "float32"; "bf16", even where it is emulated and slow; "auto", which is bf16
            where the device has it in hardware and float32 elsewhere.
        device: where the network will run.

    Raises:
        ValueError: another name.

    Example:
        >>> resolve_dtype("float32"), resolve_dtype("bf16")
        (torch.float32, torch.bfloat16)
    """
    if precision not in ("float32", "bf16", "auto"):
        raise ValueError(f"precision must be 'float32', 'bf16' or 'auto', not {precision!r}")
    if precision == "bf16" or (precision == "auto" and bf16_in_hardware(device)):
        return torch.bfloat16
    return torch.float32


def best_device(device: str | None = None) -> torch.device:
    """Return the named device, or else a GPU if there is one, or the processor.

    Example:
        >>> best_device("cpu")
        device(type='cpu')
    """
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
