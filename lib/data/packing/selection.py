"""Draws a cell's pictures, split by split: which name becomes which row, and why a name does not.

A class's names are put in an order that the data seed fixes, and each split takes the next ones,
the test split first. A picture is passed over if its identity, or a near duplicate of it, stands
in another split already. With folds all pictures stand in one split, and `lib.data.packing.folds`
keeps such pictures together.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np

from lib.data import near_duplicates
from lib.data.packed import CLASSES
from lib.data.packing.journal import Draft, Entry, PackingError
from lib.data.packing.workers import Outcome, Workers
from lib.data.sources.interface import PictureSource, SourceError
from lib.progress import bar

PASSED_OVER = ("no face", "near duplicate", "identity")
"""Why a picture that can be used does not become a row; there may be any number of such."""


class _Deck:
    """One class's pictures in the order in which they are drawn, which `key` alone fixes."""

    def __init__(self, label: int, source: PictureSource, key: str) -> None:
        self.label, self.source, self.names = label, source, source.names()
        if not len(self.names):
            raise SourceError(f"{source.title}: no PNG, JPEG or WebP picture in it")
        listing = hashlib.sha256(key.encode())
        for name in self.names:
            known = f"\n{name}\t{source.split(name)}\t{source.identity(name)}"
            listing.update(known.encode("utf-8", "surrogateescape"))
        self.listing = listing.hexdigest()  # of the key, and of what is known of all names
        self.order = generator_of(key).permutation(len(self.names))  # indices into the names

    def exhausted(self, drawn: list[Entry]) -> bool:
        """Whether nothing is left to draw for the split that was drawn last."""
        names, allowed = {entry.name for entry in drawn}, (None, drawn[-1].split)
        return all(n in names or self.source.split(n) not in allowed for n in self.names)


class Drawing:
    """Draws the two classes of a cell into a draft."""

    def __init__(self, draft: Draft, workers: Workers, keys: list[str], rows: int) -> None:
        """Lists both sources, by label; each of `keys` alone fixes the order of a class's names.

        Each class has `rows` rows in all splits. Raises SourceError if a source has no picture.
        """
        self.draft, self.workers, self.rows = draft, workers, rows
        classes = zip(workers.sources, keys, strict=True)
        self.decks = [_Deck(label, source, key) for label, (source, key) in enumerate(classes)]

    def forget_outdated(self, max_skipped: float) -> None:
        """Drops a class that was drawn from other names, or that ended with too many unusable.

        In both cases its pictures may have been mended since; the other class is kept.
        """
        for deck in self.decks:
            drawn, filled = self.draft.of_class(deck.label), self._filled(deck.label)
            unusable = len(self._why_not(deck.label, "unusable"))
            too_few = filled < self.rows and unusable and deck.exhausted(drawn)
            too_many = filled == self.rows and unusable > max_skipped * len(drawn)
            if too_few or too_many or any(entry.listing != deck.listing for entry in drawn):
                self.draft.forget(deck.label)

    def fill(self, label: int, split: str, rows: list[int], *, folds: bool = False) -> None:
        """Draws one class until every row of one split, in their order, has its picture.

        With `folds` as many have one as there are pictures, whatever split their publisher says.
        Raises PackingError if too few are usable, or a picture stands in both classes; what was
        drawn is kept.
        """
        filled = {entry.row for entry in self.draft.used()}
        missing = [row for row in rows if row not in filled]
        if not missing:
            return
        deck = self.decks[label]
        title, there = deck.source.title, len(rows) - len(missing)
        titles = [other.source.title for other in self.decks]
        part = _Part(self.draft, deck, split, titles, folds)
        with (
            closing(part.entries(self.workers)) as entries,
            self.draft.writing() as add,
            bar(desc=f"{title}, {split}", total=len(rows), initial=there, unit="image") as progress,
        ):
            for entry, outcome in entries:
                if not entry.kind:
                    entry.row = missing.pop(0)
                    progress.update()
                add(entry, {**outcome.facts, "source": title}, outcome.pixels)
                if not missing:
                    return
        if folds:
            return
        published = any(map(deck.source.split, deck.names))
        limited = f" (in the {split} split, its publisher's {split} alone)" * published
        raise PackingError(
            f"{title}: {self.rows} usable images are asked for, {self._filled(label)} of its "
            f"{len(deck.names)} are usable{limited}{self._examples(label)}. Lower data.per_class, "
            "or add some"
        )

    def check_skipped(self, allowed: float) -> None:
        """Raises PackingError if more than a share `allowed` of a class's draws was unusable."""
        for deck in self.decks:
            tried = len(self.draft.of_class(deck.label))
            unusable = len(self._why_not(deck.label, "unusable"))
            if unusable > allowed * tried:
                raise PackingError(
                    f"{deck.source.title}: {unusable} of {tried} drawn images cannot be used, "
                    f"more than data.max_skipped = {allowed:g} of them"
                    f"{self._examples(deck.label)}. Mend or remove them, or raise data.max_skipped"
                )

    def about(self, label: int) -> dict[str, Any]:
        """What packed.json says of a class: its source, what was skipped, passed over, ignored."""
        deck = self.decks[label]
        passed_over = {kind: self._why_not(label, kind) for kind in PASSED_OVER}
        return {
            "source": deck.source.title,
            "of": len(deck.names),
            "skipped": self._why_not(label, "unusable"),
            "passed_over": {kind: names for kind, names in passed_over.items() if names},
            "ignored": deck.source.ignored(),
        }

    def _filled(self, label: int) -> int:
        return sum(entry.row is not None for entry in self.draft.of_class(label))

    def _why_not(self, label: int, kind: str) -> list[list[str]]:
        """Names that did not become rows for one kind of reason, each with the reason."""
        entries = self.draft.of_class(label)
        return [[entry.shown, entry.reason] for entry in entries if entry.kind == kind]

    def _examples(self, label: int, count: int = 3) -> str:
        failed = [entry for entry in self.draft.of_class(label) if entry.row is None]
        named = "; ".join(f"{entry.shown} ({entry.reason})" for entry in failed[:count])
        return f" (for example {named})" if failed else ""


class _Part:
    """One split of one class while it is drawn: what may not stand in it, and what already does.

    Other splits do not change meanwhile, nor does with `folds`, which part each class by itself,
    the other class. `titles` are the sources', by label.
    """

    def __init__(
        self, draft: Draft, deck: _Deck, split: str, titles: list[str], folds: bool
    ) -> None:
        self.deck, self.split, self.titles, self.folds = deck, split, titles, folds
        used = draft.used()
        self.drawn = {entry.name for entry in draft.of_class(deck.label)}
        self.files = {entry.sha256: entry for entry in used}
        apart = lambda entry: entry.label != deck.label if folds else entry.split != split  # noqa: E731
        self.elsewhere = [entry for entry in used if apart(entry)]
        self.fingerprints = near_duplicates.bits([entry.phash for entry in self.elsewhere])
        self.identities = {e.identity: e for e in self.elsewhere if e.label == deck.label}
        self.identities.pop(None, None)  # of whom the publisher does not tell
        # Of the names that are being read, and of those between them that need not be.
        self._ahead: deque[Entry] = deque()

    def entries(self, workers: Workers) -> Iterator[tuple[Entry, Outcome]]:
        """What becomes of each name, in drawing order; one that has a kind is not taken.

        Raises PackingError if the same file stands in the other class.
        """
        not_read = Outcome(None, {})
        with closing(workers.outcomes(self.deck.label, self._names())) as outcomes:
            for _, outcome in outcomes:
                while (entry := self._ahead.popleft()).kind:
                    yield entry, not_read
                self._compare(entry, outcome)
                yield entry, outcome
        yield from ((entry, not_read) for entry in self._ahead)

    def _names(self) -> Iterator[str]:
        deck = self.deck
        for name in (deck.names[index] for index in deck.order):
            others = not self.folds and deck.source.split(name) not in (None, self.split)
            if name in self.drawn or others:
                continue
            identity = deck.source.identity(name)
            entry = Entry(deck.label, name, self.split, deck.listing, identity)
            self._ahead.append(entry)
            if there := self.identities.get(identity):
                entry.kind = "identity"
                entry.reason = f"shows {identity}, as {there.shown} in {there.split}"
            else:
                yield name

    def _compare(self, entry: Entry, outcome: Outcome) -> None:
        """Completes the entry of a picture that was read; its kind says why it is not taken."""
        entry.kind, entry.reason = outcome.kind, outcome.reason
        if outcome.pixels is None:
            return
        entry.sha256, entry.phash = outcome.facts["sha256"], outcome.facts["phash"]
        twin = self.files.get(entry.sha256)
        close = near_duplicates.close(near_duplicates.bits([entry.phash])[0], self.fingerprints)
        if twin and twin.label != entry.label:
            both = [f"{self.titles[each.label]}: {each.shown}" for each in (twin, entry)]
            raise PackingError(
                f"the same file stands in both classes: {' and '.join(both)}. Remove it from the "
                "class that it does not belong to"
            )
        if twin:
            entry.kind, entry.reason = "unusable", f"the same file as {twin.shown}"
        elif len(close):
            other = self.elsewhere[close[0]]
            entry.kind = "near duplicate"
            entry.reason = f"{entry.kind} of {CLASSES[other.label]}/{other.shown} in {other.split}"
        else:
            self.files[entry.sha256] = entry


def generator_of(key: str) -> np.random.Generator:
    """A generator whose numbers depend on `key` alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.default_rng(seed)
