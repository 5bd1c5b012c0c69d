"""What the numbers come to, section by section: verdicts, budgets, paired tests, quirks."""

import pandas as pd

from lib import claims, judging, paired, plots, runs
from lib.claims import Judgement
from lib.evidence import Evidence, Question
from lib.report import Section

MARKS = {
    judging.SUPPORTED: "✔ ",
    judging.CONTRADICTED: "✘ ",
    judging.UNDECIDED: "? ",
    judging.NOT_TESTED: "– ",
}
RULES_NOTE = (
    "Each claim is put as differences that it says are above zero, in percentage points, and "
    "“turns on” is the one that decides, with its 95 % interval over images and seeds. "
    "Supported: every such interval lies above zero, and so does each seed by itself. "
    "Contradicted: one interval, widened for the number of differences (Bonferroni), lies below "
    "zero, with all seeds. Undecided otherwise; not tested where the study lacks what it takes, "
    "or where no network beats chance. The rules stand in lib/judging.py, what each claim turns on "
    "in lib/claims.py."
)


def points(value: float, low: float, high: float) -> str:
    """A difference as percentage points, with its interval."""
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def verdict(word: str, *, simulated: bool) -> str:
    """A verdict as it may be said of these images: never stronger than the data."""
    said = f"{word} in simulation" if simulated and word != judging.NOT_TESTED else word
    return MARKS[word] + said


def judged(families: list[Evidence]) -> pd.DataFrame:
    """All verdicts, tidy: a row per family, part of a claim, and claim (whose `says` is empty).

    Claims C1 and C2, which compare patch sizes, are judged in every family, so at equal images and
    at equal steps; the others in the plain protocol.
    """
    rows = []
    for of in families:
        every = of.study.variant == "plain"
        found = claims.judge(of, claims.CLAIMS if every else ("C1", "C2"))
        for claim in dict.fromkeys(part.claim for part in found):
            parts = [part for part in found if part.claim == claim]
            key = {"train": of.train, "variant": of.study.variant, "claim": claim}
            key |= {"seeds": len(of.seeds)}
            rows += [{**key, **_line(part)} for part in parts]
            rows.append(
                {**key, "says": "", "verdict": judging.overall([part.verdict for part in parts])}
            )
    columns = ["train", "variant", "claim", "says", "rule", "turns_on", "value", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "seeds", "verdict"])


def _line(part: Judgement) -> dict:
    line, found = {"says": part.says, "rule": part.rule, "verdict": part.verdict}, part.decisive
    if found is not None:
        low, high = found.interval()
        line |= {"turns_on": found.name, "value": found.value, "low": low, "high": high}
    return line


def verdicts(section: Section, families: list[Evidence]) -> Section:
    """A verdict on each of the paper's claims."""
    section.text(RULES_NOTE)
    for of in families:
        table, simulated = judged([of]), of.study.simulated
        if of.study.variant == "plain":
            section.heading(f"Trained on {of.train}: {_seeds(of)}")
        else:
            section.heading(f"The same at {of.study.variant}: {_seeds(of)}")
        shown = pd.DataFrame(
            {
                "claim": table["claim"],
                "the paper says": table["says"].replace("", "all of it"),
                "verdict": [verdict(word, simulated=simulated) for word in table["verdict"]],
                "points [95 %]": [
                    "" if pd.isna(row.value) else points(row.value, row.low, row.high)
                    for row in table.itertuples()
                ],
                "turns on": table["turns_on"].fillna(""),
            }
        )
        section.table(shown.set_index(["claim", "the paper says"]), wrap=True)
    section.heading("By which rules")
    section.items([f"{part.claim}: {part.says}: {part.rule}." for part in claims.PARTS])
    return section


def _seeds(of: Evidence) -> str:
    count = len(of.seeds)
    if count == 1:
        return "one training seed, so the intervals know nothing of how training varies"
    return f"{count} training seeds"


def budgets(section: Section, families: list[Evidence]) -> Section:
    """What each patch size was trained with: equal images, and equal steps."""
    section.text(
        "With all patches of the same images, smaller patches mean more patches, and so more "
        "optimisation steps. Where a family has as many patches per epoch at every size, the steps "
        "are equal and the images are not all seen in every epoch."
    )
    rows = []
    for of in families:
        for size in of.sizes if of.seeds else ():
            run = of.run(size, of.seeds[0])
            patches = runs.history(run)["patches"]
            batch = run.study.training.batch_size
            grid = of.whole() if run.is_whole_image else Question(size, "grid")
            per_patch, voted = of.draws(of.patch(size))[:, 0], of.draws(grid)[:, 0]
            rows.append(
                {
                    **{"train": of.train, "variant": of.study.variant, "patch_size": size},
                    "patches per epoch": f"{patches.iloc[0]:,}",
                    "steps": f"{int((-(-patches // batch)).sum()):,}",
                    "per patch": _per_cent(per_patch),
                    "vote over the grid": _per_cent(voted),
                }
            )
    if rows:
        table = pd.DataFrame(rows).set_index(["train", "variant", "patch_size"])
        section.table(table, "Accuracies at the validated epoch, per cent, seed by seed.")
    return section


def _per_cent(accuracies: pd.Series) -> str:
    return ", ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies)


def comparisons(section: Section, families: list[Evidence]) -> Section:
    """Paired tests: patch sizes against each other, rules against the grid vote."""
    section.heading("Paired comparisons on the same images")
    for of in families:
        table = paired.comparisons(of)
        if table.empty:
            continue
        table["difference"] = (100 * table["difference"]).map("{:+.1f}".format)
        table["p_holm"] = table["p_holm"].map("{:.2g}".format)
        index = ["first", "second"]
        wide = table.pivot(index=index, columns="seed")[
            ["difference", "only_first", "only_second", "p_holm"]
        ]
        wide = wide.reindex(table[index].drop_duplicates().itertuples(index=False, name=None))
        wide = wide.swaplevel(axis=1).sort_index(axis=1, level=0, sort_remaining=False)
        wide.columns = wide.columns.set_levels(
            [f"seed {s}" for s in wide.columns.levels[0]], level=0
        )
        names = {"only_first": "only first", "only_second": "only second", "p_holm": "p, Holm"}
        section.table(
            wide.rename(columns=names),
            f"{of.train}, {of.study.variant}: difference of the accuracies in points; images that "
            "only one of the two judges rightly; McNemar's p, Holm-corrected for the whole table.",
        )
    return section


def quirks(section: Section, effects: dict[str, pd.DataFrame]) -> Section:
    """What each of the released code's quirks does; `effects` by training cell."""
    section.text(
        "Each line switches one of the released code's quirks on (or those named) and leaves all "
        "else as it was: with the quirk minus without, in percentage points at the validated "
        "epoch, mean over seeds, with 95 % intervals over images and seeds."
    )
    for train, table in effects.items():
        section.heading(f"Trained on {train}")
        section.table(effect_table(table))
        section.figure(effect_figure(table), "Each seed is a point; the bars are 95 % intervals.")
        section.table(
            effect_table(table, "top1"),
            "The same for the paper's statistic, the best epoch on the test images (Q8).",
        )
    return section


def effect_table(effects: pd.DataFrame, statistic: str = "validated") -> pd.DataFrame:
    """The effects as a table to read: a line per quirk and size, a column per experiment.

    Experiment 4 is shown at the smallest θ; each test cell of Experiment 5 has its own column. What
    cannot change is a bare 0, and a line in which nothing can is left out.
    """
    rows = _shown(effects, statistic)
    rows = rows[rows["seed"].isna()]
    numbers = rows[["difference", "low", "high"]]
    text = [points(*row) if any(row) else "0" for row in numbers.itertuples(index=False)]
    index = ["variant", "baseline", "patch_size"]
    wide = rows.assign(text=text).pivot(index=index, columns="column", values="text")
    order = rows.drop_duplicates(index)[index].itertuples(index=False, name=None)
    columns = [name for name in rows["column"].drop_duplicates() if name in wide.columns]
    wide = wide.reindex(order)[sorted(columns)].fillna("")
    return wide[~wide.isin(["", "0"]).all(axis=1)]


def effect_figure(effects: pd.DataFrame) -> plots.Figure:
    """The effects at the validated epoch, a panel per experiment, seeds as points."""
    return plots.effects(_shown(effects, "validated"))


def _shown(effects: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """The rows of one statistic, of Experiment 4 the smallest θ; `column` names what they are."""
    rows = effects[effects["statistic"] == statistic]
    smallest = rows.groupby("variant")["theta"].transform("min")
    rows = rows[rows["theta"].isna() | (rows["theta"] == smallest)]
    cells = ["" if row.experiment != 5 else f", {row.test}" for row in rows.itertuples()]
    return rows.assign(
        column=[f"Exp. {n}{c}" for n, c in zip(rows["experiment"], cells, strict=True)]
    )
