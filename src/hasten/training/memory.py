"""Running out of memory: how it shows, and what is said where nothing helps any more."""

from __future__ import annotations

from hasten.errors import Unsupported


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch, on a CPU or a GPU, or of Python says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text


def exhausted(parts: int) -> Unsupported:
    """A step does not fit although its batch is taken in so many parts."""
    return Unsupported(
        f"Memory runs out even where a batch is taken in {parts} parts. Take a smaller --batch, "
        "smaller samples, or a smaller model."
    )
