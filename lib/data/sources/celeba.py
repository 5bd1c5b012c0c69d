"""CelebA's aligned faces as published: 178 x 218 px, with the publisher's split and identities.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild" (ICCV 2015).
"""

import re
from functools import cached_property
from pathlib import Path

from lib.data.sources.files import FileSource
from lib.data.sources.interface import SourceError, check_exists
from lib.data.sources.trees import Archive, open_tree

PICTURES = "img_align_celeba"
PARTITION, IDENTITIES = "list_eval_partition.txt", "identity_CelebA.txt"
SPLITS = {"0": "train", "1": "validation", "2": "test"}
NEEDED_FOR = {
    PARTITION: "it says which split a picture belongs to",
    IDENTITIES: "it says who is shown, so that nobody stands in two splits",
}
LINES = {
    PARTITION: (r"(\S+)\s+([012])", "a file name and 0 (train), 1 (validation) or 2 (test)"),
    IDENTITIES: (r"(\S+)\s+(\d+)", "a file name and the number of who is shown"),
}
HOME = {PICTURES: "Img", PARTITION: "Eval", IDENTITIES: "Anno"}
"""The publisher's folder of each; they may also lie side by side."""


class CelebaSource(FileSource):
    """The aligned faces in a folder or in their zip, named `000001.jpg` in both."""

    def __init__(self, path: Path) -> None:
        """Lists nothing yet.

        Args:
            path: the folder that holds `img_align_celeba` or its zip and the two lists.

        Raises:
            SourceError: naming what is missing, and why it is needed.
        """
        check_exists(path, "folder")
        self.path, self.title = path, str(path)
        pictures = _find(path, PICTURES, f"{PICTURES}.zip")
        if pictures is None:
            raise SourceError(
                f"{path}: it holds neither the folder {PICTURES} nor {PICTURES}.zip, also not in "
                f"{HOME[PICTURES]}/; name the folder above the aligned and cropped images"
            )
        self._tree = open_tree(pictures)
        # Inside the zip the pictures lie in a folder of its name.
        self._inside = f"{PICTURES}/" if isinstance(self._tree, Archive) else ""
        self._lists = {name: self._list(name) for name in NEEDED_FOR}

    def _list(self, name: str) -> Path:
        """Where one of the two lists lies."""
        found = _find(self.path, name)
        if found is None:
            raise SourceError(
                f"{self.path}: {name} is missing, also in {HOME[name]}/; download it beside the "
                f"pictures: {NEEDED_FOR[name]}"
            )
        return found

    @cached_property
    def _splits(self) -> dict[str, str]:
        return {name: SPLITS[number] for name, number in self._read_list(PARTITION).items()}

    @cached_property
    def _identities(self) -> dict[str, str]:
        return self._read_list(IDENTITIES)

    def _read_list(self, name: str) -> dict[str, str]:
        """A list's second column by its first; raises SourceError naming a malformed line."""
        path, (pattern, allowed), found = self._lists[name], LINES[name], {}
        lines = path.read_text("utf-8", "replace").rstrip().split("\n")
        for number, line in enumerate(lines, 1):
            match = re.fullmatch(pattern, line.strip())
            if not match or match[1] in found:
                raise SourceError(
                    f"{path}: line {number} is {line!r}; a line is {allowed}, and no file name "
                    "comes twice. Download it again"
                )
            found[match[1]] = match[2]
        return found

    @cached_property
    def _files(self) -> list[str]:
        listed = [name for name in self._tree.files if name.startswith(self._inside)]
        return [name.removeprefix(self._inside) for name in listed]

    @cached_property
    def _pictures(self) -> list[str]:
        """The pictures' names; raises SourceError if one of the lists lacks any."""
        names = super()._pictures
        for name, known in ((PARTITION, self._splits), (IDENTITIES, self._identities)):
            unknown = [picture for picture in names if picture not in known]
            if unknown:
                raise SourceError(
                    f"{self._lists[name]}: no line for {len(unknown)} of the {len(names)} "
                    f"pictures, such as {unknown[0]}; remove them, or download the whole list"
                )
        return names

    def read(self, name: str) -> bytes:
        """One file's bytes; raises Unusable if they cannot be read."""
        return self._tree.read(self._inside + name)

    def split(self, name: str) -> str:
        """The publisher's split of a picture."""
        return self._splits[name]

    def identity(self, name: str) -> str:
        """The number of who is shown."""
        return self._identities[name]


def _find(path: Path, *names: str) -> Path | None:
    """The first of `names` that lies in `path` or in the publisher's folder below it."""
    home = HOME[names[0]]
    places = [folder / name for name in names for folder in (path, path / home)]
    return next((place for place in places if place.exists()), None)
