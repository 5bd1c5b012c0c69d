"""Reads and prepares pictures in several processes, in order, with a bounded number in flight.

The pool is the standard library's. joblib's would not do: its generator reads on, however far,
while the caller is busy, an early stop ends its processes, and they outlive a killed parent.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from joblib import cpu_count

from lib.data.faces import NoFace
from lib.data.images import Unusable, prepare
from lib.data.near_duplicates import fingerprint
from lib.data.packing.journal import PackingError
from lib.data.sources.interface import PictureSource
from lib.data.sources.registry import open_source
from lib.study.schema import Preparation, Source

CHUNK = 8
"""Pictures per task: enough that handing tasks over costs little, few enough to keep memory low."""
AHEAD = 3  # tasks in flight for each process
TRIED = 16
WORTHWHILE = 6.0
"""Processes take a second or two to start. After `TRIED` pictures they are started if, at that
speed, the rest takes this process more than so many seconds."""


Note = Callable[[np.ndarray], dict[str, Any]]
"""More facts of a prepared picture, uint8 (S, S, 3): a function that other processes find, too."""


class Outcome(NamedTuple):
    """What became of one picture: its pixels and facts, or why there are none."""

    pixels: np.ndarray | None  # uint8 (S, S, 3), RGB
    facts: dict[str, Any]  # those of `lib.data.images.Picture`, and `sha256` and `phash`
    kind: str = ""  # of a picture without pixels: `unusable` or `no face`
    reason: str = ""


def read(source: PictureSource, name: str, data: Preparation, note: Note | None = None) -> Outcome:
    """Reads and prepares one picture; its facts are also what `note` says of it."""
    try:
        content = source.read(name)
        picture = prepare(content, data, source.decoded)
    except Unusable as error:
        return Outcome(None, {}, "unusable", str(error))
    except NoFace as error:
        return Outcome(None, {}, "no face", str(error))
    raw = content if isinstance(content, bytes) else content.tobytes()
    hashes = {"sha256": hashlib.sha256(raw).hexdigest(), "phash": fingerprint(picture.pixels)}
    more = note(picture.pixels) if note else {}
    return Outcome(picture.pixels, {**picture.facts, **hashes, **more})


def cores() -> int:
    """How many processes may work: OMP_NUM_THREADS if set, as in a batch, else all cores.

    Of a machine that is shared, those that this process may use; of a container, its share.
    """
    return int(os.environ.get("OMP_NUM_THREADS") or cpu_count())


class Workers(AbstractContextManager):
    """Prepares the pictures of a cell's two sources; processes are begun at the first need."""

    def __init__(
        self,
        settings: Sequence[Source],
        data: Preparation,
        expected: int,
        count: int | None = None,
        note: Note | None = None,
    ) -> None:
        """Opens the sources, given by label; about `expected` pictures will be read in all.

        There are `count` processes at most, by default one for each core that may be used; with
        one, this process reads all itself. What `note` says is noted of every picture.
        """
        self.settings, self.data, self.count = tuple(settings), data, count or cores()
        self.note = note
        self.sources: list[PictureSource] = [open_source(source, data) for source in settings]
        self._left, self._read, self._seconds = expected, 0, 0.0
        self._pool: ProcessPoolExecutor | None = None

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def outcomes(self, label: int, names: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
        """The outcomes of some names, in their order; a few dozen at most are ahead of the caller.

        Raises PackingError if a worker process died.
        """
        names = iter(names)
        while not self._worthwhile():
            begun = time.perf_counter()
            name = next(names, None)
            if name is None:
                return
            outcome = read(self.sources[label], name, self.data, self.note)
            self._seconds += time.perf_counter() - begun
            self._read, self._left = self._read + 1, self._left - 1
            yield name, outcome
        waiting: deque[tuple[list[str], Future]] = deque()
        if not self._pool:
            spawn = multiprocessing.get_context("spawn")  # a fork would copy torch's locks
            given = self.settings, self.data, self.note
            self._pool = ProcessPoolExecutor(self.count, spawn, _begin, given)
        try:
            while True:
                while len(waiting) < AHEAD * self.count and (chunk := list(islice(names, CHUNK))):
                    waiting.append((chunk, self._pool.submit(_read_here, label, chunk)))
                if not waiting:
                    return
                chunk, future = waiting.popleft()
                yield from zip(chunk, future.result(), strict=True)
        except BrokenProcessPool:
            raise PackingError(
                f"{self.sources[label].title}: a process that read pictures died, perhaps for want "
                "of memory. What was packed is kept: run it again, with OMP_NUM_THREADS=1 to read "
                "in one process"
            ) from None
        finally:  # the caller may have enough before all are read
            for _, future in waiting:
                future.cancel()

    def _worthwhile(self) -> bool:
        """Whether other processes read faster than this one, the time to start them included."""
        if self.count == 1 or self._read < TRIED:
            return False
        return self._pool is not None or self._left * self._seconds / self._read > WORTHWHILE


_here: dict[str, Any] = {}


def _begin(settings: tuple[Source, ...], data: Preparation, note: Note | None) -> None:
    """Opens the sources in a worker, which ends with the process that began it, even if killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that began it
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _here["sources"] = [open_source(source, data) for source in settings]
    _here["how"] = data, note


def _read_here(label: int, names: list[str]) -> list[Outcome]:
    return [read(_here["sources"][label], name, *_here["how"]) for name in names]
