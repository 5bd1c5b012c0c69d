"""What each of the released code's quirks does to the experiments, one switch at a time.

A quirk is a variant of the study. It is compared with its *baseline*: the protocol, plain or a
variant, that is the same but for the quirks. The networks and images are the same where the quirk
only counts votes otherwise, and the seeds and images are where it trains anew. The votes of these
variants are taken here, from their margins, as Experiments 1 to 5 take those of the others.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lib import margins as store
from lib.results.accuracies import Family, Outcomes, Question
from lib.results.comparison import Comparison
from lib.study import paths, reading
from lib.study.files import read_table
from lib.study.run import Run
from lib.study.schema import ParameterError
from lib.study.study import PLAIN, Study
from lib.voting import quirks, rules, verdicts

COLUMNS = [
    *("variant", "baseline", "switches", "experiment", "test", "patch_size", "theta", "statistic"),
    *("seed", "without", "with", "difference", "low", "high", "n_seeds"),
]

COLLAPSED = 0.60
"""An accuracy so near to chance that a vote has collapsed; the paper's are 54.80 and 59.23 %."""


def baselines(study: Study) -> dict[str, str]:
    """Each variant whose quirks differ from the plain study's, and what it is compared with.

    Raises ParameterError if the file has no protocol that differs in nothing but the quirks.
    """
    every = {name: reading.load(study.name, name) for name in (PLAIN, *study.variants)}
    sections = {"model", "training", "voting"}
    rest = {name: each.model_dump_json(include=sections) for name, each in every.items()}
    quirky = [name for name, each in every.items() if each.quirks != study.quirks]
    without = {rest[name]: name for name in reversed(every) if name not in quirky}
    for name in quirky:
        if rest[name] not in without:
            raise ParameterError(
                f"variants.{name}: switches quirks and changes more beside; add a variant with the "
                "same changes and no quirks, with which it can be compared"
            )
    return {name: without[rest[name]] for name in quirky}


def _vote(
    run: Run, question: Question, epoch: int | None
) -> tuple[store.Margins, rules.Rule, quirks.Verdicts]:
    """A vote taken now, in every epoch or in one."""
    kind = "crops" if question.rule == "crops" else "grid"
    scored = store.load(run, run.test, kind=kind, epoch=epoch)
    if question.theta is not None:
        rule = rules.confident(question.theta, run.study.quirks.theta_reading)
    else:
        rule = rules.EACH_PATCH if question.rule == "none" else rules.RULES[question.rule]
    return scored, rule, quirks.verdicts(rule, scored.margins, scored.labels, run.study.quirks)


def voted(run: Run, question: Question, epoch: int | None = None) -> Outcomes:
    """How often each test image is right in every epoch, or in one, by a vote taken now."""
    scored, _, said = _vote(run, question, epoch)
    by = None
    if epoch is not None:
        by = (scored.margins if question.rule == "none" else said.score)[0]
    return Outcomes(scored.labels, said.right(scored.labels), said.counted, by)


STATISTICS = {"validated": lambda run, q: voted(run, q, store.validated(run)), "top1": voted}
"""The epoch that was chosen on validation; the best one on the test images (Q8)."""


def effects(study: Study, train: str) -> pd.DataFrame:
    """What every quirk of a plain study that has been run does to each experiment's accuracies.

    A row for the mean over seeds, whose `seed` is empty, with the interval of the difference over
    images and seeds, and a row for each seed, with its interval over images; all in [0, 1].
    """
    rows = []
    for variant, baseline in baselines(study).items():
        arms = _shared(study, variant, baseline, train)
        for statistic, outcomes in STATISTICS.items() if arms else ():
            with_, without = (Family(arm, train, outcomes) for arm in arms)
            for experiment, question in questions(with_):
                key = (variant, baseline, ", ".join(arms[0].quirks.on), experiment)
                key += (question.test or train, question.patch_size, question.theta, statistic)
                rows += [key + line for line in _differences(with_, without, question)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})


def _shared(study: Study, variant: str, baseline: str, train: str) -> list[Study]:
    """Both studies, at the patch sizes and seeds that are finished in both; empty if none are."""
    loaded = [reading.load(study.name, name) for name in (variant, baseline)]
    first, second = (Family(each, train) for each in loaded)
    both = {"patch_sizes": [size for size in first.sizes if size in second.sizes]}
    both["seeds"] = [seed for seed in first.seeds if seed in second.seeds]
    return [each.model_copy(update=both) for each in loaded] if all(both.values()) else []


def questions(family: Family) -> list[tuple[int, Question]]:
    """Every experiment, and the accuracy that it is about, at every size, θ and test cell."""
    study = family.study
    every = [(1, family.patch(size)) for size in study.patch_sizes]
    for size in (size for size in study.patch_sizes if size < study.data.image_size):
        every += [(2, Question(size, "grid")), (3, Question(size, "crops"))]
        every += [(4, Question(size, "confident", theta=t)) for t in study.voting.thetas]
        every += [(5, Question(size, "grid", cell)) for cell in study.others(family.train)]
    return every


def _differences(with_: Family, without: Family, question: Question) -> list[tuple]:
    """With the quirks minus without, over all seeds and seed by seed: `COLUMNS` from `seed` on."""
    a, b = without.draws(question), with_.draws(question)  # (K, 1 + B) each
    arms = [(pd.NA, a, b), *zip(with_.study.seeds, a[:, None], b[:, None], strict=True)]
    return [
        (seed, a[:, 0].mean(), b[:, 0].mean(), each.value, *each.interval(), len(with_.seeds))
        for seed, a, b in arms
        for each in [Comparison("", ("", ""), b - a)]
    ]


def collapse(effects: pd.DataFrame) -> pd.DataFrame:
    """C3's question to every quirk: do random crops collapse while the grid vote does not?

    A row per variant, patch size and seed: the validated accuracies of the votes over `grid` and
    `crops` with the quirk, in [0, 1], and `answer`.
    """
    rows = effects[(effects["statistic"] == "validated") & effects["seed"].notna()]
    index = ["variant", "patch_size", "seed"]
    rows = rows[rows["experiment"].isin((2, 3))].set_index([*index, "experiment"])
    wide = rows["with"].unstack().reindex(columns=[2, 3]).set_axis(["grid", "crops"], axis=1)
    crops, grid = wide["crops"] <= COLLAPSED, wide["grid"] <= COLLAPSED
    wide["answer"] = np.select([crops & ~grid, crops & grid], ["crops alone", "both"], "neither")
    return wide.sort_index(ascending=[True, False, True])


def store_verdicts(study: Study, train: str) -> list[Path]:
    """Writes the verdicts of every quirk's variant that has been run, as Experiments 1 to 5 do.

    Returns the files: one per experiment, test cell, variant, patch size and seed.
    """
    written = []
    for variant in baselines(study):
        family, files = Family(reading.load(study.name, variant), train), {}
        for seed in family.seeds:
            for experiment, question in questions(family):
                run = family.run(question.patch_size, seed, question.test)
                if run.is_finished:
                    scored, *vote = _vote(run, question, store.validated(run))
                    rows = verdicts.rows(scored.image_index, scored.labels, *vote)
                    _, tables = files.setdefault(run.verdicts(experiment), ((run, experiment), []))
                    tables.append(rows)
        written += [verdicts.write(*where, tables) for where, tables in files.values()]
    return written


def save(study: Study, train: str, table: pd.DataFrame) -> Path:
    """Writes the table of effects where the report looks for it, whole or not at all."""
    return paths.write_whole(_path(study, train), lambda p: table.to_csv(p, index=False))


def read(study: Study, train: str) -> pd.DataFrame:
    """The table of effects; empty if the ablation has not been run."""
    if not (path := _path(study, train)).is_file():
        return pd.DataFrame(columns=COLUMNS)
    return read_table(path, dtype={"seed": "Int64"})


def _path(study: Study, train: str) -> Path:
    return paths.results(study.name) / "tables" / "a1" / f"{train}.csv"
