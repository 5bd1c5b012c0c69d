"""Packs cells, trains networks, imports scores, checks all of these, or judges pictures.

    python -m lib pack --study demo [--dataset sim_faces --gan sim_stylegan2]
    python -m lib train --study demo --dataset sim_faces --gan sim_stylegan2 --patch-size 32
    python -m lib import SCORES.csv --study demo --dataset sim_faces --gan sim_stylegan2 --name cue
    python -m lib check --study demo
    python -m lib judge PICTURES [PICTURES ...] [--network FOLDER] [--out FOLDER] [--part 1/4]

Needs no Jupyter. Prints a line for each cell packed, for each epoch, run of scores, for all
that is checked, or for each picture; or what is wrong, and the exit status is 1, or 137, as of what
is killed, where a process that reads pictures died.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError

from lib import imported, margins
from lib.data import packed
from lib.data.faces import MissingExtra
from lib.data.images import SUFFIXES
from lib.data.packing import pack as packing
from lib.data.packing.journal import PackingError
from lib.data.sources.interface import SourceError
from lib.judge.errors import NetworkError, OutError
from lib.study import paths, reading
from lib.study.files import DamagedError
from lib.study.schema import ParameterError
from lib.study.study import PLAIN

# Training's DivergedError is a FloatingPointError; to name it would import torch. Of a training on
# several devices, ChildProcessError tells what went wrong.
ERRORS = (ParameterError, SourceError, PackingError, MissingExtra, FloatingPointError)
ERRORS += (packed.PackedError, margins.RunError, DamagedError, NetworkError, OutError)
ERRORS += (imported.ScoresError, ChildProcessError)

COLUMNS = "columns image; score (fake above 0) or probability; of patches also row and column, px"


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packs = commands.add_parser("pack", help="draw a cell's images, or all cells', and pack them")
    network = commands.add_parser("train", help="train and score one network on packed cells")
    scores = commands.add_parser("import", help="store another detector's scores as a run")
    scores.add_argument("file", type=Path, metavar="SCORES.csv", help=COLUMNS)
    checks = commands.add_parser("check", help="hold what is packed and trained to its digests")
    for command in (packs, network, scores, checks):
        command.add_argument("--study", required=True, help="a file in params/")
    code = "what a batch knows the code by: what other code made, or a network of other "
    code += "parameters, is made anew"
    for command, required in ((packs, False), (network, True), (scores, True)):
        command.add_argument("--dataset", required=required, help="a cell is <dataset>-<gan>")
        command.add_argument("--gan", required=required)
    for command in (packs, network):
        command.add_argument("--code", help=code)
    splits = "pack all splits, as of the cells that the study trains on; else the test split alone"
    packs.add_argument("--train", action="store_true", help=splits)
    network.add_argument("--patch-size", required=True, type=int, help="px")
    network.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    network.add_argument("--variant", default=PLAIN, help="default: %(default)s")
    scores.add_argument("--name", required=True, help="of the variant that the scores become")
    judges = commands.add_parser("judge", help="judge pictures: real, fake, or cannot tell")
    judges.add_argument("pictures", nargs="+", type=Path, help="pictures, folders or zips")
    judges.add_argument("--network", type=Path, help="in networks/, or a finished run's folder")
    judges.add_argument("--out", type=Path, help="for results; default: below reports/judged/")
    judges.add_argument("--add", action="store_true", help="to other pictures' results in --out")
    job = "judge only the K-th of N parts; a call without it joins what there is"
    judges.add_argument("--part", type=_part, default=(1, 1), metavar="K/N", help=job)
    given = vars(parser.parse_args(arguments))
    begin = {"pack": pack, "train": train, "import": stored, "check": check, "judge": judge}
    begin = begin[given.pop("command")]
    if begin is pack and (given["dataset"] is None) != (given["gan"] is None):
        parser.error("--dataset and --gan name a cell together; without both, all cells are packed")
    try:
        for line in begin(**given):
            print(line, flush=True)
    except ERRORS as error:
        print(error, file=sys.stderr)
        if isinstance(error.__context__, BrokenProcessPool):
            return 137
    except (OSError, SafetensorError) as error:
        print(paths.refused(error), file=sys.stderr)
    except MemoryError as error:
        print(f"not enough memory: {error}. Ask for less in the study's file", file=sys.stderr)
    else:
        return 0
    return 1


def pack(
    study: str, dataset: str | None, gan: str | None, *, train: bool, code: str | None
) -> Iterator[str]:
    """Packs a cell, or all of the study, and says of each what was done."""
    loaded = reading.load(study)
    names = [reading.cell(study, dataset, gan)[1]] if dataset else loaded.cells
    for name in names:
        folder = paths.packed(study, name)
        how = packing.pack(loaded, name, train=train, code=code)
        count, size = packed.read(folder).images.shape[:2]
        yield f"{how}: {count} images of {size} px in {folder.relative_to(paths.work())}"


def train(code: str | None = None, **given: Any) -> Iterator[str]:
    """Trains and scores a network, goes on with it or finds it finished; says where it lies."""
    from lib.networks import devices, training

    run = reading.run(**given)
    if run.study.imported:
        raise ParameterError(f"variant: {run.variant!r} is another detector's scores; none trains")
    told = given | ({"code": code} if code else {})
    if devices.launch(run.study.training, told):  # in processes, of which the first said the rest
        return
    epochs = run.study.training.epochs

    def tell(history: pd.DataFrame) -> None:
        row, right = history.iloc[-1], "of validation patches judged rightly"
        now = f"epoch {len(history)} of {epochs}: loss {row['loss']:.3f}"
        print(f"{now}, {100 * row['validation_accuracy']:.1f} % {right}", flush=True)

    with devices.group():
        watch = tell if devices.RANK == 0 else None
        where = training.train(run, watch, code).relative_to(paths.work())
    if devices.RANK > 0:
        return
    best, epoch = margins.history(run)["validation_accuracy"].max(), margins.validated(run)
    reached = f"{100 * best:.1f} % of validation patches judged rightly in epoch {epoch}"
    yield f"{run.summary} · {reached}, in {where}"


def stored(file: Path, study: str, dataset: str, gan: str, name: str) -> Iterator[str]:
    """Stores another detector's scores; says where, how far they are right, and what was left."""
    runs, unknown = imported.store(file, study, dataset, gan, name)
    for run in runs:
        right = 100 * margins.history(run)["test_accuracy"].iloc[0]
        where = run.folder.relative_to(paths.work())
        yield f"{run.summary} · {right:.1f} % of test patches judged rightly, in {where}"
    if unknown:
        yield f"Left out, images that the cell does not have: {len(unknown)}, such as {unknown[0]}"


def check(study: str) -> Iterator[str]:
    """Holds all that is packed and trained of a study to its digests; says what came out."""
    loaded = reading.load(study)
    runs = sorted(paths.results(study).glob("runs/*/*/*/seed*[0-9]/config.json"))
    held = {run.parent: partial(margins.check, run.parent) for run in runs}
    cells = {
        paths.packed(study, cell): partial(packed.check, loaded, cell) for cell in loaded.cells
    }
    held |= {folder: hold for folder, hold in cells.items() if folder.exists()}
    wrong = 0
    for folder, hold in held.items():
        try:
            yield f"{hold()}: {folder.relative_to(paths.work())}"
        except ERRORS as error:
            wrong += 1
            yield str(error)
    if wrong:
        raise DamagedError(f"{wrong} of {len(held)} are not as recorded")


def judge(
    pictures: Sequence[Path],
    network: Path | None,
    out: Path | None,
    *,
    add: bool,
    part: tuple[int, int],
) -> Iterator[str]:
    """Judges pictures; says of each what came out, and where all of it lies."""
    from lib.judge import judging, page, runs
    from lib.judge.pictures import listed

    pictures = [path.expanduser() for path in pictures]
    given, others = listed(pictures)
    if others:
        yield f"Left out, files that are not {', '.join(SUFFIXES)} by their names: {others}"
    judges = runs.load(network or runs.DEFAULT)
    if judges.card.simulated:
        yield "SIMULATED: this network learned from simulated images and knows no real ones"
    if (judges.card.with_faces or 0) >= judging.FACE_SHARE and not judging.asks_for_faces(judges):
        yield "Whether pictures show a face is not checked: that needs dlib-bin (on macOS dlib)"
    out = out or judging.folder_for(judges, pictures)
    for row in judging.judge(judges, given, out, add=add, part=part[0], parts=part[1]):
        stated = row.get("probability")
        sure = "" if pd.isna(stated) else f" · P(fake) {stated:.2f}"
        yield f"{row['picture']}: {row['verdict']}{sure}" + (f" ({row['why']})" * bool(row["why"]))
    if part[1] > 1:
        yield f"Part {part[0]} of {part[1]} is judged; a call without --part joins all, in {out}"
        return
    table = judging.finish(judges, out)
    counts = page.counts(table)
    words = [f"{counts[verdict]} {verdict}" for verdict in ("fake", "real", "cannot tell")]
    yield ", ".join(words) + f"; {counts['unusable']} could not be read" * bool(counts["unusable"])
    yield f"Each with its map, and how often the network errs: {page.write(judges, table, out)}"


def _part(text: str) -> tuple[int, int]:
    """K of N parts, from K/N."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(
            f"got {text!r}; write K/N, such as 1/4, with K from 1 to N"
        )
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    sys.exit(main())
