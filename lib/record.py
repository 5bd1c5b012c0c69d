"""The published record in a report: the paper's tables beside its logs, and what the logs tell.

All arithmetic is in `lib.epoch_logs`; here it is only put into sentences, tables and figures.
"""

import pandas as pd

from lib import epoch_logs, plots
from lib.published import STATISTICS as SHORT
from lib.report import NAMES, Section

STATISTICS = {name: NAMES[name] for name in SHORT}
OUTLINE = {"table": "table", "patch_size": "px", "theta": "θ"}
"""How the columns that tell lines of the paper's tables apart are headed."""
NOTES = {"truncated": "cut", "differs": "differs"}
"""What is noted of a printed number that is not its log's, rounded."""


def published(section: Section) -> Section:
    """Fills a section with the audit of Tables 1 to 4 and of the logs behind them."""
    section.text(
        "These are the paper's own numbers, not measured here: 2,000 FFHQ and 2,000 StyleGAN2 "
        "images, networks for five patch sizes, 50 epochs. The authors released the accuracy of "
        "each epoch; everything below is arithmetic on those logs and on the printed tables. "
        "Tables 5 and 6 exist only as pictures and are not available as numbers."
    )
    for part in (_audit, _epochs, _gains, _intervals, _contradictions, _crops, _thetas, _reals):
        part(section)
    return section


def _audit(section: Section) -> None:
    """Every printed number beside its log's."""
    section.heading("Tables 1 to 4 computed anew")
    found = epoch_logs.recomputed()
    flagged, cut = found["flagged"].sum(), (found["how"] == "truncated").sum()
    section.text(
        f"Of {len(found)} printed numbers {len(found) - flagged} are within 0.01 of the logs; "
        f"{cut} of these were cut off after two decimals, not rounded. Further off: {flagged}."
    )
    noted = _outlined(found[found["flagged"] | (found["how"] != "rounded")])
    section.items(
        [
            f"Table {of['table']}, {of['px']} px{of['θ'] and ', θ = '}{of['θ']}, "
            f"{STATISTICS[of['statistic']]}: printed {of['printed']:.2f}, the log gives "
            f"{of['log']:.4f}."
            for of in noted.to_dict("records")
        ]
    )
    section.table(
        audit_table(found),
        "Per cent. Log: the same statistic of the accuracies as logged. Difference: printed minus "
        "log. A tie may be rounded either way. Table 4 at θ = 1 is made from the logs of Table 2.",
    )


def audit_table(found: pd.DataFrame) -> pd.DataFrame:
    """All cells of `epoch_logs.recomputed`, a line per line of the paper's tables."""
    digits = {"printed": "{:.2f}", "log": "{:.4f}", "difference": "{:+.4f}"}
    texts = found.assign(**{name: found[name].map(how.format) for name, how in digits.items()})
    texts["difference"] = texts["difference"].str.replace("-", "−")
    texts["statistic"] = found["statistic"].map(STATISTICS)
    texts["note"] = found["how"].map(NOTES)
    wide = _lines(texts, list(digits)).swaplevel(axis=1)
    wide = wide[[(title, name) for title in STATISTICS.values() for name in digits]]
    noted = _outlined(texts.dropna(subset="note")).groupby([*OUTLINE.values(), "note"])
    notes = {line: [] for line in wide.index}
    for (*line, note), names in noted["statistic"]:
        notes[tuple(line)].append(f"{note}: {', '.join(names)}")
    wide["noted", ""] = list(map("; ".join, notes.values()))
    return wide


def _epochs(section: Section) -> None:
    """Accuracy over epochs, from the logs."""
    section.heading("Accuracy over epochs")
    found = epoch_logs.logs()
    theta = found["theta"].min()
    patch = "each patch (256 px: the whole image)"
    titles = {
        epoch_logs.WHOLE: patch,
        epoch_logs.PATCH: patch,
        epoch_logs.TIE_IS_FAKE: "vote, grid",
        epoch_logs.CROPS: "vote, random crops",
        epoch_logs.CONFIDENT: f"vote, confident patches, θ = {theta:g}",
    }
    chosen = found[found["rule"].isin(titles) & ~(found["theta"] > theta)]
    chosen = chosen.sort_values("patch_size", ascending=False)
    rows = chosen.assign(rule=chosen["rule"].map(titles), size=_px(chosen))
    rows = rows.rename(columns={"accuracy": "accuracy, %"})
    order = list(dict.fromkeys(titles.values()))
    section.figure(
        plots.panels(
            rows, "epoch", "accuracy, %", "rule", "size", note="", col_order=order, lw=1.2
        ),
        "The authors' logs: accuracy on their test images after each epoch. Each panel has its "
        "own scale.",
    )


def _gains(section: Section) -> None:
    """What picking the best epoch on test images is worth."""
    section.heading("What the choice of the best epoch is worth")
    found = epoch_logs.best_epoch_gain()
    last, average = found["over_last"], found["over_average"]
    section.text(
        "Each epoch was scored on the test images and the best was reported, so top-1 is chosen "
        f"by the numbers that it reports. Against the last epoch it gains up to {last.max():.2f} "
        f"points, and {last.median():.2f} in the median of {len(found)} lines; against the "
        f"average, {average.max():.2f} and {average.median():.2f}."
    )
    titles = {"over_last": "top-1 minus last epoch", "over_average": "top-1 minus average"}
    gains = found.groupby("table")[list(titles)].agg(["min", "median", "max"])
    section.table(
        _two_decimals(gains).rename(columns=titles),
        "Percentage points, over the lines of each of the tables.",
    )


def _intervals(section: Section) -> None:
    """Binomial intervals of the image-level counts."""
    section.heading("How sure 4,000 images can make them")
    section.text(
        "95 % Clopper-Pearson intervals of the images judged correctly. They cover the drawing "
        "of the images alone: not another training, and not the choice of the best epoch. Table 1 "
        "has one for the whole image only. Its other accuracies are of patches; those of one "
        "image are right or wrong together, and the logs do not say how often, so a binomial "
        "interval of them would be too narrow."
    )
    found = epoch_logs.intervals()
    found = found[found["theta"] != 1]  # Table 2 again
    of = found[["value", "low", "high"]].itertuples(index=False)
    found["accuracy"] = ["{:.2f} [{:.2f}, {:.2f}]".format(*numbers) for numbers in of]
    wide = _lines(found, ["accuracy", "epoch"]).swaplevel(axis=1)
    shown = wide[[("top1", "accuracy"), ("top1", "epoch"), ("last", "accuracy")]]
    section.table(shown, "Per cent of 4,000 images. Table 4 at θ = 1 is Table 2.")


def _contradictions(section: Section) -> None:
    """Where logs of the same epochs exclude each other."""
    section.heading("Logs that exclude each other")
    found = epoch_logs.contradictions()
    beyond = found.assign(ties=found["ties_exceeded"] > 0, bounds=found["bounds_exceeded"] > 0)
    section.text(
        "The grid vote was logged twice, with ties counted as fake and as wrong. Only tied images "
        "can differ, so the first can be ahead by the logged ties at most. In "
        f"{beyond['ties'].sum()} of {len(found)} epochs it is ahead by more, by up to "
        f"{found['ties_exceeded'].max()} images. Per-patch accuracy is bounded by the second log "
        "too: an image judged correctly has more than half of its patches right, a tied one half, "
        f"any other fewer. {beyond['bounds'].sum()} of {len(found)} epochs lie outside. So these "
        "logs do not stem from the same predictions."
    )
    titles = {
        ("ties", "sum"): "ahead by more than the ties",
        ("ties_exceeded", "max"): "at most, images",
        ("bounds", "sum"): "per-patch log out of bounds",
        ("bounds_exceeded", "max"): "at most, patches",
    }
    lines = beyond.groupby("patch_size").agg(["sum", "max"])[list(titles)]
    lines.columns = list(titles.values())
    section.table(
        lines.sort_index(ascending=False),
        f"Epochs of {found['epoch'].nunique()}, and by how much the worst of them is beyond what "
        "is possible.",
    )


def _crops(section: Section) -> None:
    """Per-patch accuracy beside the random-crop vote."""
    section.heading("Good patches, and a vote of crops at chance")
    found = epoch_logs.crops_at_chance()
    sizes = found.groupby("patch_size")
    lines = sizes[["patch", "independent", "crops"]].mean()
    lines["last"], lines["top1"] = sizes["crops"].last(), sizes["crops"].max()
    lines["its epoch"] = found["epoch"].loc[sizes["crops"].idxmax()].to_numpy()
    lines["fewest"], lines["most"] = sizes["correct"].min(), sizes["correct"].max()
    lines["epochs at chance"] = sizes["at_chance"].sum()
    of = lines.loc[lines["crops"].idxmin()]
    section.text(
        f"At {of.name} px single patches are right in {of['patch']:.2f} % on average, and the vote "
        f"of random crops in {of['crops']:.2f} %. Its top-1, {of['top1']:.2f} %, is epoch "
        f"{of['its epoch']:g}; its last epoch has {of['last']:.2f} %. In "
        f"{of['epochs at chance']:g} of {found['epoch'].nunique()} epochs the 95 % interval of the "
        "count holds one half. One answer for every image would give this, though this does not "
        "prove it. Votes that were each as good as a patch, and independent, would be right in "
        f"{of['independent']:.2f} %."
    )
    titles = {"patch": "each patch", "independent": "independent votes", "crops": "vote, crops"}
    section.table(
        _two_decimals(lines).sort_index(ascending=False).rename(columns=titles),
        "Per cent, averages over epochs; then the crops' last and best epoch, and the fewest and "
        "the most images of 4,000 that an epoch judged correctly. Independent votes: (256/p)² of "
        "them, a tie counts as wrong. Votes of one image are not independent, so this is a mark "
        "to measure from and not what to expect. At chance: the 95 % interval holds one half.",
    )


def _thetas(section: Section) -> None:
    """Whether a smaller θ brings Table 4 closer to Table 2."""
    section.heading("Does a smaller θ bring Table 4 closer to Table 2?")
    found = epoch_logs.theta_distance()
    steps = found["step"].value_counts()
    section.text(
        "The authors' page says so. By the printed numbers, a step to the next smaller θ brings "
        f"Table 4 closer to Table 2 in {steps.get('closer', 0)} of {steps.sum()} cases, leaves the "
        f"distance as it is in {steps.get('same', 0)}, and makes it larger in "
        f"{steps.get('farther', 0)}."
    )
    rows = found.assign(size=_px(found), statistic=found["statistic"].map(STATISTICS))
    rows = rows.rename(columns={"theta": "θ", "distance": "distance, points"})
    section.figure(
        plots.panels(rows, "θ", "distance, points", "size", "statistic", note="", marker="o"),
        "Distance of Table 4 from Table 2 in percentage points. A line would fall towards the "
        "left if a smaller θ brought the tables closer. Each panel has its own scale.",
    )


def _reals(section: Section) -> None:
    """How few reals the other variant of Experiment 4 judged."""
    section.heading("How few reals were judged")
    found = epoch_logs.reals_judged()
    section.text(
        "A second set of logs of Experiment 4 is not in the paper. In it only the last patch of "
        "an image counts; where that is not confident, a real is left out and a fake counts as "
        "correct. So of the 2,000 reals, correct + incorrect − 2,000 were judged. In "
        f"{found['perfect_on_few'].sum()} of {len(found)} epochs at most 100 were, and the "
        f"accuracy is 100 %; in {(found['reals'] == 0).sum()}, none was."
    )
    logs = found.groupby(["patch_size", "theta"])
    lines = logs["reals"].agg(["min", "median", "max"])
    lines["epochs at 100 % on at most 100"] = logs["perfect_on_few"].sum()
    section.table(
        lines.sort_index(ascending=False), "Reals judged, of 2,000, over the epochs of each log."
    )


def _outlined(found: pd.DataFrame) -> pd.DataFrame:
    """With the columns that tell lines apart named and written as a reader wants them."""
    theta = found["theta"].map("{:g}".format).where(found["theta"].notna(), "")
    return found.assign(theta=theta).rename(columns=OUTLINE)


def _lines(found: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """A line per line of the paper's tables and in their order, the statistics side by side."""
    index = list(OUTLINE.values())
    wide = _outlined(found).pivot(index=index, columns="statistic", values=values)
    return wide.sort_index(ascending=[True, False, False])


def _px(found: pd.DataFrame) -> pd.Series:
    return found["patch_size"].astype(str) + " px"


def _two_decimals(table: pd.DataFrame) -> pd.DataFrame:
    """With its fractions as texts, so that 100 % is not written shorter than 99.98 %."""
    return table.map(lambda value: f"{value:.2f}" if isinstance(value, float) else value)
