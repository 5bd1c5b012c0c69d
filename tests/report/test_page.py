"""The page: one self-contained file that shows what it is given and obeys none of it."""

from importlib.metadata import version

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from page_helpers import Reader, assert_self_contained

from lib.report.page import Page, plain
from lib.study import paths

FRAME = pd.DataFrame({"top1": [0.123456, None]}, index=pd.Index([64, 32], name="patch_size"))
EVIL = '<script>alert("1")</script> & "quoted"'


@pytest.fixture
def figure():
    figure = plt.figure(figsize=(2, 1))
    figure.add_axes((0, 0, 1, 1)).set_axis_off()
    yield figure
    plt.close(figure)


def written(page: Page) -> str:
    return page.write(paths.report("tiny")).read_text("utf-8")


def test_a_page_holds_all_that_was_added_in_order(work, figure):
    page = Page("A title", "What happens?", ["Beware of one.", "And of another."])
    page.text("""
        ## First & last
        A paragraph with `code`.

        - one
        - *two*

        ### Numbers
    """)
    page.table(FRAME, "A caption.")
    page.figure(figure, "A figure.")
    path = page.write(paths.report("tiny"))
    assert path == work / "work" / "reports" / "tiny" / "index.html"
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    read = assert_self_contained(path.read_text("utf-8"))
    parts = (
        *("A title", "What happens?", "Beware of one.", "And of another.", "First & last"),
        *("A paragraph with code .", "one two", "Numbers", "patch size, px", "top-1", "0.1235"),
        *("—", "A caption.", "A figure."),
        f"Made by Patchwise {version('patchwise')} from results/tiny/ .",
    )
    places = [read.text.find(part, 1 if part == "A title" else 0) for part in parts]
    assert -1 not in places and places == sorted(places)
    assert read.tags.count("img") == 1
    assert {"em", "code", "ul", "h3"} <= set(read.tags)


def test_sections_have_anchors_of_their_own_and_stand_in_the_navigation(work):
    page = Page("Title")
    for title in ("First & last", "Once *more*", "Once more", "θ?"):
        page.text(f"## {title}\nText.\n### Below it")
    read = assert_self_contained(written(page))
    assert list(page.sections.values()) == ["First & last", "Once more", "Once more", "θ?"]
    assert read.ids == list(page.sections)
    assert [address for address in read.addresses if address[0] == "#"] == [
        f"#{anchor}" for anchor in read.ids
    ]
    assert read.ids[0] == "first-last"


def test_markup_is_shown_and_not_obeyed(work, figure):
    page = Page(EVIL, EVIL, [EVIL])
    shown = [
        page.text(f"## {EVIL}\n\n### {EVIL}\n\nText: {EVIL}\n\n{EVIL}\n\n- {EVIL}"),
        page.table(pd.DataFrame({EVIL: [EVIL]}, index=pd.Index([EVIL], name=EVIL)), EVIL),
        page.figure(figure, EVIL, fold=EVIL),
    ]
    html = written(page)
    read = assert_self_contained(html)
    # The title twice, lead, banner, navigation; five in the text, five in the table, two more.
    assert read.text.count(EVIL) == 5 + 5 + 5 + 2
    assert 'alt="&lt;script&gt;' in html
    for part in shown:
        assert "<script" not in part._repr_html_()


@pytest.mark.parametrize(
    "text", ["![seen](https://example.org/a.png)", "[run](javascript:alert(1))", "<img src=x>"]
)
def test_texts_load_nothing_from_elsewhere(work, text):
    page = Page("Title")
    page.text(f"Text, and {text}")
    read = Reader(written(page))
    assert "img" not in read.tags
    assert not [address for address in read.addresses if address != "#harmful-link"]


@pytest.mark.parametrize(
    "name", ["*a* _b_ `c`", "# 1. x", "[a](b)", "a<b>&amp;", "a\n\n## b", "|\\|"]
)
def test_a_plain_name_is_no_markdown(name):
    part = Page("Title").text(plain(name))
    assert part.html.striptags() == " ".join(name.split())
    assert set(Reader(part.html).tags) == {"p"}


def test_consecutive_parts_of_the_same_fold_share_one(work, figure):
    page = Page("Title")
    page.text("Open.")
    page.table(FRAME, "Caption one", fold="All statistics")
    page.figure(figure, "Caption two", fold="All statistics")
    page.text("Caption three", fold="Something else")
    page.text("Open again.")
    page.table(FRAME, "Caption four", fold="All statistics")
    read = assert_self_contained(written(page))
    assert read.tags.count("details") == 3
    assert read.text.count("All statistics") == 2
    html = written(page)
    for caption, opened, closed in (
        *(("Open.", 0, 0), ("Caption one", 1, 0), ("Caption two", 1, 0), ("Caption three", 2, 1)),
        *(("Open again.", 2, 2), ("Caption four", 3, 2)),
    ):
        before = html[: html.index(caption)]
        assert (before.count("<details"), before.count("</details")) == (opened, closed)


def test_a_table_that_is_shown_is_not_changed():
    frame = FRAME.rename_axis(columns="statistic")
    before = frame.copy()
    Page("Title").table(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert (frame.index.name, frame.columns.name) == ("patch_size", "statistic")


@pytest.mark.parametrize("groups", [1, 2])
def test_the_names_of_the_index_stand_beside_those_of_the_columns(groups):
    index = pd.MultiIndex.from_product([[64, 32], [0, 1]], names=["patch_size", "seed"])
    frame = pd.DataFrame({"top1": 0.25, "validated": 0.5}, index=index)
    if groups == 2:
        frame = pd.concat({"here": frame, "": frame}, axis=1)
    head = Page("Title").table(frame).html.split("</thead>")[0]
    rows = [Reader(row).text for row in head.split("<tr")[1:]]
    assert len(rows) == groups
    below = " top-1 validated epoch" * groups
    assert rows[-1].endswith("patch size, px seed" + below)
    assert len(Page("Title").table(FRAME.rename_axis(None)).html.split("<tr")) == 1 + 1 + 2


def test_a_part_shows_itself_in_a_notebook(figure):
    page = Page("Title")
    text = page.text("first < second\nthird")
    assert "<p>first &lt; second\nthird</p>" in text._repr_html_()
    assert repr(text) == "<text: first < second third>"
    folded = page.table(FRAME, "A caption.", wrap=True, fold="Few read it")
    assert "<details><summary>Few read it</summary>" in folded._repr_html_()
    assert 'class="scroll wrap"' in folded._repr_html_()
    assert repr(folded).startswith("<table: patch size, px")
    assert len(repr(page.text("word " * 99))) < 80
    assert repr(page.figure(figure, "What is seen.")) == "<figure: What is seen.>"


def test_a_figure_has_the_size_in_which_it_was_drawn(figure):
    shown = Page("Title").figure(figure, "A figure.").html
    width = int(shown.split('width="')[1].split('"')[0])
    assert width == pytest.approx(2 * 110, rel=0.15)  # matplotlib trims and pads


def test_a_page_that_is_no_studys_says_what_it_was_made_from(work):
    page = Page("Title").write(paths.report("record"), source="reports/published/")
    read = Reader(page.read_text("utf-8"))
    assert read.text.endswith("from reports/published/ .")
    assert "banner" not in "".join(read.tags)
