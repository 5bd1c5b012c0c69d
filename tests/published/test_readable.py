"""The paper's numbers beside its logs, as a reader gets them: complete, in order, signed."""

import pandas as pd

from lib.published import epoch_logs, paper, readable


def test_every_printed_number_stands_in_the_audit():
    table = readable.audit()
    assert table.index.names == ["table", "px", "θ"]
    assert len(table) == 33
    for number in (1, 2, 3, 4):
        printed = table.xs("printed", axis=1, level=1).loc[number].astype(float)
        expected = paper.table(number)
        assert printed.to_numpy().tolist() == expected.to_numpy().tolist()
        assert printed.index.get_level_values("px").tolist() == list(
            expected.index.get_level_values("patch_size")
        )


def test_a_difference_is_signed_and_noted():
    table = readable.audit()
    wrong = table.loc[(4, 64, "0.6")]
    assert wrong["average"].tolist() == ["99.78", "99.4768", "+0.3032"]
    assert wrong["noted", ""] == "differs: average"
    cut = table.loc[(1, 32, "")]
    assert cut["top-1"].tolist() == ["98.21", "98.2168", "−0.0068"]
    assert cut["noted", ""] == "cut: top-1, top-5, average"
    assert (table["noted"] != "").sum() == 4
    assert not table.isna().any(axis=None)


def test_notes_follow_the_numbers(monkeypatch):
    rows = epoch_logs.recomputed()
    one = rows.assign(how="rounded")
    monkeypatch.setattr(epoch_logs, "recomputed", lambda: one)
    assert (readable.audit()["noted"] == "").all()
    two = one.copy()
    two.loc[[0, 1, 2], "how"] = ["truncated", "differs", "truncated"]
    monkeypatch.setattr(epoch_logs, "recomputed", lambda: two)
    assert readable.audit()["noted"].iloc[0] == "cut: top-1, average; differs: top-5"


def test_what_is_not_its_logs_number_is_listed():
    rows = readable.compared()
    noted = rows[rows["note"] != ""]
    assert noted["note"].tolist() == ["cut"] * 5 + ["differs"]
    assert noted.iloc[0].tolist() == [
        *(1, 256, "", "average"),
        *("94.80", "94.8055", "−0.0055", "cut"),
    ]


def test_intervals_are_a_line_per_log_of_images():
    table = readable.intervals()
    assert table.index.get_level_values("table").value_counts().to_dict() == {
        1: 1,
        2: 4,
        3: 4,
        4: 16,
    }
    assert table.loc[(3, 128, "")].tolist() == ["54.80 [53.24, 56.35]", 0, "50.05 [48.49, 51.61]"]
    assert table.loc[(2, 16, ""), ("top1", "accuracy")] == "100.00 [99.91, 100.00]"
    assert not table.isna().any(axis=None)
    assert pd.api.types.is_string_dtype(table["top1", "accuracy"])
