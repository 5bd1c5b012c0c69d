"""The report: one self-contained page that says what is simulated and hides no markup."""

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib import paths, published, runs, tables, voting
from lib.assembly import StudyReport
from lib.data import packing
from lib.report import SIMULATED, Report

CELL = "leaves-gan_a"
QUICK = {"voting": {"thetas": [1.0, 0.6]}, "bootstrap": {"resamples": 20}}
SIMULATED_CELL = {"kind": "simulated", "content": "sim_faces"}


class Page(HTMLParser):
    """What a browser would load, and read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.ids, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.addresses += [attributes[key] for key in ("src", "href") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def assert_self_contained(text: str) -> Page:
    page = Page(text)
    for address in page.addresses:
        assert address.startswith(("data:image/png;base64,", "#")), address[:80]
    for found in ("http://", "https://", "url(", "@import"):
        assert found not in text
    assert not {"script", "link", "iframe", "pre", "textarea"} & set(page.tags)  # nor code cells
    assert "jp-" not in text.replace("base64", "")[:20_000]
    assert {address[1:] for address in page.addresses if address[0] == "#"} <= set(page.ids)
    return page


def simulated(make_study, **changes):
    fake = {**SIMULATED_CELL, "generator": "sim_progan"}
    return make_study(cells={CELL: {"real": SIMULATED_CELL, "fake": fake}}, **changes)


def small_report(study) -> Report:
    report = Report(study, "What happens?")
    section = report.section("First & last")
    section.text("A paragraph.")
    section.items(["one", "two"])
    section.heading("Numbers")
    frame = pd.DataFrame({"top1": [0.123456, None]}, index=pd.Index([64, 32], name="patch_size"))
    section.table(frame, "A caption.")
    figure = plt.figure(figsize=(1, 1))
    section.figure(figure, "A figure.")
    plt.close(figure)
    return report


def test_a_page_holds_all_that_was_added(make_study, work):
    study = make_study()
    path = small_report(study).write()
    assert path == work / "work" / "reports" / "tiny" / "index.html"
    page = assert_self_contained(path.read_text("utf-8"))
    for part in (
        *("Leaves and two generators", "What happens?", "First & last", "A paragraph.", "one"),
        *("Numbers", "A caption.", "A figure.", "patch size, px", "top-1", "0.1235", "—"),
        "results/tiny/",
    ):
        assert part in page.text
    assert page.tags.count("img") == 1
    assert page.ids == ["first-last"]
    assert "#first-last" in page.addresses
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]


def test_a_page_says_so_iff_the_study_is_simulated(make_study, work):
    for study, expected in ((make_study(), False), (simulated(make_study), True)):
        text = Page(small_report(study).write().read_text("utf-8")).text
        assert (SIMULATED in text) == expected
        assert ("simulated" in text.lower()) == expected
    one = {"real": {"kind": "files", "path": "x"}, "fake": SIMULATED_CELL}
    mixed = make_study(cells={CELL: one})
    assert SIMULATED in Page(small_report(mixed).write().read_text("utf-8")).text


def test_markup_in_texts_is_shown_and_not_obeyed(make_study, work):
    evil = '<script>alert("1")</script> & "quoted"'
    report = Report(make_study(title=evil), evil)
    section = report.section(evil)
    section.text(evil)
    section.heading(evil)
    section.items([evil])
    section.table(pd.DataFrame({evil: [evil]}, index=[evil]), evil)
    figure = plt.figure(figsize=(1, 1))
    section.figure(figure, evil)
    plt.close(figure)
    text = report.write().read_text("utf-8")
    page = assert_self_contained(text)
    assert "<script" not in text
    assert page.text.count(evil) >= 9
    assert 'alt="&lt;script&gt;' in text


def test_a_table_that_is_shown_is_not_changed(make_study, work):
    frame = pd.DataFrame({"top1": [0.5]}, index=pd.Index([64], name="patch_size"))
    frame.columns.name = "statistic"
    before = frame.copy()
    Report(make_study(), "").section("One").table(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert (frame.index.name, frame.columns.name) == ("patch_size", "statistic")


def test_a_section_shows_itself_in_a_notebook(make_study, work):
    section = Report(make_study(), "").section("One")
    section.text("first < second")
    section.text("third")
    assert section._repr_html_() == "<p>first &lt; second</p>\n<p>third</p>"
    assert "One" in repr(section)


# A whole study's


@pytest.fixture
def study(make_study, draw, finish, make_run):
    """A study with packed data, and tables of Experiments 1 to 5 in two variants."""
    for name in ("leaves", "gan_a", "gan_b"):
        draw(name, 12)
    generator = np.random.default_rng(0)
    labels = [0] * 4 + [1] * 4
    for variant, model in (("plain", "legacy_xception"), ("short", "test_resnet")):
        for size, patches in ((16, 1), (8, 4)):
            for gan in (None, "gan_b"):
                sizes = {"patch_size": size, "test_gan": gan}
                run = make_run(**sizes, variant=variant, model={"name": model}, **QUICK)
                z = generator.standard_normal((2, 8, patches)) + np.array(labels)[:, None] - 0.5
                finish(run, z, labels, [0.6, 0.7])
                if size == 8:
                    finish(run, z[..., [0, 1, 2, 3, 0]], labels, [0.6, 0.7], kind="crops")
                write_tables(run)
    return make_study(deviations=["Leaves are no faces."], **QUICK)


def write_tables(run) -> None:
    scored = runs.load_margins(run, run.test)
    if run.test != run.train or run.is_whole_image:
        sheet = tables.Sheet(run, 1 if run.test == run.train else 5, scored)
        sheet.patches()
        if not run.is_whole_image:
            sheet.vote("grid")
        sheet.save()
        return
    sheets = {number: tables.Sheet(run, number, scored) for number in (1, 2, 3, 4)}
    sheets[1].patches()
    sheets[2].vote("grid")
    sheets[3].also(runs.load_margins(run, run.test, kind="crops")).vote("crops")
    for theta, vote in voting.confident(scored.margins, run.study.voting.thetas).items():
        sheets[4].confident(theta, vote, "share")
    for sheet in sheets.values():
        sheet.save()


def complete(study) -> StudyReport:
    report = StudyReport(study)
    report.glance()
    for number in (1, 2, 3, 4):
        report.experiment(number)
    report.overlays(count=2)
    report.generalization()
    report.protocol()
    report.data()
    report.networks()
    return report


def test_a_studys_report_has_every_section(study, work):
    path = complete(study).write()
    page = assert_self_contained(path.read_text("utf-8"))
    titles = [*(published.TITLES[number] for number in (1, 2, 3, 4)), "At a glance", "What was run"]
    for part in (*titles, "Leaves are no faces.", "The networks", "98.45", CELL, "leaves-gan_b"):
        assert part in page.text
    assert SIMULATED not in page.text
    assert "Simulated: " not in page.text
    assert len(page.ids) == len(set(page.ids)) == 10
    assert page.tags.count("img") == 2 + 4 * 2 + 2 + 2  # per variant, but for overlays: per network
    assert (path.parent / "overview.png").is_file()


def test_tables_made_with_other_parameters_are_left_out_and_named(study, make_study, work):
    changed = make_study(training={"epochs": 7}, **QUICK)  # variant `short` is no longer known of
    page = StudyReport(changed)
    page.glance()
    text = Page(page.write().read_text("utf-8")).text
    assert "leaves-gan_a on leaves-gan_b, plain, 16 px, seed 0" in text
    assert set(page.experiments.tables["variant"]) == {"short"}
    fewer = study.model_copy(update={"cells": {CELL: study.cells[CELL]}})
    assert set(StudyReport(fewer).experiments.tables["test"]) == {CELL}
    assert "Left out" not in Page(complete(study).write().read_text("utf-8")).text


def test_pictures_are_left_out_of_the_report_where_the_study_says_so(study, work, monkeypatch):
    monkeypatch.setattr(packing, "ensure", lambda *_: pytest.fail("pictures were opened"))
    report = StudyReport(study.model_copy(update={"show_pictures": False}))
    text = report.overlays(count=2)._repr_html_()
    assert "which are not shown" in text and text.count("<img") == 2


@pytest.mark.parametrize("made", ["exp1/*p008*", "exp4/*", "exp5/*p008*"])
def test_a_report_holds_what_has_been_run_and_invents_nothing(study, work, made):
    folder = paths.results("tiny") / "tables"
    for file in set(folder.glob("*/*.csv")) - set(folder.glob(f"{made}.csv")):
        file.unlink()
    page = Page(complete(study).write().read_text("utf-8"))
    assert page.text.count("Not run yet.") >= (4 if made.startswith("exp5") else 3)


def test_a_study_without_tables_says_what_to_run(make_study, work):
    with pytest.raises(runs.RunError, match=r"no tables yet. Run `make study STUDY=tiny`"):
        StudyReport(make_study())


def test_every_network_is_shown_with_its_own_backbone(study, work):
    """A variant may be another model; its results must not stand under the plain one's name."""
    report = StudyReport(study)
    for section in (report.glance(), report.experiment(1), report.generalization()):
        headings = re.findall("<h3>(.*?)</h3>", section._repr_html_())
        plain, short = headings
        assert "plain" in plain
        assert plain.endswith("legacy_xception")
        assert "short" in short
        assert short.endswith("test_resnet")


def test_the_packed_images_are_counted(study, work):
    shown = StudyReport(study).data()._repr_html_()
    splits = packing.ensure(study, CELL).manifest["split"].value_counts()
    for count in splits:
        assert f"<td>{count}</td>" in shown


def test_the_verdicts_stand_beside_the_page(study, work):
    report = StudyReport(study)
    shown = report.claims()._repr_html_()
    found = pd.read_csv(paths.report("tiny").with_name("claims.csv"))
    assert set(found["claim"]) == {"C1", "C2", "C3", "C4", "C5", "C6"}
    assert set(found["verdict"]) <= {"supported", "contradicted", "undecided", "not tested"}
    for word in set(found["verdict"]):
        assert word in shown
    assert "in simulation" not in shown


def test_without_an_ablation_a_report_says_how_to_have_one(study, work):
    assert "make study STUDY=quirks" in StudyReport(study).quirks()._repr_html_()


def test_every_report_holds_the_published_record(study, work):
    shown = StudyReport(study).record()._repr_html_()
    assert "99.78" in shown and "99.4768" in shown


def test_switched_quirks_are_said_at_the_top(make_study, work):
    def page(**switched):
        return Report(make_study(quirks=switched), "lead").write().read_text("utf-8")

    assert "switched on: strips, last_patch_only." in page(strips=True, last_patch_only=True)
    assert "switched on" not in page()
