"""Deals a cell's pictures into folds: each class apart, near duplicates and identities together.

A class is dealt by its own pictures and key alone, so that a photograph lies in the same fold
beside every generator. Each fold is dealt once more, into eighths, one of which validates.
"""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lib.data import near_duplicates
from lib.data.packed import CLASSES, FOLDS
from lib.data.packing.journal import PackingError
from lib.data.packing.selection import generator_of
from lib.study.schema import Data

PARTS = 8
"""How many parts a fold has: as many as there may be folds, of which each validates another one."""


def deal(pictures: pd.DataFrame, data: Data, keys: list[str], *, train: bool) -> pd.DataFrame:
    """The fold and the part of every picture, uint8, in the columns `packed.FOLDS`.

    `pictures` has `label`, `name`, `phash`, and `identity`, None where it is not known; `data` says
    how many folds there are, and the group of a name; each of `keys`, by label, fixes how a class
    is dealt. Raises PackingError if a seed would have no picture of a class to test on or, with
    `train`, to validate or train on.
    """
    dealt, count = pd.DataFrame(0, pictures.index, FOLDS, np.uint8), data.folds
    for label, rows in pictures.groupby("label"):
        generator, units = generator_of(f"{keys[label]}/folds"), _together(rows)
        groups = rows["name"].map(data.stratum).factorize()[0]
        folds = _dealt(units, groups, count, generator)
        parts = np.zeros_like(folds)
        for here in (folds == fold for fold in range(count)):
            parts[here] = _dealt(units[here], groups[here], PARTS, generator)
        tested = folds == np.arange(count)[:, None]  # (folds, N), and so the next
        validates = ~tested & (parts == np.arange(count)[:, None])
        needed = (tested, validates, ~tested & ~validates) if train else (tested,)
        if not all(part.any(axis=1).all() for part in needed):
            raise PackingError(
                f"{len(rows)} {CLASSES[label]} pictures, {units.max() + 1} without near duplicates "
                f"and further ones of an identity, are too few for data.folds = {count}, each in "
                f"{PARTS} parts. Add some, or lower data.folds"
            )
        dealt.loc[rows.index, FOLDS] = np.stack([folds, parts], axis=1).astype(np.uint8)
    return dealt


def _together(pictures: pd.DataFrame) -> np.ndarray:
    """Numbers from 0, int (N,): alike for pictures that must not be parted."""
    near = near_duplicates.pairs(near_duplicates.bits(pictures["phash"].tolist()))[:, :2]
    known = pd.Series(np.arange(len(pictures)), pictures["identity"].to_numpy())
    known = known[known.index.notna()]
    first = known.groupby(level=0).transform("first")
    linked = np.concatenate([near, np.column_stack([first, known])]).astype(int)
    shape = (len(pictures), len(pictures))
    return connected_components(coo_array((np.ones(len(linked)), linked.T), shape))[1]


def _dealt(
    units: np.ndarray, groups: np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    """The part of 0 … count − 1, int (N,), to which each picture is dealt.

    Units, int (N,), stay whole: the largest first, otherwise in random order, each goes where the
    fewest pictures of its groups, int (N,), are yet; of such parts to the one with the fewest.
    """
    dealt, held = np.zeros(len(units), int), np.zeros((count, groups.max(initial=0) + 1), int)
    members = pd.Series(np.arange(len(units))).groupby(units).agg(list).to_list()
    order = sorted(generator.permutation(len(members)), key=lambda unit: -len(members[unit]))
    for rows in (members[unit] for unit in order):
        there = np.bincount(groups[rows], minlength=held.shape[1])
        part = np.lexsort((held.sum(axis=1), held[:, there > 0].sum(axis=1)))[0]
        held[part] += there
        dealt[rows] = part
    return dealt
