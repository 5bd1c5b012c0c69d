"""Where one class's pictures come from: each source lists pictures by name and reads them."""

from lib.data.sources.celeba import CelebaSource
from lib.data.sources.files import FileSource
from lib.data.sources.imagefolder import ImageFolderSource
from lib.data.sources.interface import PictureSource, SourceError, file_path
from lib.data.sources.lsun import LsunSource
from lib.data.sources.opening import open_source
from lib.data.sources.simulated import SimulatedSource
from lib.data.sources.tfrecords import TFRecordSource

__all__ = [
    "CelebaSource",
    "FileSource",
    "ImageFolderSource",
    "LsunSource",
    "PictureSource",
    "SimulatedSource",
    "SourceError",
    "TFRecordSource",
    "file_path",
    "open_source",
]
