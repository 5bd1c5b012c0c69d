"""Where random crops fail: how well networks judge patches that lie elsewhere than trained ones.

`lib.networks.elsewhere` has their margins; this is arithmetic on them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from lib.study import paths, reading
from lib.study.files import read_table
from lib.study.run import Run
from lib.study.study import Study
from lib.voting.rules import RULES

DISTANCES = (0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 48)
ORIGINS = ("grid", "aligned", "anywhere")
STATISTICS = ["auc", "accuracy", "tpr", "tnr", "real_margin", "fake_margin"]


def distances(patch_size: int) -> list[int]:
    """By how many px a grid is displaced: `DISTANCES`, half a patch, and a whole one."""
    inside = {distance for distance in DISTANCES if distance < patch_size}
    return sorted(inside | {patch_size // 2, patch_size})


def by_origins(study: Study) -> dict[str, Study]:
    """The protocols that differ from the plain one in where training's patches lie, by that."""
    every = [study, *(reading.load(study.name, name) for name in study.variants)]
    rest = [
        each.model_dump(include={"model", "training", "quirks"}, exclude={"training": {"origins"}})
        for each in every
    ]
    alike = [each for each, own in zip(every, rest, strict=True) if own == rest[0]]
    alike = {each.training.origins: each for each in reversed(alike)}  # the plain one before others
    return {origins: alike[origins] for origins in ORIGINS if origins in alike}


def quality(z: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`STATISTICS` of margins (N, P): the vote's, but for the AUC of the mean margin.

    The margins are the medians of all patches of a class.
    """
    vote, fakes = RULES["grid"], labels.astype(bool)
    said = vote.fake(vote.score(z))
    rates = {"tpr": said[fakes].mean(), "tnr": 1 - said[~fakes].mean()}
    margins = {"real_margin": np.median(z[~fakes]), "fake_margin": np.median(z[fakes])}
    auc = roc_auc_score(labels, z.mean(axis=1))
    return {"auc": auc, "accuracy": (said == fakes).mean(), **rates, **margins}


def table(
    judged: Iterable[tuple[Run, Mapping[str, object], np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    """The `quality` of networks on patches in some place: a row each.

    `judged` is what `lib.networks.elsewhere` gives; `trained` says where patches lay in training.
    """
    lines = []
    for run, where, z, labels in judged:
        named = {"variant": run.variant, "trained": run.study.training.origins}
        named |= {"patch_size": run.patch_size, "seed": run.seed}
        lines.append({**named, **where, **quality(z, labels)})
    return pd.DataFrame(lines)


def comb(rows: pd.DataFrame) -> pd.DataFrame:
    """Whether multiples of 8 px stand out, as a codec's or a generator's lattice would make them.

    Of `table`'s rows of displaced grids, by patch size, axes and seed: the mean over 8, 16 and 24
    px of the AUC there minus its mean 4 px before and after; 0 where only the place tells.
    """
    lines = []
    for key, part in rows.groupby(["patch_size", "axes", "seed"]):
        auc = part.set_index("distance")["auc"]
        teeth = [d for d in (8, 16, 24) if {d - 4, d, d + 4} <= set(auc.index)]
        if teeth:
            above = [auc[d] - (auc[d - 4] + auc[d + 4]) / 2 for d in teeth]
            lines.append((*key, np.mean(above)))
    return pd.DataFrame(lines, columns=["patch_size", "axes", "seed", "comb"])


def save(study: Study, train: str, **tables: pd.DataFrame) -> list[str]:
    """Writes tables where the report looks for them; see `paths.write_tables`."""
    return paths.write_tables({_path(study, train, name): rows for name, rows in tables.items()})


def read(study: Study, train: str, name: str) -> pd.DataFrame:
    """A table that `save` wrote; empty if the notebook was not run."""
    path = _path(study, train, name)
    return read_table(path) if path.is_file() else pd.DataFrame()


def _path(study: Study, train: str, name: str) -> Path:
    return paths.results(study.name) / "tables" / "a3" / f"{train}__{name}.csv"
