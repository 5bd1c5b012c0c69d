"""Drawing: what may not stand in two splits, and what a publisher's splits and identities mean."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from lib.data import near_duplicates
from lib.data.packing.journal import Draft, PackingError
from lib.data.packing.selection import Drawing
from lib.data.packing.workers import Outcome

SPLITS = {"test": 3, "validation": 2, "train": 4}


def noise(seed: int, size: int = 64) -> np.ndarray:
    """A picture unlike those of all other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    return coarse.repeat(size // 16, axis=0).repeat(size // 16, axis=1)


@dataclass
class Pictures:
    """A source of `count` pictures; what its publisher tells is given by name."""

    title: str
    first: int
    """The seed of its first picture."""
    count: int = 20
    splits: dict[str, str] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    same: dict[str, np.ndarray] = field(default_factory=dict)
    without_face: tuple[str, ...] = ()
    decoded = "made"

    def names(self) -> list[str]:
        return [f"{number:02d}" for number in range(self.count)]

    def split(self, name: str) -> str | None:
        return self.splits.get(name)

    def identity(self, name: str) -> str | None:
        return self.identities.get(name)

    def ignored(self) -> dict[str, int]:
        return {}

    def outcome(self, name: str) -> Outcome:
        if name in self.without_face:
            return Outcome(None, {}, "no face", "no face")
        pixels = self.same.get(name, noise(self.first + int(name)))
        sha256 = f"{self.title} {name}"
        return Outcome(pixels, {"sha256": sha256, "phash": near_duplicates.fingerprint(pixels)})


@pytest.fixture
def draw(tmp_path):
    """Draws all splits; returns the drawing and, by (label, split), the names drawn."""

    def go(real: Pictures, fake: Pictures, splits=SPLITS, folder="draft"):
        recipe = {"data": {"image_size": 64}, "splits": dict(splits)}
        draft = Draft(tmp_path / folder, recipe, 2 * sum(splits.values()))
        read = []

        class Workers:
            sources = (real, fake)

            def outcomes(self, label, names):
                for name in names:
                    read.append((label, name))
                    yield name, self.sources[label].outcome(name)

        drawing = Drawing(draft, Workers(), ["0/real", "0/fake"], sum(splits.values()))
        drawing.forget_outdated(max_skipped=0.5)
        first = 0
        for split, count in splits.items():
            for label in (0, 1):
                drawing.fill(label, split, list(range(first, first + count)))
                first += count
        drawing.check_skipped(0.5)
        names = {
            (label, split): [e.name for e in draft.used() if (e.label, e.split) == (label, split)]
            for label in (0, 1)
            for split in splits
        }
        return drawing, names, read

    return go


@pytest.fixture
def plain(draw):
    """What is drawn of two sources of which nothing else is known."""
    return draw(Pictures("leaves", 0), Pictures("gan", 100), folder="plain")[1]


def test_each_split_takes_the_next_names(plain):
    for label in (0, 1):
        drawn = [name for split in SPLITS for name in plain[label, split]]
        assert len(drawn) == len(set(drawn)) == sum(SPLITS.values())


def test_an_identity_never_stands_in_two_splits(draw, plain):
    (known, *_), (other, *_) = plain[0, "test"], plain[0, "validation"]
    real = Pictures("leaves", 0, identities={known: "Ada", other: "Ada"})
    drawing, names, read = draw(real, Pictures("gan", 100))
    assert known in names[0, "test"]
    assert all(other not in names[0, split] for split in SPLITS)
    assert (0, other) not in read, "it need not be read to know"
    expected = {"identity": [[other, f"shows Ada, as {known} in test"]]}
    assert drawing.about(0)["passed_over"] == expected
    assert drawing.about(1)["passed_over"] == {}


def test_an_identity_may_stand_twice_in_one_split(draw, plain):
    first, second, _ = plain[0, "test"]
    real = Pictures("leaves", 0, identities={first: "Ada", second: "Ada"})
    assert draw(real, Pictures("gan", 100))[1] == plain


@pytest.mark.parametrize(("label", "there"), [(0, 0), (1, 1), (1, 0)])
def test_near_duplicates_never_straddle_a_split(draw, plain, label, there):
    known, twin = plain[there, "test"][0], plain[label, "train"][1]
    pixels = noise((0, 100)[there] + int(known)).astype(int)
    brighter = (pixels + 3).clip(0, 255).astype(np.uint8)
    sources = [Pictures("leaves", 0), Pictures("gan", 100)]
    sources[label].same = {twin: brighter}
    drawing, names, _ = draw(*sources)
    assert all(twin not in names[label, split] for split in SPLITS)
    reason = f"near duplicate of {('real', 'fake')[there]}/{known} in test"
    assert drawing.about(label)["passed_over"] == {"near duplicate": [[twin, reason]]}
    assert drawing.about(1 - label)["passed_over"] == {}


def test_near_duplicates_may_stand_in_one_split(draw, plain):
    first, second = plain[1, "train"][:2]
    fake = Pictures("gan", 100)
    fake.same = {second: noise(100 + int(first))}
    assert draw(Pictures("leaves", 0), fake)[1] == plain


def test_pictures_without_a_face_are_counted_apart_and_any_number_may_be(draw):
    faceless = tuple(f"{number:02d}" for number in range(0, 20, 2))
    real = Pictures("leaves", 0, without_face=faceless)
    drawing, names, _ = draw(real, Pictures("gan", 100))
    about = drawing.about(0)
    assert about["skipped"] == []
    assert {name for name, _ in about["passed_over"]["no face"]} <= set(faceless)
    drawn = {name for split in SPLITS for name in names[0, split]}
    assert len(drawn) == 9
    assert not drawn & set(faceless)


def test_the_publishers_splits_are_kept(draw):
    published = {f"{n:02d}": ("test", "validation", "train")[n % 3] for n in range(20)}
    _, names, _ = draw(Pictures("leaves", 0, splits=published), Pictures("gan", 100))
    for split, count in SPLITS.items():
        assert len(names[0, split]) == count
        assert {published[name] for name in names[0, split]} == {split}


def test_too_few_in_a_publishers_split_is_an_error_that_says_so(draw):
    published = {f"{n:02d}": "train" if n > 1 else "test" for n in range(20)}
    with pytest.raises(PackingError, match="in the test split, its publisher's test alone"):
        draw(Pictures("leaves", 0, splits=published), Pictures("gan", 100))


def test_a_mended_picture_is_found_where_its_publishers_split_had_too_few(draw):
    """Other splits have names left; of this one, nothing more could be drawn."""
    published = {f"{n:02d}": "test" if n < 3 else ("train", "validation")[n % 2] for n in range(20)}
    real = Pictures("leaves", 0, splits=published)
    whole = real.outcome
    real.outcome = lambda name: (
        Outcome(None, {}, "unusable", "zero bytes") if name == "01" else whole(name)
    )
    with pytest.raises(PackingError, match="in the test split"):
        draw(real, Pictures("gan", 100))
    _, names, _ = draw(Pictures("leaves", 0, splits=published), Pictures("gan", 100))
    assert set(names[0, "test"]) == {"00", "01", "02"}


def test_a_class_whose_identities_are_told_otherwise_is_drawn_anew(draw):
    names = {f"{n:02d}": str(n) for n in range(20)}
    draw(Pictures("leaves", 0, identities=names), Pictures("gan", 100))
    same = dict.fromkeys(names, "Ada")
    with pytest.raises(PackingError, match="shows Ada"):
        draw(Pictures("leaves", 0, identities=same), Pictures("gan", 100))


def test_what_was_passed_over_is_known_after_an_interruption(draw, plain):
    (known, *_), (other, *_) = plain[0, "test"], plain[0, "validation"]
    real = Pictures("leaves", 0, identities={known: "Ada", other: "Ada"})
    unbroken = draw(real, Pictures("gan", 100), folder="unbroken")
    fake = Pictures("gan", 100)
    reads, outcome = iter(range(11)), fake.outcome
    stopped = Pictures("gan", 100)

    def stopping(name):
        if next(reads, None) is None:
            raise KeyboardInterrupt
        return outcome(name)

    stopped.outcome = stopping
    for _ in range(2):
        reads = iter(range(3))
        with pytest.raises(KeyboardInterrupt):
            draw(real, stopped)
    again = draw(real, fake)
    assert again[1] == unbroken[1]
    assert again[0].about(0) == unbroken[0].about(0)
