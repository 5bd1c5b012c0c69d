"""What is recorded of a finished folder; a kill leaves nothing that passes for one."""

from unittest.mock import Mock

import pytest

from lib.study import files


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "epochs").mkdir(parents=True)
    for name in ("mark.json", "a.csv", "epochs/b.csv"):
        (made / name).write_text(name)
    return made


def test_what_a_kill_left_of_a_write_is_not_recorded(folder):
    left = folder / ".a.csv.abcd.partial"
    left.write_text("half of")
    files.record(folder, "a")
    assert list(files.recorded(folder)["sha256"]) == ["a.csv", "mark.json"]
    left.unlink()  # as a write does an hour later
    assert files.check(folder, "")


def test_the_code_is_known_before_anything_is_made(tmp_path):
    draft = tmp_path / "draft"
    files.begin(draft, None)
    assert not files.recorded(draft)
    files.begin(draft, "a")
    files.begin(draft, "b")
    assert files.of_other_code(draft, "b") and not files.of_other_code(draft, None)
    (draft / "c.csv").write_text("c")
    files.record(draft, None)
    assert files.recorded(draft) == {
        "code": "a",
        "sha256": {"c.csv": files.digest(draft / "c.csv")},
    }


def test_the_mark_goes_first(folder, monkeypatch):
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(files.shutil, "rmtree", Mock(side_effect=KeyboardInterrupt))
        files.discard(folder, "mark.json")
    assert (folder / "a.csv").exists() and not (folder / "mark.json").exists()
    files.discard(folder, "mark.json")
    files.discard(folder, "mark.json")  # of nothing, nothing
    assert not folder.exists()


def test_a_file_is_held_to_its_record_where_there_is_one(folder):
    files.hold_to_record(folder, folder / "a.csv")
    files.record(folder, None)
    files.hold_to_record(folder, folder / "a.csv")
    (folder / "a.csv").write_text("other")
    with pytest.raises(files.DamagedError, match=r"a\.csv is not the file .* Do this"):
        files.hold_to_record(folder, folder / "a.csv", ". Do this")
