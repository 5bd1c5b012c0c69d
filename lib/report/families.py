"""A study's families of networks: their tables, their runs, and what they come to at a glance.

A family is a training cell and a variant of the study; its networks differ in patch size and seed.
"""

from contextlib import suppress

import numpy as np
import pandas as pd

from lib import margins
from lib.report.readable import percent
from lib.results import tables
from lib.results.accuracies import Family, MissingVerdicts
from lib.results.pooled import pooled
from lib.study import reading
from lib.study.run import Run
from lib.study.study import IMPORTED, PLAIN, Study
from lib.voting import rules

NETWORK = ["train", "variant", "patch_size", "seed"]
EACH_CROP = "each crop"
LINES = ["patch_size", "by", "seed"]
"""What tells the lines of a family's table apart."""


def read(study: Study) -> tuple[pd.DataFrame, list[str]]:
    """The study's tables, and a line for each that is left out: see `lib.results.tables.read`.

    The rows have two more columns: `by`, the rule and its θ in words; and `leads`, False of the
    confident vote in another reading of θ than the study's. Folds are `pooled`. Raises RunError if
    there are none yet.
    """
    rows, left_out = tables.read(study)
    if rows.empty:
        others = f" ({len(left_out)} were made with other parameters)" if left_out else ""
        raise margins.RunError(
            f"study {study.name!r} has no tables yet{others}. Run `make study "
            f"STUDY={study.name}`, or notebooks 01 to 05"
        )
    if study.data.folds:
        rows = pooled(study, rows)
    of_crops = (rows["experiment"] == 3) & (rows["rule"] == "none")
    titles = rows["rule"].map(rules.title).mask(of_crops, EACH_CROP)
    theta = rows["theta"].map(lambda theta: "" if pd.isna(theta) else f", θ = {theta:g}")
    others = rows["rule"] != "confident"
    meaning = (", " + rows["reading"]).where(others).fillna("")
    leads = others | (rows["reading"] == study.quirks.theta_reading)
    return rows.assign(by=titles + theta + meaning, leads=leads), left_out


def runs(study: Study, rows: pd.DataFrame) -> list[Run]:
    """The finished networks behind some rows, in reading order."""
    keys = set(rows[NETWORK].itertuples(index=False, name=None))
    order = sorted(keys, key=lambda key: (key[0], key[1] != PLAIN, key[1], -key[2], key[3]))
    networks = []
    for train, variant, size, seed in order:
        named = study.model_copy(update={"variant": variant, "networks": variant})
        seeds = study.seeds if study.data.folds else [seed]  # pooled rows have the first fold's
        networks += [Family(named, train).run(size, seed) for seed in seeds]
    return [run for run in networks if run.is_finished]


def validated_margins(run: Run) -> margins.Margins:
    """A network's margins on the grid of its own test images, of the validated epoch alone."""
    # That it was made as the study says was asked when the tables were read.
    return margins.stored(run, run.train, "test", epoch=margins.validated(run))


def by_family(study: Study, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each family, the plain protocol first, by its cell, variant and backbone.

    The backbone is what its networks recorded, or the plain ones, if it only votes anew.
    """
    cells, groups = [*study.train_on, *study.cells], dict(list(rows.groupby(["train", "variant"])))
    named = {}
    for train, variant in sorted(groups, key=lambda key: (cells.index(key[0]), key[1] != PLAIN)):
        family = groups[train, variant]
        networks = runs(study, family) or runs(study, family.assign(variant=PLAIN))
        names = {margins.read_config(run.folder)["model"]["name"] for run in networks}
        backbone = ", ".join(sorted(names)) or "unknown"
        imported = names == {IMPORTED}
        with_backbone = f", backbone {backbone}" * (not imported)
        named[_title(train, variant, imported) + with_backbone] = family
    return named


def title(family: Family) -> str:
    """What a family is, by its cell and variant."""
    return _title(family.train, family.study.variant, family.study.imported)


def _title(train: str, variant: str, imported: bool) -> str:
    return f"{'Another detector’s scores of' if imported else 'Trained on'} {train}, {variant}"


def trained(study: Study) -> list[Family]:
    """The finished networks: the plain protocol, and the variants that leave its quirks alone."""
    variants = [study, *(reading.load(study.name, name) for name in study.variants)]
    alike = [variant for variant in variants if variant.quirks == study.quirks]
    every = [Family(variant, train) for train in study.train_on for variant in alike]
    return [family for family in every if family.sizes and family.seeds]


def headline(family: Family) -> pd.DataFrame:
    """How often single patches, votes over the grid and whole images are right, size by size.

    `accuracy`, `tpr` and `tnr` are in [0, 1], at the validated epoch and over all seeds; so is
    `alike`, how often one answer for every image would be right. `text` is the accuracy with its
    interval. What was not voted on yet is left out.
    """
    lines = []
    both = [(size, ask(size)) for size in family.sizes for ask in (family.patch, family.image)]
    for size, question in dict.fromkeys(both):
        with suppress(MissingVerdicts):
            accuracy = family.compare("", lambda a: a, question)
            by_seed = [family.of_seed(question, seed) for seed in family.seeds]
            fakes, reals = (
                np.mean([each.right[:, each.labels == label].mean() for each in by_seed])
                for label in (1, 0)
            )
            share = np.mean([each.labels.mean() for each in by_seed])
            text = percent(accuracy.value, *np.clip(accuracy.interval(), 0, 1))
            numbers = accuracy.value, fakes, reals, max(share, 1 - share)
            lines.append((size, question.rule, *numbers, text))
    rates = dict.fromkeys(("accuracy", "tpr", "tnr", "alike"), float)
    return pd.DataFrame(lines, columns=["patch_size", "rule", *rates, "text"]).astype(rates)


def chosen(family: Family, rows: pd.DataFrame) -> pd.DataFrame:
    """Of `headline` the line of the size that judges the validation images best, if that is known.

    `rows` are the tables', see `read`.
    """
    own = rows[(rows["train"] == family.train) & (rows["variant"] == family.study.variant)]
    own = own[own["rule"].isin(("grid", "whole"))]
    known = own[own["statistic"] == "validation_accuracy"].groupby("patch_size")["value"].mean()
    lines = headline(family).query("rule != 'none'")
    return lines[lines["patch_size"] == known.idxmax()] if len(known) else lines[:0]


def leading(rows: pd.DataFrame) -> pd.DataFrame:
    """Each rule once: in the reading of θ that the study leads with, at the smallest θ."""
    least = rows.groupby(["train", "variant", "rule"])["theta"].transform("min")
    rows = rows[rows["leads"] & (rows["theta"].isna() | (rows["theta"] == least))]
    return rows.drop_duplicates([*NETWORK, "test", "by", "statistic"])


def matched(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `leading`, the rows on the cell trained on; crops by their votes, not each by itself."""
    rows = leading(rows)
    return rows[(rows["test"] == rows["train"]) & (rows["by"] != EACH_CROP)]
