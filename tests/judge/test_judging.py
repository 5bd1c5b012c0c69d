"""Judging: verdicts and why there is none, bad pictures, calls that go on, taken folders."""

import os
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from judge_helpers import PATCH, SIZE, card, network
from PIL import Image
from safetensors.numpy import load_file

from lib.data import faces
from lib.judge import flags, judging, page
from lib.judge.errors import OutError
from lib.judge.pictures import listed, of_study
from lib.statistics.abstention import FAKE
from lib.study import reading


def picture(path, value, side=SIZE, **options):
    pixels = np.broadcast_to(np.asarray(value, np.uint8), (side, side, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **options)
    return path


@pytest.fixture
def album(tmp_path):
    picture(tmp_path / "album" / "bright.png", 250)
    picture(tmp_path / "album" / "dark.png", 10)
    picture(tmp_path / "album" / "grey.png", 128)
    return tmp_path / "album"


def judged(given, out, by=None, **options) -> pd.DataFrame:
    by = by or network()
    pictures, _ = listed([given] if not isinstance(given, list) else given)
    list(judging.judge(by, pictures, out, **options))
    table = judging.finish(by, out)
    return table.set_index(table["picture"].str.rsplit("/", n=1).str[-1])


def test_a_verdict_is_given_or_withheld(album, tmp_path):
    table = judged(album, tmp_path / "out")
    assert table["verdict"].to_dict() == {
        **{"bright.png": "fake", "dark.png": "real", "grey.png": "cannot tell"}
    }
    assert table.loc["grey.png", "why"] == judging.BETWEEN
    assert table.loc["bright.png", "probability"] > 0.9 > 0.1 > table.loc["dark.png", "probability"]
    assert table.loc["bright.png", ["grid", "patches", "format"]].tolist() == [1, 4, "PNG"]
    tensors = load_file(tmp_path / "out" / "margins.safetensors")
    assert tensors["margins"].shape == (3, 4) and tensors["origins"].tolist()[3] == [PATCH, PATCH]
    np.testing.assert_allclose(tensors["margins"][0], (250 - 128) / 32)
    stored = pd.read_csv(tmp_path / "out" / "judged.csv", keep_default_na=False)
    assert stored["verdict"].tolist() == table["verdict"].tolist()


def test_a_verdict_that_an_alteration_flips_is_withheld(tmp_path):
    half = np.full((SIZE, SIZE, 3), 120)
    half[:8], half[-8:] = 255, 255  # the displaced grid sees the dark middle alone
    picture(tmp_path / "a" / "framed.png", half)
    table = judged(tmp_path / "a", tmp_path / "out")
    assert table.loc["framed.png", "verdict"] == "cannot tell"
    assert "shifted by half a patch" in table.loc["framed.png", "flips"]
    assert table.loc["framed.png", "why"].startswith("fake, but not any more when shifted")


def test_a_picture_far_from_those_learned_from_gets_no_verdict(tmp_path):
    picture(tmp_path / "a" / "small.png", 250, side=16)
    picture(tmp_path / "a" / "little.png", 250, side=48)
    table = judged(tmp_path / "a", tmp_path / "out")
    assert table.loc["small.png", "verdict"] == "cannot tell"
    assert "resampling factor 0.25" in table.loc["small.png", "why"]
    assert np.isnan(table.loc["small.png", "probability"])  # nothing like it was calibrated on
    assert table.loc["little.png", "verdict"] == "fake"  # beside it, and not far
    assert "resampling factor 0.75, of training pictures 1.00" in table.loc["little.png", "flags"]


def test_unusable_pictures_are_listed_and_stop_nothing(album, tmp_path):
    (album / "empty.jpg").touch()
    (album / "text.jpg").write_text("no picture")
    table = judged(album, tmp_path / "out")
    assert table.loc["empty.jpg", "why"] == "unusable: zero bytes"
    assert table.loc["text.jpg", ["verdict", "patches"]].tolist() == ["cannot tell", 0]
    margins = load_file(tmp_path / "out" / "margins.safetensors")["margins"]
    assert np.isnan(margins).all(axis=1).tolist() == [False, False, True, False, True]


def test_odd_pictures_are_judged_and_other_formats_are_not(tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    frames = [Image.new("RGB", (SIZE, SIZE), colour) for colour in ("white", "black")]
    for name in ("moves.webp", "moves.png"):  # of these the first frame counts
        frames[0].save(folder / name, save_all=True, append_images=frames[1:], duration=99)
    Image.fromarray(np.full((SIZE, SIZE), 65000, np.uint16)).save(folder / "deep.png")
    Image.new("CMYK", (SIZE, SIZE), (0, 0, 0, 0)).save(folder / "printed.jpg")
    frames[0].save(folder / "moves.gif", save_all=True, append_images=frames[1:])
    table = judged([folder, folder / "moves.gif"], tmp_path / "out")
    assert table["verdict"].to_dict() == {
        **dict.fromkeys(("deep.png", "moves.png", "moves.webp", "printed.jpg"), "fake"),
        "moves.gif": "cannot tell",
    }
    assert table.loc["moves.gif", "why"] == "unusable: no PNG, JPEG or WebP picture"


def test_only_unusable_pictures_make_a_page_too(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "empty.jpg").touch()
    table = judged(tmp_path / "a", tmp_path / "out")
    html = page.write(network(), table, tmp_path / "out").read_text("utf-8")
    assert "zero bytes" in html and "; 1 could not be read" in html
    assert "<b>0 cannot tell</b>, of 0" in html and "Most are left open" not in html


def test_verdicts_come_first_where_not_all_are_shown(album, tmp_path, monkeypatch):
    (album / "a.jpg").touch()
    monkeypatch.setattr(page, "MOST", 2)
    table = judged(album, tmp_path / "out")
    assert table.index[0] == "a.jpg"
    html = page.write(network(), table, tmp_path / "out").read_text("utf-8")
    assert "bright.png" in html and "dark.png" in html and "a.jpg" not in html
    assert "2 of 4 are shown, those with a verdict first" in html


@pytest.mark.skipif(sys.platform == "darwin", reason="names there are UTF-8")
def test_names_that_are_no_utf8_or_steer_a_terminal_are_escaped(album, tmp_path):
    os.rename(album / "dark.png", os.fsdecode(os.fsencode(album) + b"/caf\xe9.png"))
    (album / "grey.png").rename(album / "a\x1b[2K\rb\nc\u202e.png")
    for _ in range(2):  # judged, and found
        table = judged(album, tmp_path / "out")
    escaped = "a\\x1b[2K\\rb\\nc\\u202e.png"
    assert sorted(table.index) == sorted([escaped, "bright.png", "caf\\xe9.png"])
    assert table.loc["caf\\xe9.png", "verdict"] == "real"


def test_a_link_to_nothing_is_unusable_each_time(album, tmp_path):
    (album / "link.png").symlink_to(tmp_path / "nowhere.png")
    for _ in range(2):
        assert judged(album, tmp_path / "out").loc["link.png", "patches"] == 0


def test_a_picture_with_a_zip_behind_it_is_that_picture(album, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(album / "dark.png", "innocent.png")
    both = (album / "bright.png").read_bytes() + (tmp_path / "more.zip").read_bytes()
    (album / "both.png").write_bytes(both)
    table = judged(album / "both.png", tmp_path / "out")
    assert table["verdict"].to_dict() == {"both.png": "fake"}


def test_a_jpeg_of_unknown_quality_is_none_without_one(tmp_path):
    limits = {"JPEG quality": (70.0, 95.0)}
    unknown = {"resampling factor": 1.0, "JPEG quality": np.nan, "sharpness": 0.5}
    for is_jpeg, expected in ((True, flags.UNKNOWN), (False, flags.NO_JPEG)):
        assert flags.flags(unknown, limits, all_jpeg=True, is_jpeg=is_jpeg).texts == [expected]
    found = flags.flags(unknown | {"JPEG quality": 10.0}, {}, all_jpeg=False, is_jpeg=True)
    assert found == ([flags.A_JPEG], False)


def test_faces_are_asked_for_where_the_network_learned_from_them(album, tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "detector", lambda: None)
    monkeypatch.setattr(flags, "has_face", lambda image: image.mean() > 200)
    table = judged(album, tmp_path / "out", network(with_faces=0.95))
    assert table["verdict"].tolist() == ["fake", "cannot tell", "cannot tell"]
    assert flags.NO_FACE in table.loc["dark.png", "why"]

    def missing():
        raise faces.MissingExtra

    monkeypatch.setattr(faces, "detector", missing)
    assert judged(album, tmp_path / "o2", network(with_faces=0.95))["flags"].tolist() == [""] * 3


def test_a_call_goes_on_where_it_stopped(album, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "BATCH", 1)
    by, (pictures, _) = network(), listed([album])
    rows = judging.judge(by, pictures, tmp_path / "out")
    first = next(rows)["picture"]
    rows.close()
    again = [row["picture"] for row in judging.judge(by, pictures, tmp_path / "out")]
    assert first not in again and len(again) == 2
    assert list(judging.judge(by, pictures, tmp_path / "out")) == []
    assert len(judging.finish(by, tmp_path / "out")) == 3


def test_parts_together_are_the_whole(album, tmp_path):
    by, (pictures, _), out = network(), listed([album]), tmp_path / "parts"
    counts = [
        len(list(judging.judge(by, pictures, out, part=part, parts=4))) for part in (3, 1, 4, 2)
    ]
    assert sorted(counts) == [0, 1, 1, 1]
    assert list(judging.judge(by, pictures, out)) == []  # nothing is left to do
    table = judging.finish(by, out)
    pd.testing.assert_frame_equal(table, judged(album, tmp_path / "whole").reset_index(drop=True))


def test_a_picture_that_was_replaced_is_judged_anew(album, tmp_path):
    out = tmp_path / "out"
    assert judged(album, out).loc["dark.png", "verdict"] == "real"
    picture(album / "dark.png", 250)
    table = judged(album, out)
    assert len(table) == 3 and table.loc["dark.png", "verdict"] == "fake"
    tensors = load_file(out / "margins.safetensors")
    assert (tensors["margins"][list(table.index).index("dark.png")] > 0).all()
    assert list(judging.judge(network(), listed([album])[0], out)) == []


def test_what_a_kill_left_of_the_first_write_blocks_nothing(album, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".network.json.abcd.partial").touch()
    assert len(judged(album, out)) == 3


def test_a_picture_that_changes_once_it_is_read_is_judged_anew(album, tmp_path, monkeypatch):
    out, of_them = tmp_path / "out", judging.judged

    def meanwhile(*given):
        bright.write_bytes(bright.read_bytes())
        return of_them(*given)

    bright = album / "bright.png"
    with monkeypatch.context() as changed:
        changed.setattr(judging, "judged", meanwhile)
        list(judging.judge(network(), listed([album])[0], out))
    again = list(judging.judge(network(), listed([album])[0], out))
    assert [row["picture"] for row in again] == [str(bright)]


def test_other_results_are_not_mixed_in(album, tmp_path):
    other, out = picture(tmp_path / "other.png", 10), tmp_path / "out"
    judged(album, out)
    with pytest.raises(OutError, match="3 other pictures' results, such as .*bright.png.*--add"):
        judged(other, out)
    assert len(judged(other, out, add=True)) == 4
    with pytest.raises(OutError, match="another network"):
        judged(album, out, network(alpha=0.1))
    with pytest.raises(OutError, match="holds other files"):
        judged(album, album)
    assert sorted(path.name for path in album.iterdir()) == ["bright.png", "dark.png", "grey.png"]


def test_files_folders_and_zips_are_judged_each_picture_once(album, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(album / "dark.png", "inside/dark.png")
        archive.writestr("notes.txt", "no picture")
    odd = (album / "bright.png").rename(album / "bright.thing")  # named, and so taken
    pictures, others = listed([odd, album, tmp_path / "more.zip", album / "dark.png"])
    shown = [name.removeprefix(str(tmp_path)) for each in pictures for name in each.shown]
    assert shown == [
        *("/album/bright.thing", "/album/dark.png", "/album/grey.png", "/more.zip/inside/dark.png")
    ]
    assert others == 2
    table = judged([odd, tmp_path / "more.zip"], tmp_path / "out")
    assert table["verdict"].to_dict() == {"bright.thing": "fake", "dark.png": "real"}


def test_the_page_says_what_it_is_not_and_obeys_no_name(album, tmp_path):
    (album / "dark.png").rename(album / "<script>alert(1)<!--.png")
    table = judged(album, tmp_path / "out")
    html = page.write(network(), table, tmp_path / "out").read_text("utf-8")
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)&lt;!--.png" in html
    assert "no proof and no forensic tool" in html and "Faces &amp; a GAN" in html
    assert "of 42 test images that it called fake, 2 were photographs" in html
    assert "of 51 test images that it called real, 1 were GAN images" in html
    assert "SIMULATED" not in html and html.count("<svg") == 3
    assert "http" not in html.replace("http-equiv", "")
    simulated = network(simulated=True)
    assert "SIMULATED" in page.write(simulated, table, tmp_path / "out").read_text("utf-8")


def test_a_network_of_whole_images_judges_and_is_not_shifted(album, tmp_path):
    by = network(patch_size=SIZE)
    table = judged(album, tmp_path / "out", by)
    assert table.loc["bright.png", "verdict"] == "fake" and "grid" not in table.columns
    grey = np.full((2, SIZE, SIZE, 3), 128, np.uint8)
    flipped = by.flipped(grey, np.array([FAKE, FAKE]), np.array([False, True]))
    assert flipped["mirrored"].tolist() == [False, True]
    assert "shifted by half a patch" not in flipped and "mirrored" in flipped
    page.write(by, table, tmp_path / "out")


def test_thresholds_of_a_card_are_its_validation_scores():
    assert card().thresholds.real < 0 < card().thresholds.fake


def test_a_study_gives_pictures_to_try(make_study, work, tmp_path):
    for name in ("leaves", "gan_a"):
        for number in range(4):
            picture(work / "data" / name / f"{number}.png", 10 * number)
    folder = of_study(make_study(), tmp_path / "examples")
    found, others = listed([folder])
    names = [f"{label}_{number}.png" for label in ("fake", "real") for number in range(3)]
    assert found[0].names == names and others == 0
    source = work / "data" / "gan_a" / "1.png"
    assert (folder / "fake_1.png").read_bytes() == source.read_bytes()


def test_simulated_pictures_to_try_are_made(tmp_path):
    folder = of_study(reading.load("smoke"), tmp_path / "examples", count=1)
    assert Image.open(folder / "fake_0.png").size == (64, 64)


def test_what_a_network_is_worth_stands_line_by_line():
    (line,) = page.worth(card()).to_dict("records")
    assert line["photographs called fake"] == "2 of 100" and line["cannot tell"] == "97 of 190"
    assert line["GAN images called real"] == "1 of 90" and line["called rightly"] == 90
