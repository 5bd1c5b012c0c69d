"""What is bad is said in a sentence, with what to do, or mended: no traceback, nothing let in."""

import pytest
from bad_input import CHECK, KINDS, PACK, REPORT, TRAIN, VOTE, Bad, Place, act, copied, lay
from matplotlib.figure import Figure
from PIL import Image

from lib.study import paths


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Place:
    """A packed study with a voted network."""
    place = lay(tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, place, {})
        assert [act(what) for what in (PACK, TRAIN, VOTE, REPORT, CHECK)] == [0] * 5
    return place


def enter(patch: pytest.MonkeyPatch, place: Place, environment: dict[str, str]) -> None:
    for name, value in {**place.environment, **environment}.items():
        patch.setenv(name, value)
    patch.setattr(paths, "PARAMS", place.study.parent)
    patch.setattr("huggingface_hub.constants.ENDPOINT", "https://localhost:9")  # no network
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    drawn = Image.new("RGB", (1, 1))  # drawing takes longest
    patch.setattr(Figure, "savefig", lambda _, to, **how: drawn.save(to, "PNG"))
    patch.chdir(place.root)


@pytest.mark.parametrize("bad", KINDS, ids=lambda bad: f"{bad.kind}, {bad.arguments[0]}")
def test_what_is_bad_is_said(made, bad: Bad, tmp_path, monkeypatch, capsys):
    place = copied(made, tmp_path / "place")
    enter(monkeypatch, place, bad.environment)
    bad.make(place)
    status = act(bad.arguments)
    said = "".join(capsys.readouterr())
    assert status == bad.status and bad.said in said, said
    assert "Traceback" not in said and len(said) < 3000
