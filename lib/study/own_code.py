"""Code of one's own that a study names as `my_nets:Tiny`: a module's attribute, found and hashed.

The module is one that Python finds from the repository's root, or `__main__`, the notebook itself.
Nothing is imported in order to hash it, and torch is not needed. All errors are ParameterErrors.
"""

import hashlib
import importlib.util
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from lib.study import paths
from lib.study.errors import suggestion
from lib.study.schema import ParameterError

NOTEBOOK = "__main__"
_imported: dict[str, str] = {}
"""The digests that modules had when `load` imported them."""


def is_own(name: str) -> bool:
    """Whether a name is one of one's own code, `module:attribute`."""
    return ":" in name


def load(name: str) -> Any:
    """What `module:attribute` stands for; a module that was edited is imported anew."""
    module, current = name.partition(":")[0], digest(name)
    if module != NOTEBOOK:
        if _imported.get(module, current) != current:
            for stale in [m for m in sys.modules if f"{m}.".startswith(f"{module}.")]:
                del sys.modules[stale]
        _imported[module] = current
        with blamed(name, "importing it failed"), _root_on_path():
            importlib.import_module(module)
    return _attribute(name)


def digest(name: str) -> str:
    """The sha256 of the source that `module:attribute` stands for.

    Of a module it is its file's, of a package that of all its files; what these import is not part
    of it. Of a notebook it is that of a class or function and of all that it uses from there.
    """
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise _wrong(name, "write module:attribute, such as my_nets:Tiny")
    if module != NOTEBOOK:
        return hashlib.sha256(b"\n".join(f.read_bytes() for f in _files(name, module))).hexdigest()
    thing, sources = _attribute(name), {}
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        raise _wrong(name, "it is no class or function of the notebook")
    _collect(attribute, thing, sources)
    return hashlib.sha256("\n".join(sources.values()).encode()).hexdigest()


@contextmanager
def blamed(name: str, what: str) -> Iterator[None]:
    """Turns whatever a user's own code raises into a ParameterError that names it."""
    try:
        yield
    except Exception as error:
        raise _wrong(name, f"{what}: {type(error).__name__}: {error}") from error


def _wrong(name: str, what: str) -> ParameterError:
    return ParameterError(f"model.name: {name}: {what}")


def _files(name: str, module: str) -> list[Path]:
    try:
        with _root_on_path():
            spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # for want of the package that it is said to be in
        spec = None
    if spec is None or not spec.has_location:
        there = [known.name for known in pkgutil.iter_modules([str(paths.ROOT)])]
        where = f"{paths.ROOT}, the project's folder" + suggestion(module, there)
        raise _wrong(name, f"Python finds no module {module!r} from {where}")
    file = Path(spec.origin)
    files = sorted(file.parent.rglob("*.py")) if spec.submodule_search_locations else [file]
    return [file for file in files if ".ipynb_checkpoints" not in file.parts]


def _attribute(name: str) -> Any:
    module, _, attribute = name.partition(":")
    there = vars(sys.modules[module])
    if attribute not in there:
        where = "the notebook" if module == NOTEBOOK else module
        close = suggestion(attribute, [key for key in there if not key.startswith("_")])
        raise _wrong(name, f"{where} defines no {attribute!r}{close}")
    return there[attribute]


@contextmanager
def _root_on_path() -> Iterator[None]:
    """Lets modules be found from the repository's root, whatever the caller's directory is."""
    importlib.invalidate_caches()  # a file may have been written a moment ago
    sys.path.insert(0, str(paths.ROOT))
    try:
        yield
    finally:
        sys.path.remove(str(paths.ROOT))


def _collect(name: str, thing: Any, sources: dict[tuple[str, int], str]) -> None:
    """Adds what a notebook calls `name`, and all of the notebook that it uses.

    Python 3.11 and 3.12 find the sources of a notebook's functions, but not of its classes.
    """
    thing = inspect.unwrap(getattr(thing, "fget", None) or getattr(thing, "__func__", thing))
    key, uses, there = (name, id(thing)), {}, vars(sys.modules[NOTEBOOK])
    if key in sources:
        return
    here = getattr(thing, "__module__", None) == NOTEBOOK
    if here and inspect.isclass(thing):
        sources[key] = f"class {name}"
        uses = {base.__name__: base for base in thing.__bases__}
        uses |= {k: v for k, v in vars(thing).items() if callable(v) or not k.startswith("_")}
    elif here and inspect.isfunction(thing):
        sources[key], code = inspect.getsource(thing), thing.__code__
        uses = {used: there[used] for used in _names(code) & set(there)}
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        uses |= dict(zip(code.co_freevars, cells, strict=True))
    else:  # of a value that is no plain one, its or its type's name: the same in every process
        described = lambda v: getattr(v, "__qualname__", type(v).__name__)  # noqa: E731
        sources[key] = f"{name} = {json.dumps(thing, default=described, skipkeys=True)}"
    for used in sorted(uses):
        _collect(used, uses[used], sources)


def _names(code: CodeType) -> set[str]:
    """The names that a function's code, or a function within it, looks up."""
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if inspect.iscode(c)))
