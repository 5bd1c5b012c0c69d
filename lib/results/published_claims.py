"""The paper's claims by this study's rules, on the paper's own numbers: do the rules let it pass?

The numbers are the best epochs of Tables 1 to 4, on 4,000 images, of one training. How images that
one rule judges rightly and another wrongly overlap is not known, so they are taken as independent,
and single patches count as images: both make intervals wider than they were.
"""

import hashlib
from itertools import product

import numpy as np
import pandas as pd

from lib.published import paper
from lib.results import claims
from lib.results.accuracies import Family, MissingVerdicts, Outcomes, Question
from lib.study import paths, reading
from lib.study.run import Run

IMAGES = 4000
TABLES = {"none": 1, "whole": 1, "grid": 2, "crops": 3, "confident": 4}
PATH = paths.PUBLISHED / "claims.csv"


class PapersNetworks(Family):
    """The paper's networks, of which only the printed accuracies are known."""

    def __init__(self) -> None:
        """Takes the study `paper`, with one seed."""
        study = reading.load("paper")
        super().__init__(study.model_copy(update={"seeds": [0]}), study.train_on[0], printed)
        self.learned = self.sizes

    @property
    def _finished(self) -> set[tuple[int, int]]:
        return set(product(self.study.patch_sizes, self.study.seeds))


def printed(run: Run, question: Question) -> Outcomes:
    """Images of which as many are judged rightly as the paper's top-1 says."""
    rows = paper.tables().query("statistic == 'top1' and patch_size == @question.patch_size")
    rows = rows[rows["table"] == TABLES.get(question.rule)]
    if question.theta is not None:
        rows = rows[rows["theta"] == question.theta]
    if run.test != run.train or rows.empty:
        raise MissingVerdicts(f"{question}: not among the paper's printed numbers")
    right = np.arange(IMAGES) < round(rows["value"].iloc[0] * IMAGES)
    key = int.from_bytes(hashlib.sha256(repr(question).encode()).digest()[:8], "big")
    shuffled = np.random.default_rng(key).permutation(right)
    return Outcomes(np.repeat(np.uint8([0, 1]), IMAGES // 2), shuffled[None], None)


def findings() -> pd.DataFrame:
    """As `lib.results.claims.table`, of the paper's networks; by accuracy, from their one seed."""
    return claims.table([PapersNetworks()], claims.MEASURES[:1], least_seeds=1)


def read() -> pd.DataFrame:
    """The `findings` as they are stored."""
    return pd.read_csv(PATH, dtype={"says": "str"}).fillna({"says": ""})
