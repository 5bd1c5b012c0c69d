"""Keeps a finished run's network in `networks/`, for judging pictures: its weights and its card.

    python tools/keep_network.py results/faces/runs/ffhq-stylegan2/anywhere/p064/seed0 faces

Every alteration of every test image is tried, which takes some minutes.
"""

import argparse
import shutil
import sys
from pathlib import Path

from lib.__main__ import ERRORS
from lib.judge import runs
from lib.judge.card import CARD, WEIGHTS
from lib.study import paths


def main() -> int:
    """Writes `networks/<name>/`; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="a finished run's folder")
    parser.add_argument("name", help="the folder below networks/")
    parser.add_argument("--alpha", type=float, default=runs.ALPHA, help="default: %(default)s")
    parser.add_argument("--note", action="append", default=[], help="on data and licences")
    given = parser.parse_args()
    try:
        run = runs.run_in(given.run)
        network = runs.of_run(run, given.alpha, flips=True, notes=tuple(given.note))
    except (*ERRORS, runs.NetworkError) as error:
        print(error, file=sys.stderr)
        return 1
    folder, card = paths.ROOT / "networks" / given.name, network.card.model_dump_json(indent=1)
    paths.write_whole(folder / WEIGHTS, lambda p: shutil.copyfile(network.weights, p))
    paths.write_whole(folder / CARD, lambda p: p.write_text(card + "\n", "utf-8"))
    print(folder.relative_to(paths.ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
