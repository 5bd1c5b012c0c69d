"""Files that were made here, read again: as they were recorded, or a sentence on what is not."""

import hashlib
import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from lib.study import paths

RECORD = "files.json"
SCAFFOLD = ("epochs", "journal.jsonl", "recipe.json")
"""What lies in a packed cell or a run while it is made, and goes once it has its final name."""


class DamagedError(RuntimeError):
    """A file that was made here is missing or damaged; the message names it and what to do."""


@contextmanager
def reading(path: Path, remedy: str = "") -> Iterator[None]:
    """Makes of whatever a reader raises on a damaged file a DamagedError, which ends in `remedy`.

    What the system alone is to blame for (no memory, no permission) is raised as it is.
    """
    try:
        yield
    except (DamagedError, MemoryError):
        raise
    except Exception as error:  # json, numpy, pandas, pyarrow and safetensors have all their own
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        if isinstance(error, OSError) and error.errno is not None and not missing:
            raise
        why = textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" …")
        state = "is missing" if missing else f"is damaged: {why}"
        raise DamagedError(f"{path} {state}{remedy}") from None


def read_table(path: Path, **how: Any) -> pd.DataFrame:
    """A table that was written here, CSV or parquet; DamagedError if it cannot be read."""
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    with reading(path, ". Delete it: what wrote it writes it again"):
        return read(path, **how)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hold(path: Path, recorded: str | None, remedy: str = "") -> None:
    """Raises DamagedError if a file is not the one whose digest was recorded, if one was."""
    with reading(path, remedy):
        if recorded is not None and digest(path) != recorded:
            raise DamagedError(f"{path} is not the file that was recorded{remedy}")


def hold_to_record(folder: Path, path: Path, remedy: str = "") -> None:
    """Holds one of a folder's files to the digest that its record has of it, if it has one."""
    known = recorded(folder).get("sha256", {})
    hold(path, known.get(path.relative_to(folder).as_posix()), remedy)


def begin(draft: Path, code: str | None) -> None:
    """Notes what the code is known by, if that is told, before a draft is made by it."""
    if code and not recorded(draft):
        record(draft, code, {})


def discard(folder: Path, mark: str) -> None:
    """Removes a folder, of which without the file `mark`, which goes first, nothing counts."""
    (folder / mark).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def record(folder: Path, code: str | None, known: Mapping[str, str] | None = None) -> None:
    """Writes what is finished: its files' digests, and what the code is known by, if that is told.

    The digests are those `known`, or taken now; the code, if it is not told, the one noted before.
    """
    if known is None:
        made = [path for path in sorted(folder.rglob("[!.]*")) if path.is_file()]
        named = {path.relative_to(folder).as_posix(): path for path in made}
        left_out = (RECORD, *SCAFFOLD)
        known = {n: digest(p) for n, p in named.items() if n.partition("/")[0] not in left_out}
    code = code or recorded(folder).get("code")
    text = json.dumps({"code": code, "sha256": known}, indent=1)
    paths.write_whole(folder / RECORD, lambda p: p.write_text(text, "utf-8"))


def settle(folder: Path, code: str | None) -> None:
    """Clears what is finished of its scaffold, which a kill may have left, and records it if new.

    What was made without a code is taken as of this one.
    """
    for name in SCAFFOLD:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    made = recorded(folder)
    if not made.get("sha256") or (code and not made["code"]):
        record(folder, code, made.get("sha256") or None)


def of_other_code(folder: Path, code: str | None) -> bool:
    """Whether something finished is known to be of another code than this, if that is told."""
    return bool(code) and recorded(folder).get("code") not in (None, code)


def recorded(folder: Path) -> dict[str, Any]:
    """What `record` wrote; empty if nothing was recorded."""
    if not (folder / RECORD).is_file():
        return {}
    with reading(folder / RECORD, ". Delete it: making all again, which finds it done, records it"):
        made = json.loads((folder / RECORD).read_text("utf-8"))
        return {"code": made["code"], "sha256": dict(made["sha256"])}


def check(folder: Path, remedy: str) -> bool:
    """Raises DamagedError unless all files are as recorded; False if nothing was recorded."""
    made = recorded(folder)
    for name, known in made.get("sha256", {}).items():
        hold(folder / name, known, remedy)
    return bool(made)
