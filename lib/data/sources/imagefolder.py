"""Trees whose folders name class and split, as public sets for GAN detection have them.

Hugging Face's `imagefolder` (`train/real/x.png`), ForenSynths of Wang et al., "CNN-generated images
are surprisingly easy to spot... for now" (CVPR 2020): `progan/airplane/0_real/x.png`.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from lib.data.images import SUFFIXES
from lib.data.sources.files import FileSource
from lib.data.sources.interface import SourceError
from lib.study.schema import Data, Place, Strict

CLASS_FOLDERS = {"real": ("real", "0_real"), "fake": ("fake", "1_fake")}
EVERY_CLASS = sum(CLASS_FOLDERS.values(), ())
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}
SPLITS["validation"] = "validation"
SHOWN = 12  # folder names that a message lists


class ImageFolderSource(FileSource):
    """The pictures of one class, and of one category if it is named, in a folder or zip."""

    class Settings(Strict):
        """The folder or zip that holds both classes, and which of its pictures are meant."""

        path: Place
        label: Literal["real", "fake"]
        category: str | None = None  # only what lies in folders so called, such as `airplane`

    def __init__(self, settings: Settings, data: Data) -> None:
        """Raises SourceError if its path is neither a folder nor a zip."""
        super().__init__(settings, data)
        self.label, self.category = settings.label, settings.category

    @cached_property
    def _files(self) -> list[str]:
        """The class's files; raises SourceError if no folder names the class, or the category."""
        listed, wanted = self._tree.files, CLASS_FOLDERS[self.label]
        files = [name for name in listed if _class_folder(name)[1] in wanted]
        if not files:
            there = set().union(*(PurePosixPath(name).parts[:-1] for name in listed))
            raise SourceError(
                f"{self.path}: none of its files lie in a folder {' or '.join(wanted)}; "
                f"{_few('folders', there)}"
            )
        if self.category is None:
            return files
        kept = [name for name in files if self.category in self._categories(name)]
        if not kept:
            there = set().union(*map(self._categories, files))
            raise SourceError(
                f"{self.path}: no {self.label} pictures of the category {self.category!r}; "
                f"{_few('categories', there)}"
            )
        return kept

    @cached_property
    def _split_level(self) -> int | None:
        """How deep the folders lie that name a split, counted from the top.

        It is the first level at which every folder is called as a split is: where `train` stands
        beside `airplane`, it is a category, as in ForenSynths.
        """
        pictures = (name for name in self._tree.files if name.lower().endswith(SUFFIXES))
        paths = {above for above, folder in map(_class_folder, pictures) if folder}
        for level, folders in enumerate(zip(*paths, strict=False)):
            if set(map(str.lower, folders)) <= set(SPLITS):
                return level
        return None

    def _categories(self, name: str) -> list[str]:
        """The folders of a file that name neither its class nor its split."""
        folders = enumerate(PurePosixPath(name).parts[:-1])
        others = (folder for level, folder in folders if level != self._split_level)
        return [folder for folder in others if folder.lower() not in EVERY_CLASS]

    def split(self, name: str) -> str | None:
        """The split that a folder above the class's names; None if none does."""
        if self._split_level is None:
            return None
        return SPLITS[_class_folder(name)[0][self._split_level].lower()]


def _class_folder(name: str) -> tuple[tuple[str, ...], str | None]:
    """The innermost folder of a file that has a class's name, in lower case, after those above."""
    folders = PurePosixPath(name).parts[:-1]
    for level in reversed(range(len(folders))):
        if folders[level].lower() in EVERY_CLASS:
            return folders[:level], folders[level].lower()
    return (), None


def _few(kind: str, names: Iterable[str]) -> str:
    """What a message says of the folders, or categories, that there are."""
    listed = sorted(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return f"its {kind} are {', '.join(listed[:SHOWN])}{more}" if listed else f"it has no {kind}"
