"""How often the rules for claims are right, in simulation; and what they say of the paper.

    python -m benchmarks.claim_rules

Studies of 4,000 test images and three training seeds are simulated, of which each part of a claim
is true as the paper has it, at the edge of what it excludes, or plainly otherwise. Writes
benchmarks/claim_rules.csv, a row per part and truth with the shares of each finding, and
reports/published/claims.csv, the findings on the paper's own Tables 1 to 4.
"""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from lib.data.packing.workers import cores
from lib.progress import bar
from lib.published import paper
from lib.results import claims
from lib.results import published_claims as published
from lib.results.accuracies import MissingVerdicts, Outcomes, Question
from lib.results.claim_rules import CONTRADICTED, SUPPORTED, UNDECIDED
from lib.study import paths
from lib.study.run import Run

IMAGES, ALIKE, RESAMPLES, STUDIES = 4000, 0.5, 300, 400
SEEDS, SPREAD = [0, 1, 2], 0.002
"""How much training varies is not known of the paper. Here each network's true accuracy has a
standard deviation of 0.2 points; the paper's votes at 32 and 16 px leave no room for more."""
TARGET = Path(__file__).with_suffix(".csv")
Truth = dict[tuple[int, str, float | None], float]

GRID, CROPS, CONFIDENT = "grid", "crops", "confident"
EDGES: dict[tuple[str, int], Truth] = {
    ("C1", 0): {(size, rule, None): 0.95 for size, rule in ((256, "whole"), (128, "none"))}
    | {(size, "none", None): 0.95 for size in (64, 32, 16)},
    ("C1", 1): {(64, "none", None): 0.8821},
    ("C1", 2): {(32, "none", None): 0.9538},
    ("C2", 0): {(size, GRID, None): 0.979 for size in (128, 64, 32, 16)},
    ("C2", 1): {(size, GRID, None): 0.979 for size in (128, 64, 32, 16)},
    ("C2", 2): {(128, GRID, None): 0.9658},
    ("C3", 0): {(16, CROPS, None): 0.97, (16, GRID, None): 0.98},
    ("C3", 1): {(64, CROPS, None): 0.74415},
    ("C4", 0): {(64, CONFIDENT, 0.6): 0.9883},
    ("C4", 1): {(128, CONFIDENT, 0.6): 0.96},
}
"""What of the paper's truth is changed so that each part is at the edge of being false."""
OTHERWISE: dict[tuple[str, int], Truth] = {
    ("C1", 0): EDGES["C1", 0],
    ("C1", 1): {(64, "none", None): 0.75},
    ("C1", 2): {(32, "none", None): 0.90},
    ("C2", 0): {(16, GRID, None): 0.95},
    ("C2", 1): {(32, GRID, None): 0.95},
    ("C2", 2): {(128, GRID, None): 0.92},
    ("C3", 0): {(16, CROPS, None): 0.95},
    ("C3", 1): {(64, CROPS, None): 0.90},
    ("C4", 0): {(64, CONFIDENT, 0.6): 0.95},
    ("C4", 1): {(128, CONFIDENT, 0.9): 0.975, (128, CONFIDENT, 0.6): 0.93},
}
"""What is changed so that it is plainly false."""
CLOSER: Truth = {(size, CONFIDENT, 0.9): 0.96 for size in (128, 64, 32, 16)}
CLOSER |= {(128, CONFIDENT, 0.6): 0.979, (64, CONFIDENT, 0.6): 0.9883}
"""For C4's second part to be true, against the paper's numbers."""


def papers_truth() -> Truth:
    """The printed top-1 accuracies, by patch size, rule and θ."""
    rules, truth = {1: "none", 2: GRID, 3: CROPS, 4: CONFIDENT}, {}
    for row in paper.tables().query("statistic == 'top1'").itertuples():
        rule = "whole" if row.patch_size == 256 else rules[row.table]
        theta = None if np.isnan(row.theta) else row.theta
        truth[row.patch_size, rule, theta] = row.value
    return truth


class Simulated(published.PapersNetworks):
    """A study of the paper's design in which the truth is known."""

    def __init__(self, truth: Truth, generator: np.random.Generator) -> None:
        """Draws the networks' own accuracies about `truth`, and the images."""
        super().__init__()
        settings = self.study.bootstrap.model_copy(update={"resamples": RESAMPLES})
        self.study = self.study.model_copy(update={"seeds": SEEDS, "bootstrap": settings})
        images = np.sqrt(ALIKE) * generator.standard_normal(IMAGES)
        own = {k: generator.normal(p, SPREAD, len(SEEDS)) for k, p in truth.items()}

        def outcomes(run: Run, question: Question) -> Outcomes:
            key = question.patch_size, question.rule, question.theta
            if question.test or key not in truth:
                raise MissingVerdicts(str(question))
            exact = truth[key] == 1  # what is always right has no room to vary
            accuracy = 1.0 if exact else min(own[key][run.seed], 0.9999)
            latent = images + np.sqrt(1 - ALIKE) * generator.standard_normal(IMAGES)
            labels = np.repeat(np.uint8([0, 1]), IMAGES // 2)
            return Outcomes(labels, (latent < norm.ppf(accuracy))[None], None)

        self.outcomes = outcomes


def shares(task: tuple[int, str, int, str, Truth]) -> dict[str, object]:
    """How often one part of a claim comes to each finding; `task` begins with a seed."""
    seed, claim, part, name, truth = task
    generator = np.random.default_rng(seed)
    says = [each for each in claims.PARTS if each.claim == claim][part].says
    found = Counter(
        claims.findings(Simulated(truth, generator), [claim])[part].finding for _ in range(STUDIES)
    )
    line = {"claim": claim, "says": says, "truth": name, "studies": STUDIES}
    return line | {each: found[each] / STUDIES for each in (SUPPORTED, UNDECIDED, CONTRADICTED)}


def tasks() -> list[tuple[int, str, int, str, Truth]]:
    """All that is simulated."""
    every, printed = [], papers_truth()
    for claim, part in EDGES:
        true = printed | (CLOSER if (claim, part) == ("C4", 1) else {})
        truths = {"as the paper has it": true, "at the edge": true | EDGES[claim, part]}
        truths["plainly otherwise"] = printed | OTHERWISE[claim, part]
        every += [(claim, part, *each) for each in truths.items()]
    return [(seed, *task) for seed, task in enumerate(every)]


def main() -> None:
    """Simulates, prints, writes."""
    todo = tasks()
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        lines = list(bar(iterable=pool.map(shares, todo), total=len(todo), desc="truths"))
    table = pd.DataFrame(lines)
    table.to_csv(TARGET, index=False)
    print(table.to_string(index=False))
    own = published.findings()
    paths.write_whole(published.PATH, lambda path: own.to_csv(path, index=False))
    print(own[["claim", "says", "finding"]].to_string(index=False))


if __name__ == "__main__":
    main()
