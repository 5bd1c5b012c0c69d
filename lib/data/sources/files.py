"""PNG, JPEG and WebP pictures in a folder, nested or not, or in a zip."""

from collections import Counter
from functools import cached_property
from pathlib import Path

from lib.data.pictures import SUFFIXES
from lib.data.sources.interface import PictureSource
from lib.data.sources.trees import open_tree, suffix


class FileSource(PictureSource):
    """All pictures of a folder or zip: FFHQ as published, a GAN's output, your own."""

    def __init__(self, path: Path) -> None:
        """Lists nothing yet; raises SourceError if `path` is neither a folder nor a zip."""
        self.path, self.title = path, str(path)
        self._tree = open_tree(path)

    @cached_property
    def _files(self) -> list[str]:
        """Its files' names, pictures and others."""
        return self._tree.files

    @cached_property
    def _pictures(self) -> list[str]:
        return [name for name in self._files if suffix(name) in SUFFIXES]

    def names(self) -> list[str]:
        """Its pictures' paths below the folder or inside the zip, sorted."""
        return self._pictures

    def ignored(self) -> dict[str, int]:
        """How many files there are with other suffixes."""
        return dict(Counter(suffix(name) for name in self._files if suffix(name) not in SUFFIXES))

    def read(self, name: str) -> bytes:
        """One file's bytes; raises Unusable if they cannot be read."""
        return self._tree.read(name)
