"""What the numbers come to: verdicts, tables and sections of the report hold what was measured."""

from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lib import ablation, claims, dependence, findings, judging, paths, plots, reliability, runs
from lib.evidence import Evidence
from lib.report import Section
from lib.study import Run

CELL = "leaves-gan_a"
S, HALF = 128, 10
LABELS = np.repeat([0, 1], HALF)
SIMULATED = {"kind": "simulated", "content": "sim_faces"}


class Reader(HTMLParser):
    """The tables of a section, as rows of cells' texts, and its headings."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.tables, self.headings, self.inside, self.images = [], [], None, 0
        self.feed(section._repr_html_())

    def handle_starttag(self, tag, attrs):
        self.inside, self.images = tag, self.images + (tag == "img")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in ("td", "th"):
            self.tables[-1][-1][-1] += data
        elif self.inside == "h3":
            self.headings.append(data)


def read(section: Section) -> Reader:
    assert isinstance(section, Section)
    return Reader(section)


# Verdicts in words


def test_points_are_percentage_points_with_their_signs():
    assert findings.points(0.0512, -0.01, 0.1) == "+5.1 [-1.0, +10.0]"


@pytest.mark.parametrize(
    ("word", "real", "simulated"),
    [
        ("supported", "✔ supported", "✔ supported in simulation"),
        ("contradicted", "✘ contradicted", "✘ contradicted in simulation"),
        ("undecided", "? undecided", "? undecided in simulation"),
        ("not tested", "– not tested", "– not tested"),
    ],
)
def test_a_verdict_is_never_stronger_than_the_data(word, real, simulated):
    assert findings.verdict(word, simulated=False) == real
    assert findings.verdict(word, simulated=True) == simulated


def test_every_verdict_has_a_mark():
    words = {judging.SUPPORTED, judging.CONTRADICTED, judging.UNDECIDED, judging.NOT_TESTED}
    assert set(findings.MARKS) == words


# A finished study: images judged rightly by all their patches or none, the sizes nested.


@pytest.fixture
def family(make_study, finish):
    """A family of networks, by size and seed a share of images judged rightly."""

    def family(shares: dict[int, list[float]], **changes) -> Evidence:
        study = make_study(
            **{
                "data": {"image_size": S, "per_class": {"train": 3, "validation": 2, "test": HALF}},
                "patch_sizes": list(shares),
                "seeds": list(range(len(next(iter(shares.values()))))),
                "voting": {"thetas": [1.0, 0.5]},
                "training": {"batch_size": 32},
                **changes,
            }
        )
        for size, by_seed in shares.items():
            for seed, share in enumerate(by_seed):
                run = Run(study=study, dataset="leaves", gan="gan_a", patch_size=size, seed=seed)
                right = np.tile(np.arange(HALF) < round(share * HALF), 2)
                z = np.where(right == (LABELS == 1), 1.0, -1.0)[None, :, None]
                patches = (S // size) ** 2
                for cell in study.cells:
                    finish(run, np.repeat(z, patches, 2), LABELS, [0.5], cell=cell)
                finish(run, np.repeat(z, patches + 1, 2), LABELS, [0.5], kind="crops")
                history = pd.read_csv(run.folder / "history.csv").assign(patches=100 * patches)
                pd.concat([history] * 2).to_csv(run.folder / "history.csv", index=False)
        return Evidence(study, CELL)

    return family


THREE = {128: [0.6], 64: [0.7], 32: [1.0]}


def test_judged_has_a_row_for_each_part_and_each_claim(family):
    of = family(THREE)
    table = findings.judged([of])
    columns = "train variant claim says rule turns_on value low high seeds verdict"
    assert list(table.columns) == columns.split()
    assert len(table) == len(claims.PARTS) + 6
    expected = [
        (claim, says)
        for claim in claims.CLAIMS
        for says in [part.says for part in claims.PARTS if part.claim == claim] + [""]
    ]
    assert list(zip(table["claim"], table["says"], strict=True)) == expected
    assert (table["train"] == CELL).all()
    assert (table["variant"] == "plain").all()
    assert (table["seeds"] == 1).all()
    for claim in claims.CLAIMS:
        rows = table[table["claim"] == claim]
        parts, whole = rows["verdict"].iloc[:-1].tolist(), rows["verdict"].iloc[-1]
        assert whole == judging.overall(parts)


def test_judged_says_what_a_verdict_turns_on(family):
    of = family(THREE)
    table = findings.judged([of]).set_index(["claim", "says"])
    best = table.loc[("C1", "… and 32 px is best")]
    assert (best["turns_on"], best["verdict"]) == ("32 px − 64 px", "supported")
    assert best["value"] == pytest.approx(0.3)
    (found,) = [f for f in claims.judge(of, ["C1"]) if f.says == "… and 32 px is best"]
    assert (best["low"], best["high"]) == found.decisive.interval()
    assert 0 < best["low"] < best["value"] < best["high"]
    missing = table.loc[("C5", "Under other content, patches do better than the whole image")]
    assert missing["verdict"] == "not tested"
    assert missing[["turns_on", "value", "low", "high"]].isna().all()


def test_other_families_are_judged_on_patch_sizes_alone(family):
    plain, other = family(THREE), family(THREE, variant="matched")
    table = findings.judged([plain, other])
    assert table.groupby("variant")["claim"].unique().map(list).to_dict() == {
        "plain": list(claims.CLAIMS),
        "matched": ["C1", "C2"],
    }
    assert len(table[table["variant"] == "matched"]) == 6 + 2


def test_no_families_have_no_verdicts(work):
    table = findings.judged([])
    assert table.empty
    assert "verdict" in table


def cells(**source) -> dict:
    return {CELL: {"real": source, "fake": source}}


@pytest.mark.parametrize("simulated", [False, True])
def test_the_verdicts_section_holds_the_verdicts(family, simulated):
    source = SIMULATED if simulated else {"kind": "files", "path": "x"}
    of = family({128: [0.6, 0.6], 64: [0.7, 0.7], 32: [1.0, 1.0]}, cells=cells(**source))
    one = family(THREE, variant="matched", cells=cells(**source))
    page = read(findings.verdicts(Section("Claims"), [of, one]))
    assert page.headings == [
        f"Trained on {CELL}: 2 training seeds",
        "The same at matched: one training seed, so the intervals know nothing of how training "
        "varies",
        "By which rules",
    ]
    assert len(page.tables) == 2
    suffix = " in simulation" if simulated else ""
    rows = {row[-4]: row[-3:] for row in page.tables[0] if len(row) >= 4}
    verdict, points, turns = rows["… and 32 px is best"]
    assert (verdict, turns) == (f"✔ supported{suffix}", "32 px − 64 px")
    assert points.startswith("+30.0 [")
    assert rows["… but not by much"][0] == f"✘ contradicted{suffix}"
    assert rows["Under other content, patches do better than the whole image"] == [
        "– not tested",
        "",
        "",
    ]
    assert rows["all of it"][0] == "– not tested"  # of the last claim, C6
    said = [row[-3] for table in page.tables for row in table[2:]]
    assert len(said) == len(claims.PARTS) + 6 + 6 + 2
    for verdict in said:
        assert verdict.endswith(" in simulation") == (simulated and "not tested" not in verdict)


def test_every_rule_is_spelt_out(work):
    html = unescape(findings.verdicts(Section("Claims"), [])._repr_html_())
    for part in claims.PARTS:
        assert f"{part.claim}: {part.says}: {part.rule}." in html


def test_budgets_by_hand(family):
    """Two epochs of 100 patches an image's worth, in batches of 32."""
    of = family({128: [0.6, 0.8], 64: [0.7, 1.0]})
    (table,) = read(findings.budgets(Section("Budgets"), [of])).tables
    lines = [row[-5:] for row in table if row[-1].endswith(".0")]
    assert lines == [
        ["128", "100", "8", "60.0, 80.0", "60.0, 80.0"],
        ["64", "400", "26", "70.0, 100.0", "70.0, 100.0"],
    ]
    # 100 are 3 whole batches and one of 4, 400 are 12 and one of 16.
    assert [cell for row in table for cell in row].count(CELL) == 1


def test_budgets_of_nothing_is_no_table(work, make_study):
    of = Evidence(make_study(), CELL)
    assert read(findings.budgets(Section("Budgets"), [of])).tables == []


def test_the_comparisons_section_holds_the_paired_tests(family):
    of = family({128: [0.6, 1.0], 64: [1.0, 0.5]})
    (table,) = read(findings.comparisons(Section("Paired"), [of])).tables
    assert [cell for cell in table[0] if cell] == ["seed 0", "seed 1"]
    assert table[1][-8:] == ["difference", "only first", "only second", "p, Holm"] * 2
    first = next(row for row in table if "whole image" in row)
    # Eight images only by the 64 px, 2⁻⁷, the second least of eight p; ten only by the whole, 2⁻⁹.
    assert first[-8:] == ["+40.0", "8", "0", "0.055", "-50.0", "0", "10", "0.016"]
    assert first[:2] == ["64 px, grid", "whole image"]
    others = [row[-8:] for row in table if row[1:2] == ["64 px, grid"]]
    assert others == [["+0.0", "0", "0", "1"] * 2] * 3


def test_families_without_a_network_are_not_compared(work, make_study):
    page = read(findings.comparisons(Section("Paired"), [Evidence(make_study(), CELL)]))
    assert page.tables == []


# Quirks


def effect(variant, size, experiment, difference, theta=None, test=CELL, **more) -> list[dict]:
    """The rows of one effect: of the mean over two seeds, and of each."""
    key = {"variant": variant, "baseline": "plain", "switches": variant, "patch_size": size}
    key |= {"experiment": experiment, "theta": theta, "test": test, "statistic": "validated"}
    low, high = (difference - 0.01, difference + 0.01) if difference else (0, 0)
    key |= {"without": 0.9, "with": 0.9 + difference, "low": low, "high": high, "n_seeds": 2}
    return [{**key, "seed": seed, "difference": difference, **more} for seed in (pd.NA, 0, 1)]


@pytest.fixture
def effects() -> pd.DataFrame:
    rows = [
        *effect("even", 64, 1, 0), *effect("even", 64, 2, 0), *effect("even", 64, 3, -0.2),
        *effect("even", 64, 4, 0, 1.0), *effect("even", 64, 4, 0, 0.6),
        *effect("even", 64, 5, 0, test="leaves-gan_b"),
        *effect("even", 128, 1, 0),
        *effect("even", 64, 3, -0.1, statistic="top1"),
        *effect("bgr", 128, 1, 0.05),
        *effect("bgr", 64, 1, 0.0, low=-0.02, high=0.02),
        *effect("bgr", 64, 4, 0.5, 1.0), *effect("bgr", 64, 4, 0.25, 0.6),
        *effect("bgr", 64, 5, 0.1, test="leaves-gan_b"),
        *effect("bgr", 64, 5, 0.3, test="stones-gan_a"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=ablation.COLUMNS).astype({"seed": "Int64"})


def test_the_effect_table_by_hand(effects):
    """At 128 px `even` cannot change anything, and has no line."""
    table = findings.effect_table(effects)
    assert list(table.index) == [
        ("even", "plain", 64),
        ("bgr", "plain", 128),
        ("bgr", "plain", 64),
    ]
    assert table.fillna("nan").to_dict("split")["data"] == [
        ["0", "0", "-20.0 [-21.0, -19.0]", "0", "0", ""],
        ["+5.0 [+4.0, +6.0]", "", "", "", "", ""],
        [
            *("+0.0 [-2.0, +2.0]", "", "", "+25.0 [+24.0, +26.0]"),
            *("+10.0 [+9.0, +11.0]", "+30.0 [+29.0, +31.0]"),
        ],
    ]
    cells = ["Exp. 5, leaves-gan_b", "Exp. 5, stones-gan_a"]
    assert list(table.columns) == ["Exp. 1", "Exp. 2", "Exp. 3", "Exp. 4", *cells]


def test_the_effect_table_of_another_statistic(effects):
    table = findings.effect_table(effects, "top1")
    assert table.to_dict("index") == {("even", "plain", 64): {"Exp. 3": "-10.0 [-11.0, -9.0]"}}


def test_a_table_of_no_effects_is_empty(effects):
    assert findings.effect_table(effects[:0]).empty
    assert findings.effect_table(effects[effects["experiment"] == 2]).empty


def test_the_effects_figure_shows_the_validated_epoch_and_the_least_theta(effects, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "effects", shown.append)
    findings.effect_figure(effects)
    (rows,) = shown
    assert (rows["statistic"] == "validated").all()
    assert rows["theta"].dropna().unique().tolist() == [0.6]
    assert len(rows) == 3 * 11
    assert set(rows.loc[rows["experiment"] == 5, "column"]) == {
        "Exp. 5, leaves-gan_b",
        "Exp. 5, stones-gan_a",
    }


def test_the_quirks_section_holds_both_statistics_of_each_cell(effects):
    section = findings.quirks(Section("Quirks"), {CELL: effects, "stones-gan_a": effects})
    page = read(section)
    assert page.headings == [f"Trained on {CELL}", "Trained on stones-gan_a"]
    assert (len(page.tables), page.images) == (4, 2)
    flat = [[cell for row in table for cell in row] for table in page.tables]
    assert "-20.0 [-21.0, -19.0]" in flat[0]
    assert "-10.0 [-11.0, -9.0]" not in flat[0]
    assert "-10.0 [-11.0, -9.0]" in flat[1]


# Reliability: networks of 16-px pictures, two reals and two fakes


FOUR = [0, 0, 1, 1]


def fake_of_four(*counts: int) -> np.ndarray:
    """Margins (N, 4) in which so many of each image's patches are judged fake."""
    return np.where(np.arange(4) < np.array(counts)[:, None], 1.0, -1.0)


@pytest.fixture
def lay(make_run, finish):
    """A network's margins (E, N, P) on the test images and on those held out."""

    def lay(z, held_out=None, size=8, seed=0, validation=None, **changes) -> Run:
        run = make_run(size, seed, **changes)
        validation = validation or [0.5] * len(z)
        finish(run, z, FOUR, validation)
        if held_out is not None:
            scored = runs.Margins(
                np.array(held_out, np.float32), np.array(FOUR, np.uint8),
                np.zeros((len(z[0][0]), 2), np.int32), np.arange(len(z), dtype=np.int32),
                np.arange(4, dtype=np.int32),
            )  # fmt: skip
            path = paths.margins(run.folder, run.train, "validation", "grid")
            runs.save_margins(path, scored, packed_hash="abc", crops_seed=0)
        return run

    return lay


# The second epoch is validated. With its own threshold it judges two of four rightly, with that
# of validation, ¾, three; the first epoch three, and with a threshold of its own, ⅝, all.
TEST = [fake_of_four(0, 2, 3, 4), fake_of_four(2, 3, 3, 4)]
HELD_OUT = [fake_of_four(4, 4, 0, 0), fake_of_four(2, 2, 4, 4)]


def test_choices_by_hand(lay):
    run = lay(TEST, HELD_OUT, validation=[0.5, 0.75])
    assert reliability.choices(run) == {
        "own": 0.5,
        "validation": 0.75,
        "top1": 0.75,
        "best": 1.0,
        "threshold": 0.75,
    }


def test_choices_of_the_whole_image_by_hand(lay):
    """Its margin's own threshold is zero, the one that is best on validation is 1½."""
    run = lay([[[-1], [0.5], [2], [3]]], [[[-1], [1], [2], [2]]], size=16)
    assert reliability.choices(run) == {
        "own": 0.75,
        "validation": 1.0,
        "top1": 0.75,
        "best": 1.0,
        "threshold": 1.5,
    }


def test_a_margin_of_zero_is_real_where_thresholds_are_chosen(lay):
    run = lay([[[0], [0], [2], [3]]], [[[0], [-1], [1], [2]]], size=16)
    assert reliability.choices(run)["own"] == 1.0


def test_the_selection_section_holds_the_choices(lay, make_study):
    lay(TEST, HELD_OUT, validation=[0.5, 0.75], seeds=[0, 1])
    lay(TEST, HELD_OUT, validation=[0.75, 0.5], seed=1, seeds=[0, 1])
    of = Evidence(make_study(seeds=[0, 1]), CELL)
    (table,) = read(reliability.selection(Section("Chosen"), [of])).tables
    # In the first epoch validation would turn all about: a threshold of 0 judges all fake.
    assert [row[-6:] for row in table[2:]] == [
        ["0", "50.0", "75.0", "75.0", "100.0", "25.0"],
        ["1", "75.0", "50.0", "75.0", "100.0", "50.0"],
    ]


def test_networks_are_listed_in_reading_order(lay, make_study):
    for size, seed in ((16, 0), (8, 0), (16, 1), (8, 1)):
        lay(np.zeros((1, 4, (16 // size) ** 2)), size=size, seed=seed)
    lay(np.zeros((1, 4, 4)), size=8, variant="matched")
    families = [
        Evidence(make_study(seeds=[0, 1]), CELL),
        Evidence(make_study(variant="matched"), CELL),
    ]
    found = [(run.variant, run.patch_size, run.seed) for run in reliability.networks(families)]
    assert found == [
        *(("plain", 16, 0), ("plain", 16, 1), ("plain", 8, 0), ("plain", 8, 1)),
        ("matched", 8, 0),
    ]


# Of the reals one is right throughout and one by half of its patches, of the fakes one is and
# one is wrong throughout: shares 1, ½, 1, 0.
HALVES = fake_of_four(0, 2, 4, 0)


def test_the_votes_section_by_hand(lay, make_study):
    """Mean squares of 5/4 between images and 1/12 within: ρ = 7/9, and 4 / (1 + 3ρ) votes."""
    lay([HALVES])
    lay([[[1], [1], [1], [1]]], size=16)
    (table,) = read(reliability.votes(Section("Votes"), [Evidence(make_study(), CELL)])).tables
    (line,) = table[2:]  # the whole image has no votes
    assert line[:5] == [CELL, "plain", "8", "0", "4"]
    line = line[1:]
    assert line[4].startswith("0.78 [")
    right = HALVES.astype(int) == np.where(np.array(FOUR), 1, -1)[:, None]
    with_rho = dependence.expected_vote(right, np.array(FOUR), 7 / 9)
    # Of four patches at ¾ three must be right, and of four at ½ two: 189/256 and 11/16.
    independent = (189 / 256 + 11 / 16) / 2
    assert line[5:] == [
        "1.2",
        "62.5",
        "50.0",
        f"{100 * independent:.1f}",
        f"{100 * with_rho:.1f}",
    ]
    low, high = (float(part) for part in line[4][6:-1].split(", "))
    assert -1 / 3 <= low <= 0.78 <= high <= 1


def test_votes_that_never_err_have_no_correlation(lay, make_study):
    lay([fake_of_four(0, 0, 4, 4)])
    (table,) = read(reliability.votes(Section("Votes"), [Evidence(make_study(), CELL)])).tables
    assert table[2][4:] == ["4", "—", "—", "100.0", "100.0", "100.0", "100.0"]


def rows_of(rule, value, experiment=2, variant="plain", test=CELL) -> list[dict]:
    key = {"train": CELL, "test": test, "variant": variant, "patch_size": 8, "seed": 0}
    key |= {"experiment": experiment, "rule": rule, "low": value - 0.1, "high": value + 0.1}
    names = [*reliability.CALIBRATION, "top1"]
    return [{**key, "statistic": name, "value": value + n / 100} for n, name in enumerate(names)]


def test_the_calibration_section_holds_the_tables_numbers(lay, make_study, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "reliability", lambda points: shown.append(points) or Figure())
    lay([HALVES])
    tables = pd.DataFrame(
        [
            *rows_of("none", 0.5, 1),
            *rows_of("grid", 0.6),
            *rows_of("mean_probability", 0.7),
            *rows_of("grid", 0.1, 5),
            *rows_of("crops", 0.2, 3),
            *rows_of("mean_margin", 0.2),
            *rows_of("grid", 0.3, variant="other"),
            *rows_of("grid", 0.4, test="leaves-gan_b"),
        ]
    )
    of = Evidence(make_study(), CELL)
    page = read(reliability.calibration(Section("Calibration"), [of], tables))
    (table,) = page.tables
    assert table[0][-5:] == ["AUC", "EER", "TPR at 1 % FPR", "Brier score", "ECE"]
    found = {row[-6]: row[-5:] for row in table[2:]}
    assert found.keys() == {"each patch", "vote, grid", "mean probability"}
    assert found["vote, grid"] == [f"0.6{n}0 [0.500, 0.700]" for n in range(5)]
    assert found["each patch"][0] == "0.500 [0.400, 0.600]"
    assert page.images == 1
    (points,) = shown
    shares = points[points["unit"] == "images, by their share of fake patches"]
    # A real and a fake have no fake patch, a real has half, a fake all.
    assert shares["stated"].tolist() == [0, 0.5, 1]
    assert shares["observed"].tolist() == [0.5, 0, 1]
    assert shares["count"].tolist() == [2, 1, 1]
    patches = points[points["unit"] == "patches"]
    sigmoid = 1 / (1 + np.exp([1, -1]))
    assert patches["stated"].tolist() == pytest.approx(sigmoid)
    assert patches["observed"].tolist() == pytest.approx([4 / 10, 4 / 6])


def test_without_networks_or_tables_calibration_shows_nothing(work, make_study):
    tables = pd.DataFrame(rows_of("grid", 0.5, variant="other"))
    of = Evidence(make_study(), CELL)
    page = read(reliability.calibration(Section("Calibration"), [of], tables))
    assert (page.tables, page.images) == ([], 0)
    for section in (reliability.selection, reliability.votes):
        assert read(section(Section("x"), [of])).tables == []
