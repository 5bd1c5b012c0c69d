"""Where everything lies: one place that knows the folders, whatever the caller's directory is."""

import errno
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from glob import escape
from pathlib import Path
from tempfile import mkstemp
from typing import Any

from lib.study.schema import ParameterError

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params"
NOTEBOOKS = ROOT / "notebooks"
PUBLISHED = ROOT / "reports" / "published"
SCORES = "scores.csv"
"""In a run's folder, what `lib.imported` made it of."""
FULL = (
    "No space left on device. Free some, or set PATCHWISE_WORK to a folder on a larger disk, and "
)
FULL += "run it again: it goes on"
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
LEFT_AFTER = 3600
"""Seconds after which a temporary file is taken for one that a kill left."""


def work() -> Path:
    """The folder that holds `data/`, `results/` and `reports/`: PATCHWISE_WORK, or the checkout."""
    return _expanded(os.environ.get("PATCHWISE_WORK") or str(ROOT), "PATCHWISE_WORK").resolve()


def data_root() -> Path:
    """The folder below which a study's own pictures lie: PATCHWISE_DATA (`make … DATA=`)."""
    given = os.environ.get("PATCHWISE_DATA") or str(ROOT / "data")
    return _expanded(given, "PATCHWISE_DATA").resolve()


def below_data(path: str) -> Path:
    """Where a study's folder or file lies: below DATA, unless its path is absolute."""
    return data_root() / _expanded(path, "path")


def _expanded(path: str, key: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        why = f"got {path!r}: there is no such user; write the whole path"
        raise ParameterError(f"{key}: {why}") from None


def packed(study: str, cell: str) -> Path:
    """The packed images of one test cell."""
    return work() / "data" / "packed" / study / cell


def results(study: str) -> Path:
    """All that runs of one study make, but for its packed data and its report."""
    return work() / "results" / study


def run(study: str, train: str, variant: str, patch_size: int, seed: int) -> Path:
    """The folder of one trained network: its weights, history and margins."""
    return results(study) / "runs" / train / variant / f"p{patch_size:03d}" / f"seed{seed}"


def imported(study: str) -> list[tuple[str, str, int, int]]:
    """Cell, variant, patch size and seed of the runs that are another detector's `SCORES`."""
    files = sorted(results(study).glob(f"runs/*/*/p*/seed*[0-9]/{SCORES}"))
    return [(*f.parts[-5:-3], int(f.parts[-3][1:]), int(f.parts[-2][4:])) for f in files]


def margins(run_folder: Path, cell: str, split: str, kind: str) -> Path:
    """The margins of one network on one split of one test cell, `kind` being grid or crops."""
    return run_folder / "margins" / cell / f"{split}-{kind}.safetensors"


def table(study: str, experiment: int, *named: str | int) -> Path:
    """The tidy table of an experiment, `named` by train, test, variant, patch size and seed."""
    return results(study) / "tables" / f"exp{experiment}" / f"{_name(*named)}.csv"


def verdicts(study: str, experiment: int, *named: str | int) -> Path:
    """The verdicts on the images behind a table; see `table`."""
    return results(study) / "verdicts" / f"exp{experiment}" / f"{_name(*named)}.parquet"


def _name(train: str, test: str, variant: str, patch_size: int, seed: int) -> str:
    return f"{train}__{test}__{variant}__p{patch_size:03d}__seed{seed}"


def audit(study: str, cell: str) -> Path:
    """What the audit of one cell found."""
    return results(study) / "audit" / cell


def report(study: str) -> Path:
    """The finished report of a study."""
    return work() / "reports" / study / "index.html"


def beside(path: Path) -> Path:
    """The name under which a folder is made before it is renamed to `path`."""
    return path.with_name(path.name + ".partial")


def refused(error: Exception) -> str:
    """What to say where the system refused something: which file, why, and what to do."""
    where = getattr(error, "filename", None)
    why = getattr(error, "strerror", None) or str(error)
    if _is_full(error):
        why = FULL
    elif where is not None and Path(where).is_relative_to(work()) and _is_denied(error):
        why += ". Set PATCHWISE_WORK to a folder that can be written to"
    return why if where is None else f"{str(where)[:300]}: {why}"


def _is_denied(error: OSError) -> bool:
    """Whether the work folder cannot be written to, or made."""
    return error.errno in DENIED or not work().is_dir()


def _is_full(error: Exception) -> bool:
    """Whether a disk is full, or a user's share of it; safetensors says so in words alone."""
    of_safetensors = f"os error {errno.ENOSPC}" in str(error)
    return of_safetensors or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def write_tables(tables: Mapping[Path, Any]) -> list[str]:
    """Writes DataFrames as CSV, each whole; returns the files' names below the work folder."""
    for path, table in tables.items():
        write_whole(path, partial(table.to_csv, index=False))
    return [str(path.relative_to(work())) for path in tables]


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Calls `write` with a temporary file beside `path`, and renames it once it is whole.

    A write that fails (a full disk, an interrupt) leaves nothing under the final name. What a kill
    leaves has a name that no one who reads looks for, and goes with a write an hour later.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{path.name}.", ".partial"
    for left in path.parent.glob(f"{escape(prefix)}*{suffix}"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_AFTER:
                left.unlink()
    handle, name = mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)  # mkstemp makes private files; results are to be shared
        os.replace(temporary, path)
    except Exception as error:
        if _is_full(error):
            raise OSError(f"{path}: {FULL}") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path
