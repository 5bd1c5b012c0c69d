"""The store of verdicts: what each rule says of each image, at the validated epoch.

`results/<study>/verdicts/exp<N>/<name of the table>.parquet`, written beside each table. Claims,
paired tests and the report read these and vote on nothing; a user finds here which images were
misjudged.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.study import paths
from lib.study.files import read_table
from lib.study.run import Run
from lib.voting.quirks import Verdicts
from lib.voting.rules import Rule

COLUMNS = {
    "image_index": "int32",
    "label": "uint8",
    "rule": "str",
    "theta": "float64",
    "reading": "str",
    "score": "float32",
    "fake": "boolean",
}
"""The row of the image in its cell's manifest; real = 0, fake = 1; the rule, its θ and what θ
means, empty where it has none; its score; and its verdict, empty where it has none on the image.
Of each patch by itself, rule `none`, the score is the share of fake patches and no image has a
verdict."""


def rows(
    image_index: np.ndarray, labels: np.ndarray, rule: Rule, said: Verdicts, epoch: int = 0
) -> pd.DataFrame:
    """The rows of one rule, by what it said in the epoch of that row; index and labels (N,)."""
    score, fake, counted = (None if part is None else part[epoch] for part in said)
    verdict = pd.array([pd.NA] * len(labels) if fake is None else fake, "boolean")
    if counted is not None:
        verdict[~counted] = pd.NA
    columns = (image_index, labels, rule.name, rule.theta, rule.reading, score, verdict)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))).astype(COLUMNS)


def write(run: Run, experiment: int, tables: Sequence[pd.DataFrame]) -> Path:
    """Writes the `rows` of some rules, whole or not at all."""
    every = pd.concat(tables, ignore_index=True)
    return paths.write_whole(run.verdicts(experiment), lambda p: every.to_parquet(p, index=False))


def read(run: Run, experiment: int) -> pd.DataFrame:
    """The verdicts of one experiment on one run; FileNotFoundError if they were not written."""
    path = run.verdicts(experiment)
    if not path.is_file():
        raise FileNotFoundError(path)
    return read_table(path).astype(COLUMNS)
