"""PNG, JPEG and WebP pictures in a folder, nested or not, or in a zip."""

from collections import Counter
from functools import cached_property
from pathlib import PurePosixPath

from lib.data.images import SUFFIXES
from lib.data.sources.interface import PictureSource, file_path
from lib.data.sources.trees import open_tree
from lib.study.schema import Data, Place, Strict


class FileSource(PictureSource):
    """All pictures of a folder or zip: FFHQ as published, a GAN's output, your own."""

    class Settings(Strict):
        """The folder or zip, below the DATA folder."""

        path: Place

    def __init__(self, settings: Settings, data: Data) -> None:
        """Raises SourceError if its path is neither a folder nor a zip."""
        self.path = file_path(settings.path)
        self.title = str(self.path)
        self._tree = open_tree(self.path)

    @cached_property
    def _files(self) -> list[str]:
        return self._tree.files

    def names(self) -> list[str]:
        """Its pictures' paths below the folder or inside the zip, sorted."""
        return [name for name in self._files if name.lower().endswith(SUFFIXES)]

    def ignored(self) -> dict[str, int]:
        """How many files there are with other suffixes."""
        others = (name.lower() for name in self._files if not name.lower().endswith(SUFFIXES))
        return dict(Counter(PurePosixPath(name).suffix for name in others))

    def read(self, name: str) -> bytes:
        """One file's bytes; raises Unusable if they cannot be read."""
        return self._tree.read(name)
