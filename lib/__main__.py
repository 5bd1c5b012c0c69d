"""Packs a cell, or trains a network, without Jupyter: what notebooks 00 and 01 begin with.

    python -m lib pack --study demo --dataset sim_faces --gan sim_stylegan2
    python -m lib train --study demo --dataset sim_faces --gan sim_stylegan2 --patch-size 32

Prints one line, or what is wrong; the exit status is then 1.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from lib import params, paths, runs
from lib.data import packing
from lib.data.draft import PackingError
from lib.data.faces import MissingExtra
from lib.data.sources import SourceError
from lib.params import ParameterError

# Training's DivergedError is a FloatingPointError; to name it would import torch.
ERRORS = (
    *(ParameterError, SourceError, PackingError, MissingExtra),
    *(runs.RunError, FloatingPointError),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says; returns the exit status."""
    given = vars(_parser().parse_args(arguments))
    command = {"pack": pack, "train": train}[given.pop("command")]
    try:
        print(command(**given))
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def pack(study: str, dataset: str, gan: str) -> str:
    """Packs a cell, and says what was done."""
    loaded, cell = params.cell(study, dataset, gan)
    packed = packing.ensure(loaded, cell)
    count, size = packed.images.shape[:2]
    where = paths.packed(study, cell).relative_to(paths.work())
    return f"{packed.how}: {count} images of {size} px in {where}"


def train(**given: Any) -> str:
    """Trains and scores a network, goes on with it or finds it finished; says where it lies."""
    from lib import training  # torch takes seconds to import, and packing needs none

    run = params.run(**given)
    where = training.train(run).relative_to(paths.work())
    best, epoch = runs.history(run)["validation_accuracy"].max(), runs.validated(run)
    found = f"{100 * best:.1f} % of validation patches judged rightly in epoch {epoch}"
    return f"{run.summary} · {found}, in {where}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    cell = argparse.ArgumentParser(add_help=False)
    cell.add_argument("--study", required=True, help="a file in params/")
    cell.add_argument("--dataset", required=True, help="a cell of it is <dataset>-<gan>")
    cell.add_argument("--gan", required=True)
    commands.add_parser("pack", parents=[cell], help="draw a cell's images and pack them")
    network = commands.add_parser("train", parents=[cell], help="train and score one network")
    network.add_argument("--patch-size", required=True, type=int, help="px")
    network.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    network.add_argument("--variant", default=params.PLAIN, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
