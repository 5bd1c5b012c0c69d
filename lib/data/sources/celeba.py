"""CelebA's aligned faces as published: 178 x 218 px, with the publisher's split and identities.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild" (ICCV 2015).
"""

import re
from functools import cached_property
from pathlib import Path

from lib.data.sources.files import FileSource
from lib.data.sources.interface import SourceError, check_exists, file_path
from lib.data.sources.trees import Archive, open_tree
from lib.study.schema import Data, Place, Strict

PICTURES = "img_align_celeba"
PARTITION, IDENTITIES = "list_eval_partition.txt", "identity_CelebA.txt"
HOME = {PICTURES: "Img", PARTITION: "Eval", IDENTITIES: "Anno"}
"""The publisher's folder of each; they may also lie side by side."""
SPLITS = {"0": "train", "1": "validation", "2": "test"}
NEEDED_FOR = {
    PARTITION: "it says which split a picture belongs to",
    IDENTITIES: "it says who is shown, so that nobody stands in two splits",
}
LINES = {
    PARTITION: (r"(\S+)\s+([012])", "a file name and 0 (train), 1 (validation) or 2 (test)"),
    IDENTITIES: (r"(\S+)\s+(\d+)", "a file name and the number of who is shown"),
}


class CelebaSource(FileSource):
    """The aligned faces in a folder or in their zip, named `000001.jpg` in both."""

    class Settings(Strict):
        """The folder that holds `img_align_celeba` or its zip, and the two lists."""

        path: Place

    def __init__(self, settings: Settings, data: Data) -> None:
        """Raises SourceError naming what is missing, and why it is needed."""
        self.path = file_path(settings.path)
        self.title = str(self.path)
        check_exists(self.path, "folder")
        pictures = self._find(PICTURES, f"{PICTURES}.zip")
        if pictures is None:
            raise SourceError(
                f"{self.path}: it holds neither the folder {PICTURES} nor {PICTURES}.zip, also not "
                f"in {HOME[PICTURES]}/; name the folder above the aligned and cropped images"
            )
        self._tree = open_tree(pictures)
        # Inside the zip the pictures lie in a folder of its name.
        self._inside = f"{PICTURES}/" if isinstance(self._tree, Archive) else ""
        self._lists = {name: self._find(name) for name in LINES}
        for name, place in self._lists.items():
            if place is None:
                raise SourceError(
                    f"{self.path}: {name} is missing, also in {HOME[name]}/; download it beside "
                    f"the pictures: {NEEDED_FOR[name]}"
                )

    def _find(self, *names: str) -> Path | None:
        """The first of `names` that lies in its folder or in the publisher's below it."""
        folders = (self.path, self.path / HOME[names[0]])
        places = [folder / name for name in names for folder in folders]
        return next((place for place in places if place.is_file() or place.is_dir()), None)

    @cached_property
    def _told(self) -> dict[str, dict[str, str]]:
        """Each list's second column by its first; raises SourceError naming a malformed line."""
        columns: dict[str, dict[str, str]] = {name: {} for name in LINES}
        for name, (pattern, allowed) in LINES.items():
            lines = self._lists[name].read_text("utf-8", "replace").rstrip().split("\n")
            for number, line in enumerate(lines, 1):
                match = re.fullmatch(pattern, line.strip())
                if not match or match[1] in columns[name]:
                    raise SourceError(
                        f"{self._lists[name]}: line {number} is {line!r}; a line is {allowed}, and "
                        "no file name comes twice. Download it again"
                    )
                columns[name][match[1]] = match[2]
        return columns

    @cached_property
    def _files(self) -> list[str]:
        listed = [name for name in self._tree.files if name.startswith(self._inside)]
        return [name.removeprefix(self._inside) for name in listed]

    def names(self) -> list[str]:
        """The pictures' names, sorted; raises SourceError if one of the lists lacks any."""
        names = super().names()
        for name, column in self._told.items():
            unknown = [picture for picture in names if picture not in column]
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
        return SPLITS[self._told[PARTITION][name]]

    def identity(self, name: str) -> str:
        """The number of who is shown."""
        return self._told[IDENTITIES][name]
