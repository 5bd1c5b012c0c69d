"""The experiments' tables and figures: the paper beside ours, every rule, other test cells."""

import numpy as np
import pandas as pd
import pytest
from vote_helpers import agreeing, vote

from lib.data import packed
from lib.data.packing import pack
from lib.report import experiments, families, figures
from lib.results import tables
from lib.results.accuracies import Family
from lib.statistics import accuracy, bootstrap
from lib.study import paths
from lib.study.run import Run
from lib.voting import rules

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
TWO = {128: [0.6, 0.8], 64: [0.7, 0.5], 32: [1.0, 0.9]}


def rows_of(family: Family) -> pd.DataFrame:
    return families.read(family.study)[0]


def first_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """A table's numbers without their intervals."""
    return table.map(lambda text: text.split()[0])


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: the arguments of every call of a figure's function."""

    def drawn(name: str) -> list[tuple]:
        calls: list[tuple] = []
        monkeypatch.setattr(figures, name, lambda *given, **named: calls.append((given, named)))
        return calls

    return drawn


# Experiments 1 to 4


def test_the_papers_best_epoch_stands_beside_ours(family):
    networks = family({128: [0.6], 64: [0.7], 32: [1.0]})
    table = first_numbers(experiments.rates(networks.study, rows_of(networks), 1))
    assert table.index.tolist() == [(128, "whole image"), (64, "each patch"), (32, "each patch")]
    assert list(table.columns) == ["paper, top-1", "top1", "validated", "auc", "tpr", "tnr"]
    assert table["paper, top-1"].tolist() == ["96.6", "95.6", "92.7"]  # of the same shares
    assert table["validated"].tolist() == ["60.0", "70.0", "100.0"]
    assert table["tpr"].tolist() == table["tnr"].tolist() == table["validated"].tolist()


def test_rules_that_the_paper_has_not_stand_below_the_grid_vote(family):
    networks, others = family({64: [0.7]}), [(64, "mean margin"), (64, "mean P(fake)")]
    rows = rows_of(networks)
    table = experiments.rates(networks.study, rows, 2)
    assert table.index.tolist() == [(64, "vote, grid"), *others]
    assert table["paper, top-1"].tolist() == ["97.9", "—", "—"]
    table = experiments.other_rules(rows, 2)
    assert table.index.tolist() == others
    assert list(table.columns) == list(accuracy.EPOCH_STATISTICS)
    assert experiments.other_rules(rows, 4).empty


def test_experiment_4_is_shown_at_the_smallest_theta_and_in_the_reading_that_leads(family):
    networks = family({32: [0.9]}, quirks={"theta_reading": "range"})
    rows = rows_of(networks)
    table = experiments.rates(networks.study, rows, 4)
    assert table.index.tolist() == [(32, "vote, confident, θ = 0.5")]
    assert set(experiments.of_experiment(rows, 4)["reading"]) == {"range"}


def test_seeds_are_told_apart_where_there_are_several(family):
    networks = family(TWO)
    table = first_numbers(experiments.rates(networks.study, rows_of(networks), 2))
    assert table.index.names == ["patch_size", "by", "seed"]
    votes = table.xs("vote, grid", level="by")
    assert votes["validated"].to_dict() == {
        **{(64, 0): "70.0", (64, 1): "50.0"}, **{(32, 0): "100.0", (32, 1): "90.0"},
    }  # fmt: skip
    assert votes["paper, top-1"].tolist() == ["97.9", "97.9", "98.8", "98.8"]


@pytest.mark.parametrize(("number", "lines"), [(1, 5), (2, 4), (3, 4), (4, 20)])
def test_the_papers_whole_table_stands_beside_ours_seed_by_seed(family, number, lines):
    networks = family(TWO)
    table = experiments.beside(networks.study, rows_of(networks), number)
    assert list(table.columns.levels[0][table.columns.codes[0]].unique()) == [
        *("paper", "here, seed 0", "here, seed 1")
    ]
    assert len(table.dropna()) == len(table) >= lines
    ours = table["here, seed 1"]["validated"]
    at = (32, 1.0) if number == 4 else 32
    assert ours.loc[at].startswith("90.0 [") and ours.iloc[-1] == "—"  # the paper's 16 px of 256
    papers = {1: "92.73", 2: "98.83", 3: "59.23", 4: "98.83"}  # 64 px of 256
    assert table["paper"]["top1"].loc[at] == papers[number]


def test_all_readings_stand_beside_each_other(family):
    table = experiments.readings(rows_of(family({64: [0.7], 32: [1.0]})))
    assert table.index.tolist() == [(64, 1.0), (64, 0.5), (32, 1.0), (32, 0.5)]
    shown = ["validated", "coverage", "fallback"]
    assert table.columns.tolist() == [(r, s) for r in rules.READINGS for s in shown]
    assert table["share"].loc[(64, 1.0)].tolist()[1:] == ["100.0", "0.0"]  # without interval
    assert table["share", "validated"].loc[(64, 1.0)].startswith("70.0 [")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_figure_shows_the_papers_rule(family, drawn, number):
    laid, calls = family(TWO), drawn("intervals")
    experiments.experiment_figure(laid.study, rows_of(laid), number)
    (((rows, x, hue), named),) = calls
    assert set(rows["rule"]) <= {1: {"none", "whole"}, 2: {"grid"}, 3: {"crops"}}[number]
    assert set(rows["statistic"]) == {"top-1", "average", "validated epoch"}
    assert (x, hue) == ("patch_size", "statistic")
    assert named["title"] == f"Experiment {number}"
    assert named["xlabel"] == "patch size, px (128 is the whole image)"


def test_experiment_4_is_drawn_against_theta(family, drawn):
    laid, calls = family(TWO), drawn("intervals")
    experiments.experiment_figure(laid.study, rows_of(laid), 4)
    (((rows, x, hue), named),) = calls
    assert (x, hue, named["xlabel"]) == ("theta", "size", "θ (share)")
    assert rows["size"].unique().tolist() == ["64 px", "32 px"]
    assert set(rows["theta"]) == {1.0, 0.5} and set(rows["statistic"]) == {"validated"}
    assert set(rows["reading"]) == {"share"}


def test_figures_of_simulated_images_say_so(family, drawn):
    source = {"kind": "simulated", "content": "sim_faces"}
    laid = family({64: [1.0]}, cells={CELL: {"real": source, "fake": source}})
    calls = drawn("intervals")
    for number in (2, 4):
        experiments.experiment_figure(laid.study, rows_of(laid), number)
    assert all(named["title"].startswith("Simulated: ") for _, named in calls)


# Maps of P(fake)


@pytest.fixture
def mapped(make_run, finish, draw):
    """A network of 8 px on packed pictures, whose second epoch is validated."""

    def mapped(**changes) -> Run:
        for folder in ("leaves", "gan_a"):
            draw(folder, 12)
        run = make_run(**changes)
        pack.pack(run.study, CELL)
        z = np.arange(2 * 8 * 4).reshape(2, 8, 4) / 10 - 3
        finish(run, z, [0] * 4 + [1] * 4, [0.5, 0.6])
        return run

    return mapped


def test_maps_show_pictures_above_their_patches(mapped, drawn):
    run, calls = mapped(), drawn("overlay")
    experiments.maps(run, count=2)
    (((pictures, probabilities, titles), _),) = calls
    assert titles == ["real", "real", "fake", "fake"]
    expected = packed.load(run.study, CELL).images[[0, 1, 4, 5]]
    np.testing.assert_array_equal(pictures, expected)
    z = np.arange(2 * 8 * 4).reshape(2, 8, 4)[1, [0, 1, 4, 5]] / 10 - 3
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-z)), rtol=1e-5)


def test_pictures_are_left_out_where_the_study_says_so(mapped, drawn, monkeypatch):
    run, calls = mapped(show_pictures=False), drawn("overlay")
    monkeypatch.setattr(packed, "load", lambda *_: pytest.fail("pictures were opened"))
    experiments.maps(run)
    assert calls[0][0][0] is None


def test_pictures_that_are_out_of_date_are_not_shown(mapped, drawn):
    run, calls = mapped(), drawn("overlay")
    experiments.maps(run.model_copy(update={"study": run.study.model_copy(update={"data": (
        run.study.data.model_copy(update={"resample": "area"})
    )})}))  # fmt: skip
    assert calls[0][0][0] is None and len(calls[0][0][1]) == 8


# Experiment 5: other cells and altered ones

JPEG, BLUR = "leaves_jpeg-gan_a", "leaves_blur-gan_a"
HALF = 10
LABELS = np.repeat([0, 1], HALF)
FILES = {"real": {"kind": "files", "path": "leaves"}, "fake": {"kind": "files", "path": "gan_a"}}
CELLS = {
    CELL: FILES,
    JPEG: {"test_images_of": CELL, "jpeg_quality": 75},
    BLUR: {"test_images_of": CELL, "blur": 1},
    "leaves_jpeg-gan_b": {"test_images_of": SISTER, "jpeg_quality": 75},
    SISTER: FILES,
}
# Images of each class that are judged rightly, by cell: by the whole image, and at 8 px.
RIGHT = {CELL: (9, 10), BLUR: (7, 5), JPEG: (9, 8), SISTER: (6, 6)}
ALTERED = {CELL: "unaltered", JPEG: "JPEG 75", BLUR: "blur 1 px"}


@pytest.fixture
def lay(finish, make_study):
    """A study with finished networks of both sizes, voted on these cells."""

    def lay(tested=tuple(RIGHT), **changes):
        study = make_study(cells=CELLS, **changes)
        for seed in study.seeds:
            for cell in tested:
                for size, count in zip((16, 8), RIGHT[cell], strict=True):
                    test = dict(zip(("test_dataset", "test_gan"), cell.split("-"), strict=True))
                    where = {"dataset": "leaves", "gan": "gan_a", "patch_size": size, "seed": seed}
                    run = Run(study=study, **where, **test)
                    right = np.tile(np.arange(HALF) < count - seed, 2)
                    z = agreeing(right, LABELS, (16 // size) ** 2)
                    finish(run, z, LABELS, [0.5])
                    vote(run)
        return study

    return lay


def lines(table: pd.DataFrame, size: int, by: str) -> pd.DataFrame:
    """A rule's lines at one patch size, by test cell."""
    flat = table.reset_index()
    return flat[(flat["patch_size"] == size) & (flat["by"] == by)].set_index("test")


def test_altered_cells_are_the_training_cells_own_and_called_by_what_was_done(lay):
    assert experiments.altered_cells(lay(tested=()), CELL) == ALTERED


def test_rules_stand_beside_each_other_in_the_order_of_cells(lay):
    study = lay()
    rows = experiments.on_cells(families.read(study)[0], ALTERED)
    assert rows["test"].unique().tolist() == list(ALTERED.values())
    table = experiments.cells_table(rows)
    assert list(table.columns) == ["validated", "auc", "tpr", "tnr"]
    assert list(lines(table, 8, "vote, grid").index) == list(ALTERED.values())
    assert list(lines(table, 16, "whole image").index) == list(ALTERED.values())
    assert set(table.reset_index()["by"]) == {
        *("each patch", "whole image", "vote, grid", "mean margin", "mean P(fake)"),
        "vote, confident, θ = 0.6",
    }
    votes = lines(table, 8, "vote, grid")["validated"]
    assert [text.split()[0] for text in votes] == ["100.0", "80.0", "50.0"]
    rates = lines(table, 16, "whole image").loc["blur 1 px"]
    assert [rates[name].split()[0] for name in ("tpr", "tnr")] == ["70.0", "70.0"]


def test_cells_of_other_pictures_are_apart_from_altered_ones(lay):
    study = lay()
    cells = {cell: cell for cell in (CELL, *study.others(CELL))}
    table = experiments.cells_table(experiments.on_cells(families.read(study)[0], cells))
    assert set(table.reset_index()["test"]) == {CELL, SISTER}


def test_the_change_is_paired_and_in_points(lay):
    table = experiments.changes(Family(lay(), CELL), ALTERED)
    assert list(table.columns) == ["JPEG 75", "blur 1 px"]
    assert list(table.index) == [16, 8]
    assert table.loc[16, "JPEG 75"] == "+0.0 [-18.4, +18.4]"  # of 20 images
    lost = np.tile((np.arange(HALF) >= 5) & (np.arange(HALF) < 10), 2)
    resampled = bootstrap.resample(LABELS.astype(np.uint8), 200, 0)
    expected = accuracy.difference(np.zeros(20), lost, resampled)
    assert table.loc[8, "blur 1 px"] == (
        f"{100 * expected.value:+.1f} [{100 * expected.low:+.1f}, {100 * expected.high:+.1f}]"
    )


def test_the_change_is_the_mean_over_seeds(lay):
    study = lay(seeds=[0, 1])
    assert (
        experiments.changes(Family(study, CELL), ALTERED).loc[8, "blur 1 px"].startswith("-50.0 [")
    )
    rows = experiments.on_cells(families.read(study)[0], ALTERED)
    assert "seed" in experiments.cells_table(rows).index.names


def test_what_was_not_tested_is_left_out(lay):
    study = lay(tested=(CELL, JPEG))
    table = experiments.cells_table(experiments.on_cells(families.read(study)[0], ALTERED))
    assert list(lines(table, 8, "vote, grid").index) == ["unaltered", "JPEG 75"]
    assert list(experiments.changes(Family(study, CELL), ALTERED).columns) == ["JPEG 75"]


def test_without_altered_cells_there_are_no_changes(lay):
    study = lay(tested=(CELL, SISTER))
    assert experiments.changes(Family(study, CELL), ALTERED).empty
    assert set(experiments.on_cells(families.read(study)[0], ALTERED)["test"]) == {"unaltered"}


def test_a_rule_that_two_notebooks_saved_stands_there_once(make_run, finish, make_study):
    run = make_run()
    scored = finish(run, np.ones((1, 4, 4)), [0, 0, 1, 1], [0.5])
    for number in (2, 4):
        sheet = tables.Sheet(run, number, scored)
        sheet.vote(rules.Rule("mine", "mine", rules.share_fake))
        sheet.save()
    rows = families.read(make_study())[0]
    assert len(experiments.cells_table(experiments.on_cells(rows, {CELL: CELL}))) == 1
    assert paths.table("tiny", 4, CELL, CELL, "plain", 8, 0).is_file()


def test_groups_stand_side_by_side_by_size(make_run, finish, monkeypatch):
    data = {"image_size": 16, "folds": 2, "most_per_class": 50, "strata": "^[a-z]"}
    for size in (16, 8):
        run = make_run(size, data=data)
        finish(run, np.ones((1, 4, (16 // size) ** 2)), [0, 0, 1, 1], [0.5])
    rows = pd.DataFrame({"class": "fake", "stratum": ["d", "j"], "images": [3, 4]})
    rows = rows.assign(right=0.5, auc=[0.9, 0.6], low=[0.8, np.nan], high=[1.1, np.nan])
    monkeypatch.setattr(experiments, "by_stratum", lambda family, size: rows)
    monkeypatch.setattr(packed, "stale", lambda *_: None)
    table = experiments.strata_table(Family(run.study, run.train))
    assert table.columns.tolist() == [
        *(("16 px", "right"), ("16 px", "AUC"), ("8 px", "right"), ("8 px", "AUC"))
    ]
    assert table.loc[("fake", "d", 3), ("8 px", "AUC")] == "90.0 [80.0, 100.0]"
    assert table.loc[("fake", "j", 4)].tolist() == ["50.0", "60.0", "50.0", "60.0"]
    monkeypatch.setattr(packed, "stale", lambda *_: "other parameters")
    assert experiments.strata_table(Family(run.study, run.train)).empty


def test_without_groups_there_is_no_table_of_them(make_run, finish):
    run = make_run(8)
    finish(run, np.ones((1, 4, 4)), [0, 0, 1, 1], [0.5])
    assert experiments.strata_table(Family(run.study, run.train)).empty
