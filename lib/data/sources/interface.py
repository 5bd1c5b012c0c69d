"""What a study needs of a source, whatever its pictures are stored in."""

import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib.study import paths
from lib.study.errors import shown
from lib.study.schema import Data, Strict


class SourceError(ValueError):
    """A source cannot be read at all; the message names it and says what to do."""


class PictureSource(ABC):
    """One class's pictures.

    A source is opened anew in every process that reads from it: opening is cheap, listing waits
    for `names`, and a picture is read by its name without listing them where the format allows.
    """

    Settings: type[Strict]  # the keys of its section in a study's file, beside `kind`
    title: str  # how messages and the manifest name it: the path, if it has one
    decoded: str | None = None
    """None where pictures are files; else the `format` of those that are stored as pixels."""

    @abstractmethod
    def __init__(self, settings: Strict, data: Data) -> None:
        """Opens it, and lists nothing yet; raises SourceError if it cannot be read.

        `settings` is what `Settings` made of its section, `data` how the study draws pictures.
        """

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Its pictures' names, in a fixed order."""

    @abstractmethod
    def read(self, name: str) -> bytes | np.ndarray:
        """One picture: the file's bytes; where `decoded`, its pixels: uint8 (H, W, 3), RGB.

        Raises Unusable, saying why, if it cannot be read; SourceError if nothing of it can be.
        """

    def split(self, name: str) -> str | None:
        """The publisher's split of a picture: train, validation or test; None if it has none."""
        return None

    def identity(self, name: str) -> str | None:
        """Who is shown, where the publisher tells."""
        return None

    def ignored(self) -> dict[str, int]:
        """How many files of which other suffixes lie among the pictures."""
        return {}


file_path = paths.below_data
"""Where a study's folder or file lies."""


def check_exists(path: Path, what: str) -> None:
    """Raises SourceError if at `path`, where `what` was expected, is no folder and no file."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(
            f"{path}: there is no such {what}. Paths in params/ lie below DATA, now "
            f"{paths.data_root()}: give it as `make study DATA=<folder>` or PATCHWISE_DATA"
        ) from None
    except (OSError, ValueError) as error:  # too long, or with a zero byte
        raise SourceError(
            f"{shown(str(path))}: no path: {getattr(error, 'strerror', error)}"
        ) from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):  # reading a pipe would wait for ever
        raise SourceError(f"{path}: neither a folder nor a file; name the {what} of the pictures")
