"""The published record as A2 shows it; that its stored outputs are what it gives, nbval checks."""

import re

import matplotlib.pyplot as plt
import pytest
from notebook_helpers import NOTEBOOKS, code_cells
from page_helpers import Reader, assert_self_contained

from lib.published import epoch_logs
from lib.study import paths

CELLS = code_cells(next(path for path in NOTEBOOKS if path.stem == "A2_published_record"))
HTML = "\n".join(
    output["data"]["text/html"]
    for cell in CELLS
    for output in cell.outputs
    if "text/html" in output.get("data", {})
)
READ = Reader(HTML)


@pytest.mark.parametrize(
    "sentence",
    [
        "Of 99 printed numbers 98 are within 0.01 of the logs; 5 of these were cut off",
        "Further off: 1.",
        "Against the last epoch it gains up to 7.11 points, and 0.02 in the median of 33 lines",
        "In 70 of 200 epochs it is ahead by more, by up to 58 images.",
        "50 of 200 epochs lie outside.",
        "At 128 px single patches are right in 94.04 % on average",
        "Its top-1, 54.80 %, is epoch 0; its last epoch has 50.05 %.",
        "closer to Table 2 in 5 of 36 cases",
        "In 483 of 800 epochs at most 100 were, and the accuracy is 100 %",
        "Tables 5 and 6 exist only as pictures and are not available as numbers.",
        "Nothing on this page was measured by us.",
    ],
)
def test_what_the_logs_tell_is_said(sentence):
    lead = " ".join(CELLS[1].source.replace('"', "").split())
    assert sentence in READ.text or sentence in lead


def test_nothing_is_missing_or_simulated():
    assert not re.search(r"\b(nan|None|NaN)\b|simulated", READ.text)
    assert READ.tags.count("h2") == 8
    assert READ.tags.count("img") == 2
    assert "99.4768" in READ.text and "54.80 [53.24, 56.35]" in READ.text


def test_the_papers_own_figures_are_not_signed_as_simulated():
    drawn = [cell.source for cell in CELLS if "figures.panels" in cell.source]
    assert len(drawn) == 2
    for source in drawn:
        assert 'note=""' in source or '"note": ""' in source


def test_every_log_of_the_figure_has_all_its_epochs():
    counts = next(cell for cell in CELLS if "pivot_table" in cell.source).outputs[0]["data"]
    shown = Reader(counts["text/html"]).text.split("16 32 64 128 256")[1]
    assert re.findall(r" (\d+)(?= |$)", re.sub(r"\(256 px.*?\)", "", shown)) == (
        ["50"] * 5 + ["50", "50", "50", "50", "0"] * 3
    )


def test_sentences_follow_the_numbers(monkeypatch, work):
    rows = epoch_logs.recomputed().assign(how="rounded", flagged=False)
    held = epoch_logs.contradictions().assign(ties_exceeded=0, bounds_exceeded=0)
    reals = epoch_logs.reals_judged().assign(reals=2000, perfect_on_few=False)
    monkeypatch.setattr(epoch_logs, "recomputed", lambda: rows)
    monkeypatch.setattr(epoch_logs, "contradictions", lambda: held)
    monkeypatch.setattr(epoch_logs, "reals_judged", lambda few: reals)
    with plt.rc_context():
        scope = {}
        for cell in CELLS:
            exec(cell.source, scope)
    html = paths.report("published_record").read_text("utf-8")
    read = assert_self_contained(html)
    assert read.text.count("simulated") == 0
    for sentence in (
        "99 of 99 numbers do, to 0.01.",
        "Of 99 printed numbers 99 are within",
        "Further off: 0.",
        "In 0 of 200 epochs it is ahead by more, by up to 0 images",
        "In 0 of 800 epochs at most 100 were",
        "from reports/published/ .",
    ):
        assert sentence in read.text
