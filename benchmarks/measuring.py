"""Seconds of two ways taken in turn, the highest memory of a piece of work, and a table's row."""

import ctypes
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # packing is measured in processes that do not need it
    import torch


@dataclass
class Row:
    """One line of the benchmark; None where something does not apply."""

    name: str
    patch_size: int | None
    value: float
    """Ours."""
    unit: str
    baseline: float | None = None
    """The plain way's, in the same unit and the same run."""
    ratio: float | None = None
    """How many times faster ours is: the median over repeats in which both were taken in turn."""
    ceiling_share: float | None = None
    """The arithmetic that ours does in a second, as a share of the matrix-product ceiling."""
    over_eager: float | None = None
    """The ratio to plain PyTorch in the precision of ours, channels last; not in the JSON file."""
    roofline_share: float | None = None
    """Ours over the rate that arithmetic and memory together allow; not in the JSON file."""
    memory: float | None = None
    """The highest memory of ours, GiB; not in the JSON file."""


def seconds(work: Callable[[], object], device: "torch.device") -> float:
    """How long a piece of work takes, all that it started on the device included."""
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def in_turn(
    repeats: int, device: "torch.device", *ways: Callable[[], object], warm: bool = False
) -> list[tuple[float, ...]]:
    """The seconds of several ways, taken in turn so often.

    With `warm` each is done once more just before, so that what the other ways left of caches and
    memory counts for none, as in work that lasts; else warming them up is the caller's.
    """
    spent = []
    for _ in range(repeats):
        line = []
        for way in ways:
            if warm:
                way()
            line.append(seconds(way, device))
        spent.append(tuple(line))
    return spent


@contextmanager
def highest_memory(device: "torch.device") -> Iterator[Callable[[], float]]:
    """Yields a function that tells the highest memory since then, GiB: the device's, or ours.

    On the CPU it is the whole process's; where the system does not let its mark be reset, of all
    that the process did.
    """
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device) / 2**30
        return
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # what is kept from earlier work is not this one's
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    yield lambda: _resident_peak() / 2**30


def _resident_peak() -> float:
    """Bytes."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return float("nan")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
