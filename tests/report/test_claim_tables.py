"""Findings and the effects of quirks as tables to read: what they say, and never more."""

import numpy as np
import pandas as pd
import pytest

from lib.report import claim_tables, figures
from lib.results import claims, quirk_effects
from lib.voting import verdicts

CELL = "leaves-gan_a"


# Findings


@pytest.mark.parametrize(
    ("finding", "real", "simulated"),
    [
        ("supported", "✔ supported", "✔ supported in simulation"),
        ("contradicted", "✘ contradicted", "✘ contradicted in simulation"),
        ("undecided", "? undecided", "? undecided in simulation"),
        ("not tested", "– not tested", "– not tested"),
        ("not judged", *["· not judged: fewer than 3 seeds"] * 2),
    ],
)
def test_a_finding_is_never_stronger_than_the_data(finding, real, simulated):
    assert claim_tables.marked(finding, simulated=False) == real
    assert claim_tables.marked(finding, simulated=True) == simulated


@pytest.mark.parametrize("simulated", [False, True])
def test_a_table_of_claims_holds_what_was_tested(family, simulated):
    shares = {128: [0.8] * 3, 64: [0.8] * 3, 16: [1.0] * 3}  # of images of 128 px
    findings = claims.table([family(shares)])
    table = claim_tables.to_read(findings, simulated=simulated)
    suffix = " in simulation" if simulated else ""
    for column in ("here", "by ranking"):
        told = table[column].drop(index="… 32 px is best", level=1)
        assert all(text.endswith(suffix) and "not tested" not in text for text in told)
    best = table.loc[("C1", "… and 32 px is best")]
    assert best["here"] == f"✔ supported{suffix}"
    assert best["on the paper's numbers"] == "✔ supported"
    assert best["what decides"].startswith(
        "a single patch of 16 px is right 20.0 points more often than the mean of the other sizes ["
    )
    assert float(best["could have shown"]) > 0
    # A quantity below zero is shown as it is told: less often by so much, from and to.
    little = table.loc[("C1", "… but not by much"), "what decides"]
    low, high = map(float, little.split("[")[1].strip("]").split(" to "))
    assert "20.0 points" in little and low < 20 < high
    closer = table.loc[("C4", "all of it"), "on the paper's numbers"]
    assert closer == "✘ contradicted (the paper contradicts itself)"
    assert claim_tables.untested(findings).startswith("C5; C6")
    tested = findings[(findings["finding"] != "not tested") & (findings["says"] != "")]
    assert set(tested["says"]) == set(table.index.get_level_values(1)) - {"all of it"}


def test_a_claim_of_several_parts_is_summed_up_and_one_of_a_single_part_is_not(family):
    of_its_kind = {"real": {"kind": "files", "path": "x"}, "fake": {"kind": "files", "path": "y"}}
    cells = dict.fromkeys((CELL, "leaves-gan_b"), of_its_kind)
    findings = claims.table([family({128: [0.7], 64: [0.8], 16: [1.0]}, cells=cells)])
    findings.loc[findings["claim"] == "C6", "finding"] = "undecided"
    table = claim_tables.to_read(findings, simulated=False).reset_index()
    wholes = table[table["the paper says"] == "all of it"]
    assert wholes["claim"].tolist() == ["C1", "C2", "C3", "C4"]
    assert (wholes["what decides"] == "").all() and (wholes["could have shown"] == "").all()
    assert set(wholes["here"]) == {"· not judged: fewer than 3 seeds"}
    assert (table["claim"] == "C6").sum() == 1


def test_a_reversal_between_accuracy_and_ranking_is_the_thresholds_doing():
    rows = [("accuracy", "contradicted"), ("auc", "supported")]
    lines = [("C6", says, *row) for says in ("x", "") for row in rows]
    found = pd.DataFrame(lines, columns=["claim", "says", "measure", "finding"])
    table = claim_tables.to_read(found.reindex(columns=claims.COLUMNS), simulated=False)
    assert table["by ranking"].tolist() == ["✔ supported, so the threshold of images does it"]


def test_one_answer_for_every_image_is_named(family):
    of = family({128: [0.9], 64: [0.9], 32: [0.9]})
    assert claim_tables.one_answer(of) == []
    fake = np.ones((20, 5)) * np.where(np.arange(20) < 18, 1.0, -1.0)[:, None]
    run = of.run(64, 0)
    table = verdicts.read(run, 3)
    table["fake"] = np.resize(fake[:, 0] > 0, len(table))
    verdicts.write(run, 3, [table])
    (line,) = claim_tables.one_answer(of)
    assert line.startswith("At 64 px the vote over crops has nearly one answer") and "80 %" in line


def test_of_nothing_there_is_an_empty_table(work):
    assert claim_tables.to_read(claims.table([]), simulated=False).empty


# Effects of quirks


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
    return pd.DataFrame(rows, columns=quirk_effects.COLUMNS).astype({"seed": "Int64"})


def test_the_effect_table_by_hand(effects):
    """At 128 px `even` cannot change anything, and has no line."""
    table = claim_tables.effect_table(effects)
    assert list(table.index) == [
        ("even", "plain", 64),
        ("bgr", "plain", 128),
        ("bgr", "plain", 64),
    ]
    assert table.to_dict("split")["data"] == [
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
    table = claim_tables.effect_table(effects, "top1")
    assert table.to_dict("index") == {("even", "plain", 64): {"Exp. 3": "-10.0 [-11.0, -9.0]"}}


def test_a_table_of_no_effects_is_empty(effects):
    assert claim_tables.effect_table(effects[:0]).empty
    assert claim_tables.effect_table(effects[effects["experiment"] == 2]).empty


def test_the_effects_figure_shows_the_validated_epoch_and_the_least_theta(effects, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "effects", shown.append)
    claim_tables.effect_figure(effects)
    (rows,) = shown
    assert (rows["statistic"] == "validated").all()
    assert rows["theta"].dropna().unique().tolist() == [0.6]
    assert len(rows) == 3 * 11
    assert set(rows.loc[rows["experiment"] == 5, "column"]) == {
        "Exp. 5, leaves-gan_b",
        "Exp. 5, stones-gan_a",
    }
