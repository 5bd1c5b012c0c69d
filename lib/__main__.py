"""Packs a study's cells, or trains a network, without Jupyter: what notebooks 00 and 01 begin with.

    python -m lib pack --study demo [--dataset sim_faces --gan sim_stylegan2]
    python -m lib train --study demo --dataset sim_faces --gan sim_stylegan2 --patch-size 32

Prints a line for each cell packed, or for the network; or what is wrong, and the exit status is 1.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from lib import margins
from lib.data import packed
from lib.data.faces import MissingExtra
from lib.data.packing import pack as packing
from lib.data.packing.journal import PackingError
from lib.data.sources.interface import SourceError
from lib.study import paths, reading
from lib.study.schema import ParameterError
from lib.study.study import PLAIN

# Training's DivergedError is a FloatingPointError; to name it would import torch.
ERRORS = (ParameterError, SourceError, PackingError, MissingExtra, FloatingPointError)
ERRORS += (packed.PackedError, margins.RunError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packs = commands.add_parser("pack", help="draw a cell's images, or all cells', and pack them")
    network = commands.add_parser("train", help="train and score one network on packed cells")
    for command, required in ((packs, False), (network, True)):
        command.add_argument("--study", required=True, help="a file in params/")
        command.add_argument("--dataset", required=required, help="a cell is <dataset>-<gan>")
        command.add_argument("--gan", required=required)
    splits = "pack all splits, as of the cells that the study trains on; else the test split alone"
    packs.add_argument("--train", action="store_true", help=splits)
    network.add_argument("--patch-size", required=True, type=int, help="px")
    network.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    network.add_argument("--variant", default=PLAIN, help="default: %(default)s")
    given = vars(parser.parse_args(arguments))
    begin = {"pack": pack, "train": train}[given.pop("command")]
    if (given["dataset"] is None) != (given["gan"] is None):
        parser.error("--dataset and --gan name a cell together; without both, all cells are packed")
    try:
        for line in begin(**given):
            print(line)
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def pack(study: str, dataset: str | None, gan: str | None, *, train: bool) -> Iterator[str]:
    """Packs a cell, or all of the study, and says of each what was done."""
    loaded = reading.load(study)
    names = [reading.cell(study, dataset, gan)[1]] if dataset else loaded.cells
    for name in names:
        how, folder = packing.pack(loaded, name, train=train), paths.packed(study, name)
        count, size = packed.read(folder).images.shape[:2]
        yield f"{how}: {count} images of {size} px in {folder.relative_to(paths.work())}"


def train(**given: Any) -> Iterator[str]:
    """Trains and scores a network, goes on with it or finds it finished; says where it lies."""
    from lib.networks import training

    run = reading.run(**given)
    where = training.train(run).relative_to(paths.work())
    best, epoch = margins.history(run)["validation_accuracy"].max(), margins.validated(run)
    reached = f"{100 * best:.1f} % of validation patches judged rightly in epoch {epoch}"
    yield f"{run.summary} · {reached}, in {where}"


if __name__ == "__main__":
    sys.exit(main())
