"""Votes as notebooks 01 to 05 take them: what tests of claims, pages and the report begin with."""

import numpy as np

from lib import margins
from lib.results import tables
from lib.study import paths
from lib.study.run import Run
from lib.voting import rules


def vote(run: Run, experiments: tuple[int, ...] = (1, 2, 3, 4)) -> None:
    """Writes the tables and verdicts of a run whose margins are laid: of Experiments 1 to 4, or 5.

    Crops vote where their margins are, and thresholds are chosen where validation's are.
    """
    grid, whole = margins.load(run, run.test), run.is_whole_image
    if run.test != run.train:
        sheet = tables.Sheet(run, 5, grid)
        sheet.patches()
        for rule in () if whole else rules.voting_on("grid"):
            sheet.vote(rule)
        sheet.save()
        return
    sheets = {number: tables.Sheet(run, number, grid) for number in experiments}
    for number, sheet in sheets.items():
        if number == 1:
            sheet.patches()
        for rule in rules.voting_on("grid") if number == 2 and not whole else ():
            sheet.vote(rule)
        if number == 2 and not whole:
            sheet.dependence()
        for theta in run.study.voting.thetas if number == 4 and not whole else ():
            for reading in rules.READINGS:
                sheet.vote(rules.confident(theta, reading))
        if number == 3 and has(run, "test", "crops"):
            sheet.also(margins.load(run, run.test, kind="crops")).vote("crops")
        if number == (1 if whole else 2) and has(run, "validation", "grid"):
            held_out = margins.load(run, run.train, "validation")
            sheet.thresholds("whole" if whole else "grid", held_out)
        if sheet.numbers:
            sheet.save()


def has(run: Run, split: str, kind: str) -> bool:
    return paths.margins(run.folder, run.test, split, kind).is_file()


def hold_out(run: Run, z: np.ndarray, labels: list[int]) -> None:
    """Lays down margins (E, N, P) on the validation images of a finished run."""
    z = np.asarray(z, np.float32)
    scored = margins.Margins(
        z, np.array(labels, np.uint8), np.zeros((z.shape[2], 2), np.int32),
        np.arange(len(z), dtype=np.int32), np.arange(z.shape[1], dtype=np.int32),
    )  # fmt: skip
    path = paths.margins(run.folder, run.train, "validation", "grid")
    margins.save(path, scored, packed_hash="abc", crops_seed=0)


def agreeing(right: np.ndarray, labels: np.ndarray, patches: int) -> np.ndarray:
    """Margins (1, N, P) in which all patches of an image are right (N,), or none."""
    z = np.where(right == (np.asarray(labels) == 1), 1.0, -1.0)
    return np.repeat(z[None, :, None], patches, axis=2)
