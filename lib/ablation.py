"""What each of the released code's quirks does to the experiments, one switch at a time.

A quirk is a variant of the study. It is compared with its *baseline*: the protocol, plain or a
variant, that is the same but for the quirks. The networks and images are the same where the quirk
only counts votes otherwise, and the seeds and images are where it trains anew.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lib import params, paths
from lib.claims import COLLAPSED
from lib.evidence import Evidence, Question
from lib.metrics import interval
from lib.study import PLAIN, Study

COLUMNS = [
    *("variant", "baseline", "switches", "experiment", "test", "patch_size", "theta", "statistic"),
    *("seed", "without", "with", "difference", "low", "high", "n_seeds"),
]
STATISTICS = ("validated", "top1")


def baselines(study: Study) -> dict[str, str]:
    """Each variant whose quirks differ from the study's own, and what it is compared with.

    Args:
        study: the plain study.

    Raises:
        ParameterError: if the file has no protocol that differs in nothing but the quirks.
    """
    loaded = {name: params.load(study.name, name) for name in (PLAIN, *study.variants)}
    same = {name: found for name, found in loaded.items() if found.quirks == study.quirks}
    without = {_but_for_quirks(found): name for name, found in reversed(same.items())}
    quirky = {name: found for name, found in loaded.items() if name not in same}
    for name, found in quirky.items():
        if _but_for_quirks(found) not in without:
            raise params.ParameterError(
                f"variants.{name}: switches quirks and changes more beside; add a variant with the "
                "same changes and no quirks, with which it can be compared"
            )
    return {name: without[_but_for_quirks(found)] for name, found in quirky.items()}


def _but_for_quirks(study: Study) -> str:
    return study.model_dump_json(include={"model", "training", "voting"})


def effects(study: Study, train: str) -> pd.DataFrame:
    """The effect of every quirk that has been run, on each experiment's accuracies.

    Args:
        study: the plain study.
        train: the training cell.

    Returns:
        `COLUMNS`. A row for the mean over seeds, whose `seed` is empty, with the interval of the
        difference over images and seeds, and a row for each seed, with its interval over images.
        Accuracies are in [0, 1]; `top1` is the best epoch on the test images.
    """
    rows = []
    for variant, baseline in baselines(study).items():
        switched, plain = params.load(study.name, variant), params.load(study.name, baseline)
        arms = _shared(Evidence(switched, train), Evidence(plain, train))
        for statistic in STATISTICS if arms else ():
            first, second = (Evidence(arm, train, statistic) for arm in arms)
            for experiment, question in questions(first):
                key = {"variant": variant, "baseline": baseline}
                key |= {"switches": ", ".join(switched.quirks.on), "experiment": experiment}
                key |= {"test": question.test or train, "patch_size": question.patch_size}
                key |= {"theta": question.theta, "statistic": statistic}
                rows += [{**key, **found} for found in _differences(first, second, question)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})


def _shared(first: Evidence, second: Evidence) -> list[Study]:
    """Both studies, at the patch sizes and seeds that are finished in both; empty if none are."""
    both = {
        "patch_sizes": [size for size in first.sizes if size in second.sizes],
        "seeds": [seed for seed in first.seeds if seed in second.seeds],
    }
    return (
        [of.study.model_copy(update=both) for of in (first, second)] if all(both.values()) else []
    )


def questions(of: Evidence) -> list[tuple[int, Question]]:
    """Every experiment, and the accuracy that it is about, at every size, θ and test cell."""
    found = [(1, of.patch(size)) for size in of.study.patch_sizes]
    smaller = [size for size in of.study.patch_sizes if size < of.study.data.image_size]
    for size in smaller:
        found += [(2, Question(size, "grid")), (3, Question(size, "crops"))]
        found += [(4, Question(size, "confident", theta=t)) for t in of.study.voting.thetas]
        found += [(5, Question(size, "grid", cell)) for cell in of.study.others(of.train)]
    return found


def _differences(first: Evidence, second: Evidence, question: Question) -> list[dict]:
    """With the quirks minus without: over all seeds, and seed by seed."""
    both = [(first.pooled(question), second.pooled(question), pd.NA)]
    both += zip(first.draws(question), second.draws(question), first.study.seeds, strict=True)
    return [
        {
            **{"seed": seed, "without": float(b[0]), "with": float(a[0])},
            **{"difference": float(a[0] - b[0]), "n_seeds": len(first.seeds)},
            **dict(zip(("low", "high"), interval((a - b)[1:]), strict=True)),
        }
        for a, b, seed in both
    ]


def collapse(effects: pd.DataFrame) -> pd.DataFrame:
    """C3's question to every quirk: do random crops collapse while the grid vote does not?

    Args:
        effects: from `effects`.

    Returns:
        A row per variant, patch size and seed: the validated accuracies of the votes over `grid`
        and `crops` with the quirk, in [0, 1], and `answer`.
    """
    rows = effects[(effects["statistic"] == "validated") & effects["seed"].notna()]
    rows = rows[rows["experiment"].isin((2, 3))]
    index = ["variant", "patch_size", "seed"]
    wide = rows.pivot(index=index, columns="experiment", values="with")
    wide = wide.rename(columns={2: "grid", 3: "crops"}).rename_axis(columns=None)
    wide = wide.reindex(columns=["grid", "crops"])
    crops, grid = wide["crops"] <= COLLAPSED, wide["grid"] <= COLLAPSED
    wide["answer"] = np.select([crops & ~grid, crops & grid], ["crops alone", "both"], "neither")
    return wide.sort_index(ascending=[True, False, True])


def save(study: Study, train: str, table: pd.DataFrame) -> Path:
    """Writes the table of effects where the report looks for it, whole or not at all."""
    return paths.write_whole(path(study, train), lambda p: table.to_csv(p, index=False))


def read(study: Study, train: str) -> pd.DataFrame:
    """The table of effects; empty if the ablation has not been run."""
    if not path(study, train).is_file():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path(study, train), dtype={"seed": "Int64"})


def path(study: Study, train: str) -> Path:
    """Where the table of effects stands."""
    return paths.results(study.name) / "tables" / "a1" / f"{train}.csv"
