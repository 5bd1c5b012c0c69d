"""All sources, by the `kind` that a study's file names: the source `x` is the module `x` here."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from lib.data import sources
from lib.data.sources.interface import PictureSource
from lib.study.errors import unknown, validated
from lib.study.schema import Data, ParameterError, Source, Strict


def _sources() -> Iterator[tuple[str, type[PictureSource]]]:
    """The sources that the modules beside this one define; some define none."""
    for file in pkgutil.iter_modules(sources.__path__):
        module = import_module(f"{sources.__name__}.{file.name}")
        for value in vars(module).values():
            is_source = isinstance(value, type) and issubclass(value, PictureSource)
            if is_source and value.__module__ == module.__name__ and "Settings" in vars(value):
                yield file.name, value


SOURCES = dict(_sources())


def settings(source: Source, where: str = "params", within: tuple[str, ...] = ()) -> Strict:
    """The settings of a source, checked by its own model.

    Raises ParameterError, naming the key, the value got, and what is allowed. It begins with
    `where`, such as the file; the source's section lies below the keys `within` there.
    """
    if source.kind not in SOURCES:
        key = ".".join([*within, "kind"])
        raise ParameterError(f"{where}: {key}: {unknown('source', source.kind, SOURCES)}")
    keys = source.model_dump(exclude={"kind"})
    return validated(SOURCES[source.kind].Settings, keys, where, within)


def open_source(source: Source, data: Data) -> PictureSource:
    """The source that a study's file describes.

    Raises ParameterError if its section says what it may not; SourceError, naming the path, what
    is wrong with it, and what to do, if it cannot be read.
    """
    return SOURCES[source.kind](settings(source), data)
