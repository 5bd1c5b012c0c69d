"""Figures: each is made, shows what it is given, and is not shown twice."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lib import plots

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
TITLES = ["real", "real", "fake", "fake 75% wrong", "fake"]
LABELS = np.array([0, 0, 1, 1, 1], np.uint8)


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    yield
    assert plt.get_fignums() == []  # or a notebook would show a figure twice


def filled(figure) -> list:
    return [axes for axes in figure.axes if axes.images]


def test_the_theme_is_set_for_figures_on_screen_and_on_file():
    with plt.rc_context():
        plots.set_theme(simulated=True)
        assert plt.rcParams["savefig.dpi"] == plt.rcParams["figure.dpi"]
        assert len(plots.contact_sheet(IMAGES, TITLES).axes) == 5


@pytest.mark.parametrize(("simulated", "said"), [(True, "simulated images"), (False, "")])
def test_every_figure_says_what_it_was_made_from(simulated, said):
    with plt.rc_context():
        plots.set_theme(simulated=simulated)
        sheet = plots.contact_sheet(IMAGES, TITLES)
        overlay = plots.overlay(IMAGES, np.full((len(IMAGES), 4), 0.5), TITLES)
    for figure in (sheet, overlay):
        assert said == figure.texts[-1].get_text()


def test_a_contact_sheet_has_a_place_for_each_picture():
    figure = plots.contact_sheet(IMAGES, TITLES, columns=3)
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in filled(figure)] == TITLES
    np.testing.assert_array_equal(filled(figure)[1].images[0].get_array(), IMAGES[1])
    assert to_hex(filled(figure)[3].title.get_color()) == plots.FAKE
    assert len(plots.contact_sheet(IMAGES[:2], TITLES[:2]).axes) == 2


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
    left, right = plots.training_curve(history).axes
    assert left.get_title() == "Training loss"
    assert right.get_title().endswith(f"validated epoch {min(epochs - 1, 1)}")
    assert {text.get_text() for text in right.get_legend().texts} == {"validation", "test"}


@pytest.mark.parametrize("labels", [LABELS, np.zeros(5, np.uint8)])
def test_margins_are_shown_by_class(labels):
    z = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    (axes,) = plots.margin_distributions(z, labels).axes
    assert axes.get_ylabel() == "density"
    assert "real" in [text.get_text() for text in axes.get_legend().texts]


def test_an_overlay_shows_each_picture_and_its_map():
    p = np.linspace(0, 1, 20).reshape(5, 4)
    figure = plots.overlay(IMAGES, p, TITLES)
    assert len(figure.axes) == 2 * 5 + 1  # and the colour bar
    maps = [axes.images[-1] for axes in figure.axes[5:10]]
    np.testing.assert_allclose(maps[2].get_array(), p[2].reshape(2, 2))
    for shown in maps:
        assert shown.get_clim() == (0, 1)
        assert list(shown.get_extent()) == [0, 1, 0, 1]
    assert len(plots.overlay(IMAGES[:1], p[:1, :1], TITLES[:1]).axes) == 3


def test_an_overlay_without_pictures_shows_the_maps_alone():
    p = np.linspace(0, 1, 20).reshape(5, 4)
    figure = plots.overlay(None, p, TITLES)
    assert len(figure.axes) == 5 + 1
    for values, axes in zip(p, figure.axes, strict=False):
        (shown,) = axes.images
        np.testing.assert_allclose(shown.get_array(), values.reshape(2, 2))
        assert axes.get_title()


def test_crops_are_drawn_where_they_lie_in_their_verdicts_colour():
    origins = np.zeros((5, 3, 2), np.int32)
    origins[0] = [[2, 9], [0, 0], [8, 4]]
    z = np.tile(np.array([1.0, -1.0, 0.0], np.float32), (5, 1))
    figure = plots.crops(IMAGES, origins, z, 4, TITLES)
    squares = filled(figure)[0].patches
    assert [square.get_xy() for square in squares] == [(9, 2), (0, 0), (4, 8)]
    assert {(square.get_width(), square.get_height()) for square in squares} == {(4, 4)}
    colours = [to_hex(square.get_edgecolor()) for square in squares]
    assert colours == [plots.FAKE, plots.REAL, plots.REAL]


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
    (axes,) = plots.intervals(rows, "patch_size", "rule", xlabel="px", title="Title").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["64", "32"]
    assert [text.get_text() for text in axes.get_legend().texts] == ["grid", "crops"]
    assert (axes.get_xlabel(), axes.get_title()) == ("px", "Title")
    means = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_alpha() == 0.6]
    np.testing.assert_allclose(means[0].get_ydata(), [80, 90])
    np.testing.assert_allclose(means[1].get_ydata(), [65, 70])  # two seeds at 64 px
    without = plots.intervals(rows, "patch_size", "rule", xlabel="", title="", chance=False).axes[0]
    assert len(without.lines) == len(axes.lines) - 1
