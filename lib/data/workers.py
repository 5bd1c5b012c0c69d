"""Reads and prepares pictures in several processes, in order, with a bounded number in flight."""

import ctypes
import hashlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from lib.data.draft import PackingError
from lib.data.faces import NoFace
from lib.data.near import fingerprint
from lib.data.pictures import Unusable, prepare
from lib.data.sources import PictureSource, open_source
from lib.settings import Data, Source

CHUNK = 8
"""Pictures per task: enough that handing tasks over costs little, few enough to keep memory low."""
AHEAD = 3
"""Tasks in flight for each process."""
TRIED = 16
WORTHWHILE = 6.0
"""Processes take a second or two to start. After `TRIED` pictures they are started if, at that
speed, the rest takes this process more than so many seconds."""


class Outcome(NamedTuple):
    """What became of one picture: its pixels and facts, or why there are none."""

    pixels: np.ndarray | None
    """uint8 (S, S, 3), RGB."""
    facts: dict[str, Any]
    """Those of `pictures.Picture`, and `sha256` and `phash`."""
    kind: str = ""
    """Of a picture without pixels: `unusable` or `no face`."""
    reason: str = ""


def read(source: PictureSource, name: str, data: Data) -> Outcome:
    """Reads and prepares one picture."""
    try:
        content = source.read(name)
        picture = prepare(content, data, source.decoded)
    except Unusable as error:
        return Outcome(None, {}, "unusable", str(error))
    except NoFace as error:
        return Outcome(None, {}, "no face", str(error))
    raw = content if isinstance(content, bytes) else content.tobytes()
    sha256 = hashlib.sha256(raw).hexdigest()
    found = {**picture.facts, "sha256": sha256, "phash": fingerprint(picture.pixels)}
    return Outcome(picture.pixels, found)


def cores() -> int:
    """How many processes may work: OMP_NUM_THREADS if set, as in a batch, else all cores."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("OMP_NUM_THREADS") or here or 1)


class Workers:
    """Prepares the pictures of a cell's two sources; processes are begun at the first need."""

    def __init__(
        self, settings: Sequence[Source], data: Data, expected: int, count: int | None = None
    ) -> None:
        """Opens the sources.

        Args:
            settings: of the sources, by label.
            data: how pictures are prepared.
            expected: about how many pictures will be read in all.
            count: processes at most; with one, this process reads all itself. By default one for
                each core that may be used.
        """
        self.settings, self.data, self.count = tuple(settings), data, count or cores()
        self.sources: list[PictureSource] = [open_source(source, data) for source in settings]
        self._left, self._read, self._seconds = expected, 0, 0.0
        # One place for each task in flight, and one for the task whose outcomes are being used.
        size = data.image_size
        self._shape = (AHEAD * self.count + 1, CHUNK, size, size, 3)
        self._submitted = 0
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def outcomes(self, label: int, names: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
        """The outcomes of some names, in their order; a few dozen at most are ahead of the caller.

        Pixels are to be used at once: later outcomes may overwrite them.

        Raises:
            PackingError: if a worker process died.
        """
        names, waiting = iter(names), deque[tuple[list[str], np.ndarray, Future]]()
        while not self._worthwhile():
            begun = time.perf_counter()
            name = next(names, None)
            if name is None:
                return
            outcome = read(self.sources[label], name, self.data)
            self._seconds += time.perf_counter() - begun
            self._read, self._left = self._read + 1, self._left - 1
            yield name, outcome
        try:
            while True:
                while len(waiting) < AHEAD * self.count and (chunk := list(islice(names, CHUNK))):
                    waiting.append(self._submit(label, chunk))
                if not waiting:
                    return
                chunk, pixels, future = waiting.popleft()
                for name, outcome, found in zip(chunk, future.result(), pixels, strict=False):
                    yield name, outcome if outcome.kind else outcome._replace(pixels=found)
        except BrokenProcessPool:
            raise PackingError(
                f"{self.sources[label].title}: a process that read pictures died, perhaps for want "
                "of memory. What was packed is kept: run it again, with OMP_NUM_THREADS=1 to read "
                "in one process"
            ) from None
        finally:
            # A task that cannot be cancelled would write over the pixels of a later one.
            wait([future for *_, future in waiting if not future.cancel()])

    def _worthwhile(self) -> bool:
        """Whether other processes read faster than this one, the time to start them included."""
        if self.count == 1 or self._read < TRIED:
            return False
        return self._pool is not None or self._left * self._seconds / self._read > WORTHWHILE

    def _submit(self, label: int, names: list[str]) -> tuple[list[str], np.ndarray, Future]:
        """Hands a task over: its names, where its pixels will be, and its outcomes without them."""
        if not self._pool:
            context = multiprocessing.get_context("spawn")  # a fork would copy torch's locks
            buffer = context.RawArray(ctypes.c_uint8, math.prod(self._shape))
            self._pool = ProcessPoolExecutor(
                self.count, context, _begin, (self.settings, self.data, buffer, self._shape)
            )
            self._pixels = np.frombuffer(buffer, np.uint8).reshape(self._shape)
        place = self._submitted % len(self._pixels)
        self._submitted += 1
        return names, self._pixels[place], self._pool.submit(_read_all, label, names, place)


_here: dict[str, Any] = {}


def _begin(
    settings: tuple[Source, ...], data: Data, buffer: ctypes.Array, shape: tuple[int, ...]
) -> None:
    """Opens the sources in a worker, which ends with the process that began it, even if killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that began it
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _here["sources"], _here["data"] = [open_source(source, data) for source in settings], data
    _here["pixels"] = np.frombuffer(buffer, np.uint8).reshape(shape)


def _read_all(label: int, names: list[str], place: int) -> list[Outcome]:
    """Reads some pictures; their pixels are left in memory that the processes share."""
    outcomes = []
    for name, pixels in zip(names, _here["pixels"][place], strict=False):
        outcome = read(_here["sources"][label], name, _here["data"])
        if outcome.pixels is not None:
            pixels[:] = outcome.pixels
        outcomes.append(outcome._replace(pixels=None))
    return outcomes
