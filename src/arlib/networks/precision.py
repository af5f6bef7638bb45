"""The precision and the device that a network runs in."""

from typing import Literal

import torch


def bf16_in_hardware(device: str | torch.device = "cpu") -> bool:
    """Check whether a device multiplies bfloat16 in hardware: AVX512-bf16, AMX, or tensor cores."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities()
    return any(bool(can.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_device(
    device: str | None = None, precision: Literal["float32", "bf16", "auto"] = "float32"
) -> tuple[torch.device, torch.dtype]:
    """Resolve where a network runs, and the number format that it runs in.

    Args:
        device: "cpu", "cuda", ...; None takes a GPU if there is one, or else the processor.
        precision: "float32"; "bf16", even where it is emulated and slow; "auto", which is bf16
            where the device has it in hardware and float32 elsewhere.

    Raises:
        ValueError: another precision.

    Example:
        >>> resolve_device("cpu", "bf16")
        (device(type='cpu'), torch.bfloat16)
    """
    if precision not in ("float32", "bf16", "auto"):
        raise ValueError(f"precision must be 'float32', 'bf16' or 'auto', not {precision!r}")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    fast = precision == "bf16" or (precision == "auto" and bf16_in_hardware(where))
    return where, torch.bfloat16 if fast else torch.float32
