"""Notebook 06 is the report: what its cells show, run in order, is the page."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from page_helpers import assert_self_contained
from PIL import Image
from vote_helpers import vote

from lib import margins
from lib.audit import separation
from lib.data.packing import pack
from lib.report import page as pages
from lib.results import quirk_effects, tables
from lib.study import paths, reading
from lib.study.run import Run
from lib.voting import rules

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
LABELS = [0] * 4 + [1] * 4
FILES = {
    name: {"real": {"kind": "files", "path": "leaves"}, "fake": {"kind": "files", "path": gan}}
    for name, gan in ((CELL, "gan_a"), (SISTER, "gan_b"))
}
TINY = {
    "title": "Leaves & <b>two</b> generators",
    "data": {"image_size": 16, "per_class": {"train": 3, "validation": 2, "test": 4}},
    "cells": FILES,
    "train_on": [CELL],
    "patch_sizes": [16, 8],
    "voting": {"thetas": [1.0, 0.6]},
    "bootstrap": {"resamples": 20},
    "variants": {"short": {"model": {"name": "test_resnet"}}},
    "deviations": ["Leaves are *no* faces."],
}
SECTIONS = [
    "The answer",
    "Which claims hold here",
    "Experiment 1: each patch by itself",
    "Experiment 2: the vote over the grid",
    "Experiment 3: the vote over random crops",
    "Experiment 4: the vote of the confident",
    "Experiment 5: other content, another generator",
    "Matched budgets",
    "How sure the numbers are",
    "What else tells the classes apart",
    "The released code's quirks",
    "What was run",
    "The published record",
]


def save(to) -> None:
    """Writes the smallest picture that there is."""
    Image.new("RGB", (1, 1)).save(to, "PNG")


@pytest.fixture
def lay(work, monkeypatch, draw, finish):
    """A study's file, its packed pictures, and voted networks in two variants."""
    monkeypatch.setattr(paths, "PARAMS", work)
    monkeypatch.setattr(Figure, "savefig", lambda _, to, **how: save(to))  # drawing takes longest

    def lay(**changes) -> None:
        (work / "tiny.yaml").write_text(yaml.safe_dump({**TINY, **changes}), "utf-8")
        for name in ("leaves", "gan_a", "gan_b"):
            draw(name, 12)
        for cell in (plain := reading.load("tiny")).cells:
            pack.pack(plain, cell)
        generator = np.random.default_rng(0)
        for variant in ("plain", *changes.get("variants", TINY["variants"])):
            study = reading.load("tiny", variant)
            for size, patches in ((16, 1), (8, 4)):
                for test_gan in (None, "gan_b"):
                    where = {"dataset": "leaves", "gan": "gan_a", "test_gan": test_gan}
                    run = Run(study=study, patch_size=size, seed=0, **where)
                    z = generator.standard_normal((2, 8, patches)) + np.array(LABELS)[:, None] - 0.5
                    finish(run, z, LABELS, [0.6, 0.7])
                    if size == 8:
                        finish(run, z[..., [0, 1, 2, 3, 0]], LABELS, [0.6, 0.7], kind="crops")
                    history = pd.read_csv(run.folder / "history.csv").assign(patches=6 * patches)
                    history.to_csv(run.folder / "history.csv", index=False)
                    vote(run)

    return lay


def run_notebook() -> dict:
    """All names of the notebook, after its code cells were run in order."""
    notebook = json.loads((paths.NOTEBOOKS / "06_report.ipynb").read_text("utf-8"))
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names["study"] = "tiny"
    return names


def read_page():
    return assert_self_contained(paths.report("tiny").read_text("utf-8"))


def test_a_studys_report_has_every_section_and_begins_with_the_answer(lay):
    lay()
    names = run_notebook()
    page = read_page()
    assert list(names["page"].sections.values()) == SECTIONS
    for part in (
        *("Leaves & <b>two</b> generators", "Leaves are *no* faces.", CELL, SISTER, "98.45"),
        *("Over all epochs", "backbone test_resnet", "make study STUDY=quirks"),
        "A legacy_xception was trained for each patch size and seed (seeds: 1) on 6 images of "
        "leaves-gan_a, half of them fake, and tested on 8 others.",
    ):
        assert part in page.text
    for part in ("in simulation", "simulated images", "Left out", "not run yet"):
        assert part not in page.text
    assert "../published_record/index.html" in page.addresses
    assert page.text.count("not audited yet") == 2
    assert_answered(names)
    assert_findings_stored(names["findings"], page.text)
    folder = paths.report("tiny").parent
    assert {file.name for file in folder.iterdir()} == {
        *("answer.txt", "claims.csv", "index.html", "overview.png"),
    }


def assert_answered(names: dict) -> None:
    """The first part below the first heading says how often what is right."""
    lines = names["families"].headline(names["main"][0])
    answer = names["page"].parts[1].html
    for line in lines.itertuples():
        assert f"{100 * line.accuracy:.1f} % of" in answer
    (best,) = names["families"].chosen(names["main"][0], names["rows"]).itertuples()
    assert f"best on the validation images is {best.patch_size} px" in answer
    assert f"it is right in {best.text} %" in answer
    assert f"finds {100 * best.tpr:.1f} % of the fakes" in answer
    assert f"passes {100 * best.tnr:.1f} % of the reals" in answer
    assert "one answer for all is right on 50 %" in answer and "one training seed" in answer


def assert_findings_stored(findings: pd.DataFrame, text: str) -> None:
    """They stand in claims.csv, and those that were tested on the page."""
    stored = pd.read_csv(paths.report("tiny").with_name("claims.csv"))
    assert set(stored["claim"]) == {"C1", "C2", "C3", "C4", "C5", "C6"}
    assert set(stored["finding"]) <= {"not judged", "not tested"}  # of one seed
    assert stored["finding"].tolist() == findings["finding"].tolist()
    assert set(stored["measure"]) == {"accuracy", "auc"}
    assert stored["value"].tolist() == pytest.approx(findings["value"].tolist(), nan_ok=True)
    for word in set(stored["finding"]) - {"not tested"}:
        assert word in text


@pytest.mark.parametrize("made", ["exp1/*p008*", "exp4/*", "exp5/*p008*"])
def test_a_report_holds_what_has_been_run_and_invents_nothing(lay, made):
    lay()
    for kind in ("tables", "verdicts"):
        folder = paths.results("tiny") / kind
        for file in set(folder.glob("*/*.*")) - set(folder.glob(f"{made}.*")):
            file.unlink()
    names = run_notebook()
    assert list(names["page"].sections.values()) == SECTIONS
    assert read_page().text.count("not run yet.") == 4


def test_what_was_made_otherwise_is_named_and_what_was_added_is_shown(lay, work):
    lay()
    content = yaml.safe_load((work / "tiny.yaml").read_text("utf-8"))
    content["variants"]["short"]["training"] = {"epochs": 7}
    (work / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")
    study = reading.load("tiny")
    key = {"variant": "even", "baseline": "plain", "switches": "even", "patch_size": 8}
    key |= {"experiment": 3, "test": CELL, "low": -0.3, "high": -0.1, "n_seeds": 1}
    key |= {"without": 0.9, "with": 0.7, "difference": -0.2}
    rows = [{**key, "statistic": name, "seed": pd.NA} for name in ("validated", "top1")]
    table = pd.DataFrame(rows, columns=quirk_effects.COLUMNS).astype({"seed": "Int64"})
    quirk_effects.save(study, CELL, table)
    run = Run(study=study, dataset="leaves", gan="gan_a", patch_size=8, seed=0)
    sheet = tables.Sheet(run, 2, margins.load(run, run.test))
    sheet.vote("grid")
    sheet.vote(rules.Rule("my_own_rule", "mine", rules.share_fake))
    sheet.save()
    run_notebook()
    text = read_page().text
    assert "Left out, since they were made with other parameters" in text
    assert "leaves-gan_a on leaves-gan_b, short, 16 px, seed 0" in text
    assert "backbone test_resnet" not in text
    assert "-20.0 [-30.0, -10.0]" in text and "STUDY=quirks" not in text
    assert text.count("my own rule") >= 4


def test_what_to_beware_of_stands_at_the_top(lay, monkeypatch):
    """That pictures are simulated, which quirks are on, and what an audit warns of."""
    source = {"kind": "simulated", "content": "sim_faces"}
    cells = {name: {"real": source, "fake": source} for name in (CELL, SISTER)}
    monkeypatch.setattr(pack, "pack", lambda *_: "")
    lay(cells=cells, quirks={"last_patch_only": True, "fallback_counts_fake": True})
    monkeypatch.setattr(separation, "warnings", lambda *_: ["leaves-gan_a: *Blockiness*."])
    page = run_notebook()["page"]
    text = read_page().text
    simulated, quirks, warning = page.banners
    assert simulated == pages.SIMULATED
    assert quirks.endswith("switched on: fallback_counts_fake, last_patch_only.")
    assert warning.startswith("One number tells") and warning.endswith(
        "leaves-gan_a: *Blockiness*."
    )
    assert all(" ".join(banner.split()) in text for banner in page.banners)
    for part in ("6 simulated images", "images are simulated", "an audit that warns", "not packed"):
        assert part in text


def test_real_pictures_are_never_called_a_simulation(lay, monkeypatch):
    lay(train_on=[CELL, SISTER], variants={})
    monkeypatch.setattr(separation, "warnings", lambda *_: ["leaves-gan_a: Blockiness."])
    page = run_notebook()["page"]
    (warning,) = page.banners
    assert warning.startswith("Something besides the generator tells the classes apart. leaves-")
    text = read_page().text
    assert "in simulation" not in text and "simulated images" not in text
