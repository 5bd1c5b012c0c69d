"""Files that were made here, read again: as they were recorded, or a sentence on what is not."""

import hashlib
import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.study import paths

RECORD = "files.json"
"""The SHA-256 of each other file of a folder, by its path in it."""


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


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hold(path: Path, recorded: str | None, remedy: str = "") -> None:
    """Raises DamagedError if a file is not the one whose digest was recorded, if one was."""
    with reading(path, remedy):
        if recorded is not None and digest(path) != recorded:
            raise DamagedError(f"{path} is not the file that was recorded{remedy}")


def record(folder: Path) -> None:
    """Writes the digests of all files of a finished folder, unless they are there."""
    if not (folder / RECORD).is_file():
        made = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        text = json.dumps({p.relative_to(folder).as_posix(): digest(p) for p in made}, indent=1)
        paths.write_whole(folder / RECORD, lambda p: p.write_text(text, "utf-8"))


def check(folder: Path, remedy: str) -> bool:
    """Raises DamagedError unless all files are as recorded; False if nothing was recorded."""
    if not (folder / RECORD).is_file():
        return False
    with reading(folder / RECORD, ". Delete it: training again, which finds all done, records it"):
        recorded = dict(json.loads((folder / RECORD).read_text("utf-8")))
    for name, known in recorded.items():
        hold(folder / name, known, remedy)
    return True
