"""Say what to do where memory does not suffice."""

from collections.abc import Iterator
from contextlib import contextmanager

_SIGNS = ("out of memory", "not enough memory", "allocate memory", "ALLOC_FAILED")
"""What PyTorch's errors say then, on a processor, a GPU or Apple's, and of CUDA's libraries."""


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
