"""Figures: each is made, shows what it is given, and is not shown twice."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lib.report import figures

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
TITLES = ["real", "real", "fake", "fake 75% wrong", "fake"]
LABELS = np.array([0, 0, 1, 1, 1], np.uint8)


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    yield
    assert plt.get_fignums() == []  # or a notebook would show a figure twice


def filled(figure) -> list:
    return [axes for axes in figure.axes if axes.images]


def titles(figure) -> list[str]:
    return [axes.get_title() or axes.get_title("left") for axes in figure.axes]  # as themed


def test_the_theme_is_set_for_figures_on_screen_and_on_file():
    with plt.rc_context():
        figures.set_theme(simulated=True)
        assert plt.rcParams["savefig.dpi"] == plt.rcParams["figure.dpi"]
        assert len(figures.contact_sheet(IMAGES, TITLES).axes) == 5


@pytest.mark.parametrize(("simulated", "said"), [(True, "simulated images"), (False, "")])
def test_every_figure_says_what_it_was_made_from(simulated, said):
    with plt.rc_context():
        figures.set_theme(simulated=simulated)
        sheet = figures.contact_sheet(IMAGES, TITLES)
        overlay = figures.overlay(IMAGES, np.full((len(IMAGES), 4), 0.5), TITLES)
    for figure in (sheet, overlay):
        assert said == figure.texts[-1].get_text()


def test_a_contact_sheet_has_a_place_for_each_picture():
    figure = figures.contact_sheet(IMAGES, TITLES, columns=3)
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in filled(figure)] == TITLES
    np.testing.assert_array_equal(filled(figure)[1].images[0].get_array(), IMAGES[1])
    assert to_hex(filled(figure)[3].title.get_color()) == figures.FAKE
    assert len(figures.contact_sheet(IMAGES[:2], TITLES[:2]).axes) == 2


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_curve_marks_the_validated_epoch(epochs):
    history = pd.DataFrame(
        {
            "epoch": range(epochs),
            "loss": [0.7, 0.6, 0.5][:epochs],
            "validation_accuracy": [0.8, 0.9, 0.9][:epochs],
            "test_accuracy": [0.5, 0.6, 0.7][:epochs],
        }
    )
    left, right = figures.training_curve(history).axes
    assert left.get_title() == "Training loss"
    assert right.get_title().endswith(f"validated epoch {min(epochs - 1, 1)}")
    assert {text.get_text() for text in right.get_legend().texts} == {"validation", "test"}
    drawn = [list(line.get_ydata()) for line in right.lines]
    assert [0.8, 0.9, 0.9][:epochs] in drawn and [0.5, 0.6, 0.7][:epochs] in drawn


@pytest.mark.parametrize("labels", [LABELS, np.zeros(5, np.uint8)])
def test_margins_are_shown_by_class(labels):
    z = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    (axes,) = figures.margin_distributions(z, labels).axes
    assert axes.get_ylabel() == "density"
    named = [text.get_text() for text in axes.get_legend().texts]
    assert named == (["real", "fake"] if labels.any() else ["real"])


def test_an_overlay_shows_each_picture_and_its_map():
    p = np.linspace(0, 1, 20).reshape(5, 4)
    figure = figures.overlay(IMAGES, p, TITLES)
    assert len(figure.axes) == 2 * 5 + 1  # and the colour bar
    maps = [axes.images[-1] for axes in figure.axes[5:10]]
    np.testing.assert_allclose(maps[2].get_array(), p[2].reshape(2, 2))
    for shown in maps:
        assert shown.get_clim() == (0, 1)
        assert list(shown.get_extent()) == [0, 1, 0, 1]
    assert len(figures.overlay(IMAGES[:1], p[:1, :1], TITLES[:1]).axes) == 3


def test_an_overlay_without_pictures_shows_the_maps_alone():
    p = np.linspace(0, 1, 20).reshape(5, 4)
    figure = figures.overlay(None, p, TITLES)
    assert len(figure.axes) == 5 + 1
    for values, axes in zip(p, figure.axes, strict=False):
        (shown,) = axes.images
        np.testing.assert_allclose(shown.get_array(), values.reshape(2, 2))
        assert axes.get_title()


def test_crops_are_drawn_where_they_lie_in_their_verdicts_colour():
    origins = np.zeros((5, 3, 2), np.int32)
    origins[0] = [[2, 9], [0, 0], [8, 4]]
    z = np.tile(np.array([1.0, -1.0, 0.0], np.float32), (5, 1))
    figure = figures.crops(IMAGES, origins, z, 4, TITLES)
    squares = filled(figure)[0].patches
    assert [square.get_xy() for square in squares] == [(9, 2), (0, 0), (4, 8)]
    assert {(square.get_width(), square.get_height()) for square in squares} == {(4, 4)}
    colours = [to_hex(square.get_edgecolor()) for square in squares]
    assert colours == [figures.FAKE, figures.REAL, figures.REAL]


def test_intervals_have_a_line_per_group_from_large_to_small():
    rows = pd.DataFrame(
        {
            "patch_size": [32, 64, 32, 64, 64],
            "rule": ["grid", "grid", "crops", "crops", "crops"],
            "value": [0.9, 0.8, 0.7, 0.6, 0.7],
            "low": [0.8, 0.7, 0.6, 0.5, np.nan],
            "high": [0.95, 0.8, 0.8, 0.7, np.nan],
        }
    )
    (axes,) = figures.intervals(rows, "patch_size", "rule", xlabel="px", title="Title").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["64", "32"]
    assert [text.get_text() for text in axes.get_legend().texts] == ["grid", "crops"]
    assert (axes.get_xlabel(), axes.get_title()) == ("px", "Title")
    means = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_alpha() == 0.6]
    np.testing.assert_allclose(means[0].get_ydata(), [80, 90])
    np.testing.assert_allclose(means[1].get_ydata(), [65, 70])  # two seeds at 64 px
    assert axes.lines[-1].get_ydata() == [50, 50]  # chance


def test_a_vote_is_shown_rule_by_rule():
    said = {"grid": "fake · 3 of 4", "mean margin": "real · −0.2", "confident": "left out"}
    figure = figures.voter(IMAGES[0], np.array([0, 0.6, 0.7, 1]), said)
    picture, patches, rules = figure.axes[:3]
    np.testing.assert_array_equal(picture.images[0].get_array(), IMAGES[0])
    np.testing.assert_allclose(patches.images[-1].get_array(), [[0, 0.6], [0.7, 1]])
    texts = {text.get_text(): to_hex(text.get_color()) for text in rules.texts}
    assert list(texts) == [word for line in said.items() for word in line]
    assert (texts["fake · 3 of 4"], texts["real · −0.2"]) == (figures.FAKE, figures.REAL)
    assert texts["left out"] not in (figures.FAKE, figures.REAL)
    heights = [text.get_position()[1] for text in rules.texts]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == 3


def test_effects_have_a_panel_per_column_and_a_line_per_quirk():
    rows = pd.DataFrame(
        [
            (column, variant, 8, difference, low, high, seed)
            for column in ("Exp. 1", "Exp. 5, a-b")
            for variant in ("strips", "bgr")
            for difference, low, high, seed in ((0.1, 0.05, 0.2, None), (0.12, None, None, 0))
        ],
        columns=["column", "variant", "patch_size", "difference", "low", "high", "seed"],
    )
    figure = figures.effects(rows)
    assert titles(figure) == ["Exp. 1", "Exp. 5\na-b"]
    for axes in figure.axes:
        (bars,) = axes.containers
        np.testing.assert_allclose(bars[0].get_xydata(), [[10, 0], [10, -1]])
        ends = [segment[:, 0] for segment in bars[2][0].get_segments()]
        np.testing.assert_allclose(np.array(ends, float), [[5, 20], [5, 20]])
        np.testing.assert_allclose(axes.collections[-1].get_offsets()[:, 0], [12, 12])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["strips, 8 px", "bgr, 8 px"]


@pytest.mark.parametrize(("note", "said"), [(None, "simulated images"), ("", ""), ("else", "else")])
def test_panels_say_what_they_are_told_to(note, said):
    rows = pd.DataFrame({"x": [0, 1] * 3, "y": range(6), "of": list("aabbcc"), "line": "one"})
    with plt.rc_context():
        figures.set_theme(simulated=True)
        figure = figures.panels(rows, "x", "y", "of", "line", note=note)
        figures.set_theme(simulated=False)
    assert figure.texts[-1].get_text() == said
    assert titles(figure) == ["a", "b", "c"]
    assert figure.axes[0].get_ylim() != figure.axes[2].get_ylim()


def test_a_reliability_diagram_has_a_line_per_size_and_seed():
    points = pd.DataFrame(
        [
            (unit, size, seed, stated, stated**2 + seed / 10)
            for unit in ("patches", "images")
            for size in (16, 8)
            for seed in (0, 1)
            for stated in (0.0, 0.5)
        ],
        columns=["unit", "patch_size", "seed", "stated", "observed"],
    )
    figure = figures.reliability(points)
    assert titles(figure) == ["patches", "images"]
    for axes in figure.axes:
        *lines, diagonal = [line for line in axes.lines if len(line.get_xdata())]
        assert [list(line.get_ydata()) for line in lines] == 2 * [[0, 0.25], [0.1, 0.35]]
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]


@pytest.mark.parametrize("cells", [1, 4])
def test_spectra_have_a_panel_per_cell_and_a_line_per_class(cells):
    line = pd.DataFrame({"frequency": [0.1, 0.5], "log_power": [2.0, 1.0], "low": 0, "high": 3})
    rows = pd.concat([line.assign(**{"class": name}) for name in ("real", "fake")])
    if cells > 1:
        rows = pd.concat([rows.assign(cell=f"cell {n}") for n in range(cells)])
    figure = figures.spectra(rows)
    assert titles(figure) == ([""] if cells == 1 else [f"cell {n}" for n in range(cells)])
    for axes in figure.axes:
        assert [text.get_text() for text in axes.get_legend().texts] == ["real", "fake"]
        assert [to_hex(line.get_color()) for line in axes.lines] == [figures.REAL, figures.FAKE]
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [2, 1])


def test_residuals_are_shown_with_their_difference():
    shape = (16, 16)
    figure = figures.residuals({"real": np.full(shape, 1.0), "fake": np.full(shape, 1.5)})
    shown = [axes.images[0].get_array() for axes in figure.axes[:3]]
    np.testing.assert_allclose([image.mean() for image in shown], [1, 1.5, 0.5])
