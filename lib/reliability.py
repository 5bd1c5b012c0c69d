"""How far the numbers can be trusted, section by section.

What was chosen where, how well scores are calibrated, and how many votes patches are worth.
"""

from itertools import product

import numpy as np
import pandas as pd

from lib import curves, dependence, metrics, plots, runs, voting
from lib.evidence import Evidence
from lib.report import Section
from lib.study import Run
from lib.tables import percent

INDEX = ["train", "variant", "patch_size", "seed"]
CALIBRATION = ("auc", "eer", "tpr_at_1fpr", "brier", "ece")


def networks(families: list[Evidence]) -> list[Run]:
    """The networks that some families trained, in reading order."""
    trained = [of for of in families if of.study.networks == of.study.variant]
    return [of.run(size, seed) for of in trained for size, seed in product(of.sizes, of.seeds)]


def _key(run: Run) -> tuple[str, str, int, int]:
    return run.train, run.variant, run.patch_size, run.seed


def _rule(run: Run) -> str:
    """How an image is judged: by its one patch, or by the vote over the grid."""
    return "whole" if run.is_whole_image else "grid"


def choices(run: Run) -> dict[str, float]:
    """What choosing the epoch and the threshold on the test images is worth, for one network.

    Returns:
        The accuracy of the vote over the grid (or of the whole image) on the test images, in
        [0, 1]: at the validated epoch, with the rule's own threshold (`own`) and the one that is
        best on validation (`validation`); at the epoch that is best on the test images with the
        rule's threshold (`top1`), and at the best pair of epoch and threshold there (`best`).
    """
    rule, epoch = _rule(run), runs.validated(run)
    test, held_out = (
        runs.load_margins(run, run.test),
        runs.load_margins(run, run.train, "validation"),
    )
    default, at = voting.THRESHOLDS[rule], int(np.flatnonzero(test.epochs == epoch)[0])
    scores, votes = voting.SCORES[rule](test.margins), voting.SCORES[rule](held_out.margins)
    threshold = curves.best_threshold(votes[at], held_out.labels, default)
    fake = test.labels.astype(bool)

    def accuracy(row: int, threshold: float) -> float:
        return float(((scores[row] >= threshold) == fake).mean())

    own = [accuracy(row, default) for row in range(len(scores))]
    best = max(
        accuracy(row, curves.best_threshold(scores[row], test.labels, default))
        for row in range(len(scores))
    )
    found = {"own": own[at], "validation": accuracy(at, threshold), "top1": max(own)}
    return {**found, "best": best, "threshold": threshold}


def selection(section: Section, families: list[Evidence]) -> Section:
    """The gap between what validation chooses and what the test images would choose."""
    section.heading("What is chosen where")
    section.text(
        "Epochs and thresholds are chosen on the validation split. The paper takes the best epoch "
        "on the test images; with the best threshold there too, the accuracy is what no one who "
        "has only the pictures could reach. The gap is what that looking is worth."
    )
    rows = {}
    for run in networks(families):
        found = choices(run)
        rows[_key(run)] = {
            "validated epoch": percent(found["own"]),
            "… threshold chosen on validation": percent(found["validation"]),
            "best epoch on the test images": percent(found["top1"]),
            "best epoch and threshold on them": percent(found["best"]),
            "gap, points": f"{100 * (found['best'] - found['validation']):.1f}",
        }
    if rows:
        table = pd.DataFrame(rows).T.rename_axis(INDEX)
        section.table(table, "Per cent, the vote over the grid; the whole image by its one margin.")
    return section


def calibration(section: Section, families: list[Evidence], tables: pd.DataFrame) -> Section:
    """ROC and calibration, for patches and images."""
    section.heading("Scores and probabilities")
    rows = tables[
        tables["rule"].isin(("none", "whole", "grid", "mean_probability"))
        & tables["experiment"].isin((1, 2))
        & tables["variant"].isin([of.study.variant for of in families])
        & (tables["test"] == tables["train"])
    ]
    index = [*INDEX, "rule"]
    shown = rows[rows["statistic"].isin(CALIBRATION)].copy()
    shown["rule"] = shown["rule"].map(
        {"none": "each patch", "grid": "vote, grid", "whole": "whole image"}
    ).fillna("mean probability")  # fmt: skip
    shown["text"] = [
        f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in shown.itertuples()
    ]
    if len(shown):
        wide = shown.pivot_table(index=index, columns="statistic", values="text", aggfunc="first")
        section.table(
            wide[list(CALIBRATION)].sort_index(level=2, ascending=False, sort_remaining=False),
            "At the validated epoch. EER: the error where both kinds of error are equally "
            "frequent; TPR at a false positive rate of 1 %. Brier score and expected calibration "
            "error (15 bins) of P(fake), of a vote the share of fake patches: 0 at best.",
        )
    points = [_reliability(run) for run in networks(families) if run.variant == "plain"]
    if points:
        section.figure(
            plots.reliability(pd.concat(points)),
            "Reliability: among patches or images of a stated P(fake), the share that is fake. "
            "Below the diagonal fakes are overstated. A line per patch size and seed.",
        )
    return section


def _reliability(run: Run) -> pd.DataFrame:
    """The points of one network's reliability diagrams, of patches and of images."""
    scored = runs.load_margins(run, run.test, epoch=runs.validated(run))
    z, labels = scored.margins[0], scored.labels
    units = {"patches": voting.probabilities(z, "none")}
    if not run.is_whole_image:
        units["images, by their share of fake patches"] = voting.share_fake(z)
        units["images, by their mean P(fake)"] = voting.mean_probability(z[None])[0]
    found = [curves.reliability(p, labels).assign(unit=unit) for unit, p in units.items()]
    return pd.concat(found).assign(patch_size=run.patch_size, seed=run.seed)


def votes(section: Section, families: list[Evidence]) -> Section:
    """How many independent votes an image's patches are worth, and what such would give."""
    section.heading("How many votes an image's patches are worth")
    section.text(
        "If patches erred independently, a vote of many would be nearly always right. They do "
        "not: the errors of one image go together. ρ is their correlation within an image of its "
        "class; P patches are worth P / (1 + (P − 1)ρ) independent votes. Beside the vote that was "
        "measured stand the vote of P independent patches (binomial) and that of P patches with "
        "this ρ (beta-binomial), all images of a class being equally hard."
    )
    rows = {}
    for run in networks(families):
        if run.is_whole_image:
            continue
        scored = runs.load_margins(run, run.test, epoch=runs.validated(run))
        z, labels = scored.margins[0], scored.labels
        right = (z > 0) == labels[:, None].astype(bool)
        rho = dependence.error_correlation(right, labels)
        voted = voting.verdicts(voting.share_fake(z), "grid") == labels.astype(bool)
        patches = z.shape[1]
        low, high = metrics.interval(_correlations(run, right, labels))
        rows[_key(run)] = {
            "patches": patches,
            "ρ": "—" if np.isnan(rho) else f"{rho:.2f} [{low:.2f}, {high:.2f}]",
            "independent votes": _votes(patches, rho),
            "per patch": percent(right.mean()),
            "vote, measured": percent(voted.mean()),
            "vote if independent": percent(dependence.expected_vote(right, labels)),
            "vote with ρ": percent(dependence.expected_vote(right, labels, rho)),
        }
    if rows:
        table = pd.DataFrame(rows).T.rename_axis(INDEX)
        section.table(table, "Accuracies in per cent at the validated epoch.")
    return section


def _votes(patches: int, rho: float) -> str:
    return "—" if np.isnan(rho) else f"{dependence.effective_votes(patches, rho):.1f}"


def _correlations(run: Run, right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """ρ in resamples of the images; as many as the study asks for, at most 200."""
    bootstrap = run.study.bootstrap
    counts = metrics.resample(labels, min(bootstrap.resamples, 200), bootstrap.seed)
    drawn = [np.repeat(np.arange(len(labels)), row.astype(int)) for row in counts]
    return np.array([dependence.error_correlation(right[rows], labels[rows]) for rows in drawn])
