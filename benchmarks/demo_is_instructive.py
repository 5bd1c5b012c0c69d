"""Measures that the simulated data are neither trivial nor hopeless, after `make study`.

    python -m benchmarks.demo_is_instructive [--study demo]

Prints each condition with its numbers, writes them to reports/<study>/instructive.csv, and ends
with an error if one does not hold:

- no cell can be told by simple statistics: a logistic regression on channel means, channel
  deviations and Laplacian energy, cross-validated, stays below an AUC of 0.80;
- patches can be told, but not all of them: validated per-patch accuracy lies between 0.60 and
  0.95 at two patch sizes or more;
- voting helps: at one patch size or more the grid vote beats the per-patch accuracy on the same
  images, with a paired 95 % interval above 0.
"""

import argparse
import sys

import numpy as np
import pandas as pd
from scipy.ndimage import laplace
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib import margins
from lib.data import packed
from lib.results import tables
from lib.statistics import accuracy
from lib.study import paths, reading
from lib.study.schema import split_cell
from lib.study.study import Study


def simple_statistics(images: np.ndarray) -> np.ndarray:
    """Per image: channel means, channel deviations, log Laplacian energies; float64 (N, 9)."""
    rows = []
    for image in images:
        x = image.astype(np.float64) / 255
        energy = [np.square(laplace(x[..., channel])).mean() for channel in range(3)]
        rows.append([*x.mean((0, 1)), *x.std((0, 1)), *np.log(energy)])
    return np.array(rows)


def simple_auc(study: Study, cell: str) -> float:
    """The cross-validated AUC of a logistic regression on `simple_statistics` of a cell."""
    opened = packed.load(study, cell)
    labels = opened.manifest["label"].to_numpy()
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        simple_statistics(opened.images),
        labels,
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        method="decision_function",
    )
    return float(roc_auc_score(labels, scores))


def votes(study: Study) -> list[dict]:
    """Per training cell, patch size and seed: per-patch accuracy, and what the vote adds."""
    rows = []
    for cell in study.train_on:
        for size in (size for size in study.patch_sizes if size < study.data.image_size):
            for seed in study.seeds:
                run = reading.run(study.name, *split_cell(cell), size, seed)
                grid = margins.load(run, cell)
                sheet = tables.Sheet(run, 2, grid)
                z, labels = grid.margins[sheet.validated], grid.labels.astype(bool)
                per_patch = ((z > 0) == labels[:, None]).mean(axis=1)
                by_vote = sheet.right("grid")
                gain = accuracy.difference(by_vote, per_patch, sheet.resampled)
                where = {"cell": cell, "patch_size": size, "seed": seed}
                rows.append({**where, "measure": "per-patch accuracy", "value": per_patch.mean()})
                rows.append({**where, "measure": "vote minus per-patch", "value": gain.value})
                rows[-1] |= {"low": gain.low, "high": gain.high}
    return rows


def main() -> int:
    """Measures, prints, writes; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="demo")
    study = reading.load(parser.parse_args().study)
    rows = [
        {"cell": cell, "measure": "AUC of simple statistics", "value": simple_auc(study, cell)}
        for cell in study.cells
    ]
    table = pd.DataFrame([*rows, *votes(study)]).astype({"patch_size": "Int64", "seed": "Int64"})
    by = dict(tuple(table.groupby("measure")))
    holds = {
        "simple statistics stay below AUC 0.80": by["AUC of simple statistics"]["value"].max()
        < 0.8,
        "per-patch accuracy in 0.60 to 0.95 at two sizes or more": (
            by["per-patch accuracy"].query("0.60 <= value <= 0.95")["patch_size"].nunique() >= 2
        ),
        "the vote beats the patch at one size or more": (
            (by["vote minus per-patch"]["low"] > 0).any()
        ),
    }
    kind = "simulated images" if study.simulated else "real images"
    print(f"{study.name}, {kind}\n{table.round(3).to_string(index=False, na_rep='')}\n")
    for condition, true in holds.items():
        print("holds:    " if true else "FAILS:    ", condition)
    target = paths.report(study.name).with_name("instructive.csv")
    paths.write_whole(target, lambda p: table.to_csv(p, index=False))
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
