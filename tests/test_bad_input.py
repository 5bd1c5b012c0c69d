"""What is bad is said in a sentence, with what to do, or mended: no traceback, nothing let in."""

import pytest
from bad_input import KINDS, PACK, TRAIN, VOTE, Bad, Place, copied, lay

from lib import __main__, margins
from lib.results import tables
from lib.study import paths, reading
from lib.voting import rules


def vote() -> int:
    """Votes as notebook 02 does; what is wrong is printed as `python -m lib` prints it."""
    try:
        run = reading.run("tiny", "leaves", "gan_a", patch_size=16)
        sheet = tables.Sheet(run, 2, margins.load(run, run.test))
        for rule in rules.voting_on("grid"):
            sheet.vote(rule)
    except __main__.ERRORS as error:
        print(error)
        return 1
    return 0


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Place:
    """A packed study with one network."""
    place = lay(tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, place)
        assert __main__.main(PACK) == __main__.main(TRAIN) == 0
        assert vote() == __main__.main(("check", "--study", "tiny")) == 0
    return place


def enter(patch: pytest.MonkeyPatch, place: Place) -> None:
    for name, value in place.environment.items():
        patch.setenv(name, value)
    patch.setattr(paths, "PARAMS", place.study.parent)
    patch.chdir(place.root)


@pytest.mark.parametrize("bad", KINDS, ids=lambda bad: f"{bad.kind}, {bad.arguments[0]}")
def test_what_is_bad_is_said(made, bad: Bad, tmp_path, monkeypatch, capsys):
    place = copied(made, tmp_path / "place")
    enter(monkeypatch, place)
    bad.make(place)
    status = vote() if bad.arguments == VOTE else __main__.main(bad.arguments)
    said = "".join(capsys.readouterr())
    assert status == bad.status and bad.said in said, said
    assert "Traceback" not in said and len(said) < 3000
