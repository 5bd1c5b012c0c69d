"""Trees whose folders name class and split, as public sets for GAN detection have them.

Hugging Face's `imagefolder` (`train/real/x.png`), ForenSynths of Wang et al., "CNN-generated images
are surprisingly easy to spot... for now" (CVPR 2020): `progan/airplane/0_real/x.png`.
"""

from functools import cached_property
from pathlib import Path, PurePosixPath

from lib.data.pictures import SUFFIXES
from lib.data.sources.files import FileSource
from lib.data.sources.interface import SourceError
from lib.data.sources.trees import suffix

CLASS_FOLDERS = {"real": ("real", "0_real"), "fake": ("fake", "1_fake")}
EVERY_CLASS = sum(CLASS_FOLDERS.values(), ())
SPLITS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
SHOWN = 12
"""How many folder names a message lists."""


class ImageFolderSource(FileSource):
    """The pictures of one class, and of one category if it is named, in a folder or zip."""

    def __init__(self, path: Path, label: str, category: str | None = None) -> None:
        """Lists nothing yet.

        Args:
            path: the folder or zip that holds both classes.
            label: `real` or `fake`.
            category: the name of a folder that its pictures lie in, such as `airplane`.

        Raises:
            SourceError: if `path` is neither a folder nor a zip.
        """
        super().__init__(path)
        self.label, self.category = label, category

    @cached_property
    def _files(self) -> list[str]:
        """The class's files.

        Raises:
            SourceError: if no folder names the class or the category; those there are named.
        """
        listed = self._tree.files
        found = [name for name in listed if _class_folder(name) in CLASS_FOLDERS[self.label]]
        if not found:
            wanted = " or ".join(CLASS_FOLDERS[self.label])
            raise SourceError(
                f"{self.path}: none of its files lie in a folder {wanted}{_seen(listed)}"
            )
        if self.category is None:
            return found
        kept = [name for name in found if self.category in self._categories(name)]
        if not kept:
            there = {folder for name in found for folder in self._categories(name)}
            raise SourceError(
                f"{self.path}: no {self.label} pictures of the category {self.category!r}; "
                f"{f'its categories are {_few(there)}' if there else 'it has no categories'}"
            )
        return kept

    @cached_property
    def _split_level(self) -> int | None:
        """How deep the folders lie that name a split, counted from the top.

        It is the first level at which every folder is called as a split is: where `train` stands
        beside `airplane`, it is a category, as in ForenSynths.
        """
        pictures = (name for name in self._tree.files if suffix(name) in SUFFIXES)
        above = {tuple(_above_class(name)) for name in pictures if _class_folder(name)}
        for level, folders in enumerate(zip(*above, strict=False)):
            if set(map(str.lower, folders)) <= set(SPLITS):
                return level
        return None

    def _categories(self, name: str) -> list[str]:
        """The folders of a file that name neither its class nor its split."""
        folders = PurePosixPath(name).parts[:-1]
        return [
            folder
            for level, folder in enumerate(folders)
            if level != self._split_level and folder.lower() not in EVERY_CLASS
        ]

    def split(self, name: str) -> str | None:
        """The split that a folder above the class's names; None if none does."""
        if self._split_level is None:
            return None
        return SPLITS[_above_class(name)[self._split_level].lower()]


def _class_folder(name: str) -> str | None:
    """The innermost folder of a file that has a class's name, in lower case."""
    folders = [part.lower() for part in PurePosixPath(name).parts[:-1]]
    return next((folder for folder in reversed(folders) if folder in EVERY_CLASS), None)


def _above_class(name: str) -> list[str]:
    """The folders above the class's."""
    folders = list(PurePosixPath(name).parts[:-1])
    while folders and folders[-1].lower() not in EVERY_CLASS:
        folders.pop()
    return folders[:-1]


def _seen(listed: list[str]) -> str:
    """What a message says of the folders that there are."""
    folders = {folder for name in listed for folder in PurePosixPath(name).parts[:-1]}
    return f"; its folders are {_few(folders)}" if folders else "; it has no folders"


def _few(names: set[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more
