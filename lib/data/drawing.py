"""Draws a cell's pictures, split by split: which name becomes which row, and why a name does not.

A class's names are put in an order that the data seed fixes, and each split takes the next ones,
the test split first. A picture is passed over if its identity, or a near duplicate of it, stands
in another split already.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.data import near
from lib.data.draft import Draft, Entry, PackingError
from lib.data.sources import PictureSource, SourceError
from lib.data.workers import Outcome, Workers
from lib.progress import bar

CLASSES = ("real", "fake")
PASSED_OVER = ("no face", "near duplicate", "identity")
"""Why a picture that can be used does not become a row; there may be any number of such."""


@dataclass(frozen=True)
class _Class:
    """One class's pictures in the order in which they are drawn."""

    label: int
    source: PictureSource
    names: Sequence[str]
    order: np.ndarray
    """int64 (N,): indices into `names`."""
    listing: str
    """A hash of what seeded their order, and of the names with their splits and identities."""
    rows: int
    """How many rows the class has to fill, in all splits."""


class Drawing:
    """Draws the two classes of a cell into a draft."""

    def __init__(self, draft: Draft, workers: Workers, keys: list[str], rows: list[int]) -> None:
        """Lists both sources.

        Args:
            draft: what was drawn so far.
            workers: reads the pictures.
            keys: by label, what alone fixes the order of a class's names.
            rows: by label, how many rows the class has in all splits.

        Raises:
            SourceError: if a source has no picture.
        """
        self.draft, self.workers = draft, workers
        self.classes = [
            _listed(label, source, key, count)
            for label, (source, key, count) in enumerate(
                zip(workers.sources, keys, rows, strict=True)
            )
        ]

    def forget_outdated(self, max_skipped: float) -> None:
        """Drops a class that was drawn from other names, or that ended with too many unusable.

        In both cases its pictures may have been mended since; the other class is kept.
        """
        for of in self.classes:
            drawn, filled = self.draft.of(of.label), self._filled(of.label)
            unusable = len(self._why_not(of.label, "unusable"))
            too_few = filled < of.rows and unusable and _exhausted(of, drawn)
            too_many = filled == of.rows and unusable > max_skipped * len(drawn)
            if too_few or too_many or any(entry.listing != of.listing for entry in drawn):
                self.draft.forget(of.label)

    def fill(self, label: int, split: str, rows: list[int]) -> None:
        """Draws one class until every row of one split has its picture.

        Args:
            label: real = 0, fake = 1.
            split: its name.
            rows: the split's rows, to be filled in this order.

        Raises:
            PackingError: if too few are usable, or a picture stands in both classes. What was drawn
                is kept.
        """
        filled = {entry.row for entry in self.draft.used()}
        missing = [row for row in rows if row not in filled]
        if not missing:
            return
        of = self.classes[label]
        part = _Part(self.draft, of, split, [each.source.title for each in self.classes])
        with (
            closing(self.workers.outcomes(label, part.candidates())) as outcomes,
            self.draft.writing() as add,
            bar(
                desc=f"{of.source.title}, {split}",
                total=len(rows),
                initial=len(rows) - len(missing),
                unit="image",
            ) as progress,
        ):
            for name, outcome in outcomes:
                for passed in part.passed_before(name):
                    add(passed, {}, None)
                entry = part.judge(name, outcome)
                if not entry.kind:
                    entry.row = missing.pop(0)
                    progress.update()
                add(entry, {**outcome.facts, "source": of.source.title}, outcome.pixels)
                if not missing:
                    return
            for passed in part.passed_before(None):
                add(passed, {}, None)
        raise PackingError(
            f"{of.source.title}: {of.rows} usable images are asked for, {self._filled(label)} of "
            f"its {len(of.names)} are usable{part.limited_to}{self._examples(label)}. Lower "
            "data.per_class, or add some"
        )

    def check_skipped(self, allowed: float) -> None:
        """Raises PackingError if more than a share `allowed` of a class's draws was unusable."""
        for of in self.classes:
            tried, unusable = len(self.draft.of(of.label)), self._why_not(of.label, "unusable")
            if len(unusable) > allowed * tried:
                raise PackingError(
                    f"{of.source.title}: {len(unusable)} of {tried} drawn images cannot be used, "
                    f"more than data.max_skipped = {allowed:g} of them{self._examples(of.label)}. "
                    "Mend or remove them, or raise data.max_skipped"
                )

    def about(self, label: int) -> dict[str, Any]:
        """What packed.json says of a class: its source, what was skipped, passed over, ignored."""
        of = self.classes[label]
        passed_over = {kind: self._why_not(label, kind) for kind in PASSED_OVER}
        return {
            "source": of.source.title,
            "of": len(of.names),
            "skipped": self._why_not(label, "unusable"),
            "passed_over": {kind: found for kind, found in passed_over.items() if found},
            "ignored": of.source.ignored(),
        }

    def _filled(self, label: int) -> int:
        return sum(entry.row is not None for entry in self.draft.of(label))

    def _why_not(self, label: int, kind: str) -> list[list[str]]:
        """Names that did not become rows for one kind of reason, each with the reason."""
        return [[e.shown, e.reason] for e in self.draft.of(label) if e.kind == kind]

    def _examples(self, label: int, count: int = 3) -> str:
        failed = [entry for entry in self.draft.of(label) if entry.row is None]
        named = "; ".join(f"{entry.shown} ({entry.reason})" for entry in failed[:count])
        return f" (for example {named})" if failed else ""


class _Part:
    """One split of one class while it is drawn: what may not stand in it, and what already does."""

    def __init__(self, draft: Draft, of: _Class, split: str, titles: list[str]) -> None:
        """Gathers what the draft holds; other splits do not change while this one is drawn.

        Args:
            draft: what was drawn so far.
            of: the class.
            split: its name.
            titles: by label, the sources' titles.
        """
        self.of, self.split, self.titles = of, split, titles
        self.drawn = {entry.name for entry in draft.of(of.label)}
        self.files = {entry.sha256: entry for entry in draft.used()}
        self.elsewhere = [entry for entry in draft.used() if entry.split != split]
        self.fingerprints = near.bits([entry.phash for entry in self.elsewhere])
        self.identities = {
            entry.identity: entry
            for entry in self.elsewhere
            if entry.label == of.label and entry.identity is not None
        }
        self._passed: dict[str | None, list[Entry]] = {}

    @property
    def limited_to(self) -> str:
        """How the publisher's splits limit what may be drawn, for messages."""
        published = any(self.of.source.split(name) for name in self.of.names)
        return f" (in the {self.split} split, its publisher's {self.split} alone)" * published

    def candidates(self) -> Iterator[str]:
        """The names to read, in drawing order."""
        source, passed = self.of.source, []
        for index in self.of.order:
            name = self.of.names[index]
            if name in self.drawn or source.split(name) not in (None, self.split):
                continue
            there = self.identities.get(source.identity(name))
            if there:
                reason = f"shows {there.identity}, as {there.shown} in {there.split}"
                passed.append(self._entry(name, "identity", reason))
            else:
                self._passed[name], passed = passed, []
                yield name
        self._passed[None] = passed

    def passed_before(self, name: str | None) -> list[Entry]:
        """The names passed over unread just before one that was read; with None, after the last."""
        return self._passed.pop(name)

    def judge(self, name: str, outcome: Outcome) -> Entry:
        """The entry of a name that was read; it has a kind and a reason if it is not taken.

        Raises:
            PackingError: if the same file stands in the other class.
        """
        if outcome.pixels is None:
            return self._entry(name, outcome.kind, outcome.reason)
        entry = self._entry(name)
        entry.sha256, entry.phash = outcome.facts["sha256"], outcome.facts["phash"]
        twin = self.files.get(entry.sha256)
        close = near.close(near.bits([entry.phash])[0], self.fingerprints)
        if twin and twin.label != entry.label:
            raise PackingError(
                f"the same file stands in both classes: {self._known(twin)} and "
                f"{self._known(entry)}. Remove it from the class that it does not belong to"
            )
        if twin:
            entry.kind, entry.reason = "unusable", f"the same file as {twin.shown}"
        elif len(close):
            there = self.elsewhere[close[0]]
            entry.kind = "near duplicate"
            entry.reason = (
                f"near duplicate of {CLASSES[there.label]}/{there.shown} in {there.split}"
            )
        else:
            self.files[entry.sha256] = entry
        return entry

    def _entry(self, name: str, kind: str = "", reason: str = "") -> Entry:
        identity = self.of.source.identity(name)
        return Entry(
            self.of.label, name, self.split, self.of.listing, identity, kind=kind, reason=reason
        )

    def _known(self, entry: Entry) -> str:
        return f"{self.titles[entry.label]}: {entry.shown}"


def _listed(label: int, source: PictureSource, key: str, rows: int) -> _Class:
    names, digest = source.names(), hashlib.sha256(key.encode())
    if not len(names):
        raise SourceError(f"{source.title}: no PNG, JPEG or WebP picture in it")
    for name in names:
        known = f"\n{name}\t{source.split(name)}\t{source.identity(name)}"
        digest.update(known.encode("utf-8", "surrogateescape"))
    return _Class(label, source, names, _order(key, len(names)), digest.hexdigest(), rows)


def _exhausted(of: _Class, drawn: list[Entry]) -> bool:
    """Whether nothing is left to draw for the split that was drawn last."""
    names, split = {entry.name for entry in drawn}, drawn[-1].split
    return all(name in names or of.source.split(name) not in (None, split) for name in of.names)


def _order(key: str, count: int) -> np.ndarray:
    """A random order of `count` names that depends on `key` alone: int64 (count,)."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.default_rng(seed).permutation(count)
