"""The audits of a study's cells side by side."""

import numpy as np
import pandas as pd
import pytest

from lib.audit import separation
from lib.data import packed
from lib.data.packing import pack
from lib.report import audits

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"


@pytest.fixture
def study(make_study, draw):
    """A study of two packed cells."""
    for folder in ("leaves", "gan_a", "gan_b"):
        draw(folder, 12)
    study = make_study()
    for cell in study.cells:
        pack.pack(study, cell)
    return study


def audit(study, cell: str) -> None:
    there = packed.load(study, cell)
    separation.save(
        study.name,
        cell,
        cues=separation.separations(there, cell, study.bootstrap),
        duplicates=separation.duplicates(there),
        spectra=separation.spectra(there),
    )


def test_cells_without_an_audit_have_none(study):
    assert audits.audited(study, "cues") == {}
    assert audits.spectra(study).empty and audits.duplicates(study).empty
    audit(study, SISTER)
    assert list(audits.audited(study, "cues")) == [SISTER]
    assert list(audits.histories(study)) == [SISTER]


def test_cues_stand_side_by_side_and_warnings_are_marked():
    line = {"auc": 0.55, "low": 0.5, "high": 0.6, "n_real": 9, "n_fake": 9, "warns": False}
    calm = pd.DataFrame([{"cell": CELL, "cue": "blockiness", **line}])
    loud = calm.assign(auc=0.2, low=0.1, high=0.3, warns=True)
    none = calm.assign(auc=np.nan, low=np.nan, high=np.nan)
    table = audits.side_by_side({CELL: calm, SISTER: loud, "leaves-gan_c": none})
    assert table.index.tolist() == ["blockiness"]
    assert table.loc["blockiness"].tolist() == [
        "0.55 [0.50, 0.60]", "0.80 [0.70, 0.90] ▲", "not applicable: no files",
    ]  # fmt: skip


def test_duplicates_are_counted_by_class_and_what_was_passed_over_by_reason(study, monkeypatch):
    audit(study, CELL)
    pairs = [("real/1", "real/2", "real", "test"), ("real/1", "fake/2", "real and fake", "test")]
    pairs.append(("fake/1", "fake/2", "fake", "train and test"))
    columns = ["first", "second", "classes", "splits"]
    table = pd.DataFrame(pairs, columns=columns).assign(bits=0, identical=False)
    separation.save(study.name, CELL, duplicates=table)
    there = packed.load(study, CELL)
    there.side["real"]["passed_over"] = {"no face": [["1.png", ""]]}
    there.side["fake"]["passed_over"] = {"no face": [["2.png", ""], ["3.png", ""]], "twin": []}
    monkeypatch.setattr(packed, "load", lambda *_: there)
    line = audits.duplicates(study).loc[CELL]
    assert line.to_dict() == {
        "pairs within real": 1, "pairs within fake": 1, "pairs within real and fake": 1,
        "in two splits": 1, "passed over: no face": 3, "passed over: twin": 0,
    }  # fmt: skip


def test_what_is_not_packed_any_more_has_no_history_but_its_audit_stands(study):
    audit(study, CELL)
    assert audits.histories(study)[CELL].startswith("Both classes: crop centre")
    changed = study.model_copy(update={"data": study.data.model_copy(update={"resample": "area"})})
    assert audits.histories(changed) == {CELL: "not packed any more"}
    assert audits.duplicates(changed).columns[-1] == "in two splits"


def test_spectra_are_those_of_all_audited_cells(study):
    for cell in study.cells:
        audit(study, cell)
    table = audits.spectra(study)
    assert table["cell"].unique().tolist() == [CELL, SISTER]
    assert len(table) == sum(len(each) for each in audits.audited(study, "spectra").values())
