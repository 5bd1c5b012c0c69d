"""The published record's section: all cells, sentences that follow the logs, unsigned figures."""

import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lib import epoch_logs, plots, published, record
from lib.report import Section


class Spy(Section):
    """A section that keeps what is added to it."""

    def __init__(self) -> None:
        super().__init__("The published record")
        self.figures, self.tables = [], []

    def figure(self, figure, caption):
        self.figures.append(figure)
        super().figure(figure, caption)

    def table(self, table, caption=""):
        self.tables.append(table)
        super().table(table, caption)

    @property
    def read(self) -> str:
        """What a reader reads, without the pictures."""
        return " ".join(re.sub(r"<[^>]*>", " ", self._repr_html_()).split())


@pytest.fixture(scope="module")
def section():
    with plt.rc_context():
        plots.set_theme(simulated=True)
        filled = record.published(Spy())
        plots.set_theme(simulated=False)
    return filled


@pytest.fixture(scope="module")
def table():
    return record.audit_table(epoch_logs.recomputed())


def test_every_printed_number_stands_in_the_audit(table):
    assert table.index.names == ["table", "px", "θ"]
    assert len(table) == 33
    for number in (1, 2, 3, 4):
        printed = table.xs("printed", axis=1, level=1).loc[number].astype(float)
        expected = published.table(number)
        assert printed.to_numpy().tolist() == expected.to_numpy().tolist()
        assert printed.index.get_level_values("px").tolist() == list(
            expected.index.get_level_values("patch_size")
        )


def test_a_difference_is_signed_and_noted(table):
    wrong = table.loc[(4, 64, "0.6")]
    assert wrong["average"].tolist() == ["99.78", "99.4768", "+0.3032"]
    assert wrong["noted", ""] == "differs: average"
    cut = table.loc[(1, 32, "")]
    assert cut["top-1"].tolist() == ["98.21", "98.2168", "−0.0068"]
    assert cut["noted", ""] == "cut: top-1, top-5, average"
    assert (table["noted"] != "").sum() == 4


def test_the_section_says_what_was_found(section):
    for part in (
        "Of 99 printed numbers 98 are within 0.01 of the logs; 5 of these were cut off",
        "Further off: 1.",
        "Table 4, 64 px, θ = 0.6, average: printed 99.78, the log gives 99.4768.",
        "Table 1, 256 px, average: printed 94.80, the log gives 94.8055.",
        "In 70 of 200 epochs it is ahead by more, by up to 58 images.",
        "50 of 200 epochs lie outside.",
        "Its top-1, 54.80 %, is epoch 0; its last epoch has 50.05 %.",
        "closer to Table 2 in 5 of 36 cases",
        "Tables 5 and 6 exist only as pictures and are not available as numbers.",
        "not measured here",
    ):
        assert part in section.read
    assert not re.search(r"\b(nan|None|NaN)\b", section.read)
    assert section.tables and all(not shown.isna().any(axis=None) for shown in section.tables)


def test_sentences_follow_the_numbers(monkeypatch):
    found = epoch_logs.recomputed().assign(how="rounded", flagged=False)
    ties = epoch_logs.contradictions().assign(ties_exceeded=0, bounds_exceeded=0)
    reals = epoch_logs.reals_judged().assign(reals=2000, perfect_on_few=False)
    monkeypatch.setattr(epoch_logs, "recomputed", lambda: found)
    monkeypatch.setattr(epoch_logs, "contradictions", lambda: ties)
    monkeypatch.setattr(epoch_logs, "reals_judged", lambda: reals)
    other = record.published(Spy())
    assert "Of 99 printed numbers 99 are within" in other.read
    assert "Further off: 0." in other.read
    assert "In 0 of 200 epochs it is ahead by more, by up to 0 images" in other.read
    assert "In 0 of 800 epochs at most 100 were" in other.read
    assert (other.tables[0]["noted"] == "").all()


def test_the_papers_own_figures_are_not_signed_as_simulated(section):
    assert len(section.figures) == 2
    for figure in section.figures:
        assert "simulated" not in " ".join(text.get_text() for text in figure.texts)
    assert "simulated" not in section.read
    assert plt.get_fignums() == []


def test_a_line_is_drawn_for_each_log(section):
    epochs, distances = section.figures
    # Five sizes by patch, four by each vote; what seaborn draws for its legend has no data.
    drawn = [[line for line in axes.lines if len(line.get_xdata())] for axes in epochs.axes]
    assert [len(lines) for lines in drawn] == [5, 4, 4, 4]
    assert epochs.axes[2].get_title("left") == "vote, random crops"
    crops = epoch_logs.crops_at_chance().query("patch_size == 128")["crops"]
    assert drawn[2][0].get_ydata().round(1).tolist() == crops.round(1).tolist()
    assert [axes.get_title("left") for axes in distances.axes] == [
        "128 px",
        "64 px",
        "32 px",
        "16 px",
    ]


@pytest.mark.parametrize(("note", "said"), [(None, "simulated images"), ("", ""), ("else", "else")])
def test_panels_say_what_they_are_told_to(note, said):
    rows = pd.DataFrame({"x": [0, 1] * 3, "y": range(6), "of": list("aabbcc"), "line": "one"})
    with plt.rc_context():
        plots.set_theme(simulated=True)
        figure = plots.panels(rows, "x", "y", "of", "line", note=note)
        plots.set_theme(simulated=False)
    assert figure.texts[-1].get_text() == said
    assert [axes.get_title("left") for axes in figure.axes] == ["a", "b", "c"]
    assert plt.get_fignums() == []
