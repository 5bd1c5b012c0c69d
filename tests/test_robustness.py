"""The report's tables on altered test images: paired changes by hand, in the study's order."""

import re

import numpy as np
import pandas as pd
import pytest

from lib import metrics, provenance, robustness, runs, tables
from lib.evidence import Evidence
from lib.experiments import Experiments
from lib.report import Report, Section
from lib.study import Run

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
JPEG, BLUR = "leaves_jpeg-gan_a", "leaves_blur-gan_a"
HALF = 10
LABELS = np.repeat([0, 1], HALF)
FILES = {"real": {"kind": "files", "path": "leaves"}, "fake": {"kind": "files", "path": "gan_a"}}
CELLS = {
    CELL: FILES,
    BLUR: {"test_images_of": CELL, "blur": 1},
    JPEG: {"test_images_of": CELL, "jpeg_quality": 75},
    "leaves_jpeg-gan_b": {"test_images_of": SISTER, "jpeg_quality": 75},
    SISTER: FILES,
}
# Images of each class that are judged rightly, by cell: at 16 px, the whole image, and at 8 px.
RIGHT = {CELL: (9, 10), BLUR: (7, 5), JPEG: (9, 8), SISTER: (6, 6)}


@pytest.fixture
def lay(finish, make_study):
    """A study with finished networks of both sizes, and their tables of these cells."""

    def lay(tested=tuple(RIGHT), **changes):
        study = make_study(cells=CELLS, **changes)
        for seed in study.seeds:
            for cell in tested:
                for size, count in zip((16, 8), RIGHT[cell], strict=True):
                    lay_run(study, size, seed, cell, count - seed)
        return study

    def lay_run(study, size, seed, cell, count):
        test = dict(zip(("test_dataset", "test_gan"), cell.split("-"), strict=True))
        where = {"dataset": "leaves", "gan": "gan_a", "patch_size": size, "seed": seed}
        run = Run(study=study, **where, **test)
        right = np.tile(np.arange(HALF) < count, 2)
        z = np.where(right == (LABELS == 1), 1.0, -1.0)[None, :, None]
        finish(run, np.repeat(z, (16 // size) ** 2, 2), LABELS, [0.5])
        numbers = (5,) if cell != CELL else (1,) if run.is_whole_image else (1, 2)
        for number in numbers:
            sheet = tables.Sheet(run, number, runs.load_margins(run, run.test))
            if number != 2:
                sheet.patches()
            if number != 1 and not run.is_whole_image:
                sheet.vote("grid")
            sheet.save()

    return lay


def section_of(study) -> Section:
    families = [Evidence(study, CELL)]
    return robustness.altered(Section("One"), families, Experiments(study).tables)


@pytest.fixture
def seen(monkeypatch) -> list[pd.DataFrame]:
    """The tables that are added to a section, as they were before they became text."""
    found: list[pd.DataFrame] = []
    table = Section.table

    def watched(self, frame, *rest, **options):
        found.append(frame)
        table(self, frame, *rest, **options)

    monkeypatch.setattr(Section, "table", watched)
    return found


def lines(table: pd.DataFrame, size: int, rule: str) -> pd.DataFrame:
    """A rule's lines at one patch size, by alteration."""
    flat = table.reset_index()
    return flat[(flat["patch_size"] == size) & (flat["rule"] == rule)].set_index("test")


def test_rules_stand_beside_each_other_in_the_studys_order(lay, seen):
    section_of(lay())
    beside = seen[0]
    assert list(beside.columns) == ["validated", "auc", "tpr", "tnr"]
    order = ["unaltered", "blur 1 px", "JPEG 75"]
    assert list(lines(beside, 8, "vote, grid").index) == order
    assert list(lines(beside, 16, "whole image").index) == order
    accuracies = lines(beside, 8, "vote, grid")["validated"]
    assert [text.split()[0] for text in accuracies] == ["100.0", "50.0", "80.0"]
    rates = lines(beside, 16, "whole image").loc["blur 1 px"]
    assert [rates[name].split()[0] for name in ("tpr", "tnr")] == ["70.0", "70.0"]


def test_the_change_is_paired_and_in_points(lay, seen):
    study = lay()
    section_of(study)
    changes = seen[1]
    assert list(changes.columns) == ["blur 1 px", "JPEG 75"]
    assert list(changes.index) == [16, 8]
    assert changes.loc[16, "JPEG 75"] == "+0.0 [+0.0, +0.0]"  # the same images are right
    lost = np.tile((np.arange(HALF) >= 5) & (np.arange(HALF) < 10), 2)
    resampled = metrics.resample(LABELS.astype(np.uint8), 200, 0)
    expected = metrics.difference(np.zeros(20), lost, resampled)
    assert changes.loc[8, "blur 1 px"] == (
        f"{100 * expected.value:+.1f} [{100 * expected.low:+.1f}, {100 * expected.high:+.1f}]"
    )


def test_the_change_is_the_mean_over_seeds(lay, seen):
    section_of(lay(seeds=[0, 1]))
    assert seen[1].loc[8, "blur 1 px"].startswith("-50.0 [")
    assert "seed" in seen[0].index.names


def test_a_figure_and_a_heading(lay):
    html = section_of(lay())._repr_html_()
    assert html.count("<img") == 1
    assert re.findall("<h3>(.*?)</h3>", html) == [
        "Altered test images: trained on leaves-gan_a, plain"
    ]
    assert "leaves_jpeg-gan_b" not in html and SISTER not in html


def test_what_was_not_tested_is_left_out(lay, seen):
    section_of(lay(tested=(CELL, JPEG)))
    assert list(lines(seen[0], 8, "vote, grid").index) == ["unaltered", "JPEG 75"]
    assert list(seen[1].columns) == ["JPEG 75"]


def test_without_altered_cells_nothing_is_added(lay, seen):
    assert section_of(lay(tested=(CELL, SISTER)))._repr_html_() == ""


def test_experiment_5s_own_table_is_of_other_pictures(lay, seen):
    study = lay()
    Experiments(study).generalization(Report(study, "").section("Five"))
    assert set(seen[0].reset_index()["test"]) == {CELL, SISTER}


def test_the_images_section_says_what_altered_cells_are(make_study, draw, seen):
    for folder in ("leaves", "gan_a"):
        draw(folder, 12)
    html = provenance.images(Section("Images"), make_study(cells=CELLS))._repr_html_()
    assert f"<li>{JPEG}: the test images of {CELL}, JPEG 75</li>" in html
    assert list(seen[0].index) == [CELL, SISTER]
