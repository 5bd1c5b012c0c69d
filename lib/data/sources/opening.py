"""From a source's section in a study's file to the source."""

from lib.data.sources.celeba import CelebaSource
from lib.data.sources.files import FileSource
from lib.data.sources.imagefolder import ImageFolderSource
from lib.data.sources.interface import PictureSource, file_path
from lib.data.sources.lsun import LsunSource
from lib.data.sources.simulated import SimulatedSource
from lib.data.sources.tfrecords import TFRecordSource
from lib.settings import Celeba, Data, Files, ImageFolder, Lsun, Simulated, Source, TFRecords


def open_source(source: Source, data: Data) -> PictureSource:
    """The source that a study's file describes.

    Raises:
        SourceError: naming the path, what is wrong with it, and what to do.
    """
    match source:
        case Simulated():
            return SimulatedSource(source.content, source.generator, data.seed, data.image_size)
        case ImageFolder():
            return ImageFolderSource(file_path(source.path), source.label, source.category)
        case Files():
            return FileSource(file_path(source.path))
        case Celeba():
            return CelebaSource(file_path(source.path))
        case Lsun():
            return LsunSource(file_path(source.path))
        case TFRecords():
            return TFRecordSource(file_path(source.path))
