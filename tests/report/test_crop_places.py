"""Where crops fail, as a table in per cent and panels of lines."""

import pandas as pd

from lib.report.crop_places import displacements, trained_and_tested


def test_networks_stand_against_where_they_are_tested():
    lines = [
        {"patch_size": 64, "trained": trained, "tested": tested, "seed": seed, "accuracy": accuracy}
        for trained, tested, accuracies in (
            ("grid", "anywhere", (0.5, 0.6, 0.55)),
            ("grid", "grid", (0.8,) * 3),
            ("grid", "aligned", (0.7,) * 3),
            ("anywhere", "anywhere", (0.75,)),
            ("anywhere", "grid", (0.75,)),
            ("anywhere", "aligned", (0.75,)),
        )
        for seed, accuracy in enumerate(accuracies)
    ]
    table = trained_and_tested(pd.DataFrame(lines), "accuracy")
    assert table.columns.tolist() == ["networks", "on grid", "on aligned", "on anywhere"]
    assert table.index.tolist() == [(64, "grid"), (64, "anywhere")]
    assert table.loc[(64, "grid"), "on grid"] == "80.0 [80.0, 80.0]"
    assert table.loc[(64, "grid"), "on anywhere"].startswith("55.0 [")
    assert table.loc[(64, "anywhere"), "on grid"] == "75.0"
    assert table["networks"].tolist() == [3, 1]


def test_displacements_have_a_panel_per_size_and_axis():
    rows = pd.DataFrame(
        [
            {"patch_size": size, "axes": axes, "distance": d, "auc": 0.5, "tpr": 0.5, "tnr": 0.5}
            for size in (64, 32)
            for axes in ("down", "across", "both")
            for d in (0, 8)
        ]
    )
    figure = displacements(rows)
    assert len(figure.axes) == 6
    drawn = [[line for line in axis.lines if len(line.get_xdata())] for axis in figure.axes]
    assert all(len(lines) == 3 for lines in drawn)
    titles = {figure.axes[2].get_title(loc) for loc in ("left", "center")}  # as the theme has it
    assert titles == {"", "64 px, down and across"}
