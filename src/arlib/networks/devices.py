"""The device that a network runs on: its number format, and what to do where it is too small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

_SIGNS = ("out of memory", "not enough memory", "allocate memory", "ALLOC_FAILED")
"""What PyTorch's errors say then, on a processor, a GPU or Apple's, and of CUDA's libraries."""


def bf16_in_hardware(device: str | torch.device = "cpu") -> bool:
    """Check whether a device multiplies bfloat16 in hardware: AVX512-bf16, AMX, or tensor cores."""
    import torch

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
    import torch

    if precision not in ("float32", "bf16", "auto"):
        raise ValueError(f"precision must be 'float32', 'bf16' or 'auto', not {precision!r}")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    fast = precision == "bf16" or (precision == "auto" and bf16_in_hardware(where))
    return where, torch.bfloat16 if fast else torch.float32


@contextmanager
def memory_for(batch_size: int, what: str) -> Iterator[None]:
    """Raise `MemoryError`, in a line that says what to lower, where a batch is too large.

    Example:
        >>> with memory_for(32, "training vgg16"):
        ...     raise RuntimeError("CUDA out of memory. Tried to allocate 98.00 MiB.")
        Traceback (most recent call last):
        ...
        MemoryError: too little memory for training vgg16 in batches of 32: lower batch_size
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in _SIGNS):
            raise
        how = f"in batches of {batch_size}: lower batch_size"
        if batch_size == 1:
            how = "image by image: take a smaller network, or another device"
        raise MemoryError(f"too little memory for {what} {how}") from error
