"""What is wrong with a parameter, in words: the key, the value got, and what is allowed."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from lib.study.schema import Cell, ParameterError

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 120, 120, 120


def validated(
    model: type[BaseModel], content: Mapping[str, Any], where: str, within: tuple[str, ...] = ()
) -> Any:
    """Makes a model of the keys and values of a section, which lies `within` others in `where`.

    Raises ParameterError: a line per mistake, naming the key, the value got, and what is allowed.
    """
    try:
        return model(**content)
    except ValidationError as error:
        lines = [f"{where}: {_explain(model, problem, within)}" for problem in error.errors()]
        raise ParameterError("\n".join(lines)) from None


def shown(value: object) -> str:
    """What was given, cut short where it is long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes out no more than some thousand digits
        return "a number of thousands of digits"


def unknown(what: str, got: str, allowed: Iterable[str]) -> str:
    """What to say of a name that is none of those allowed; `what` it names, such as a key."""
    return f"unknown {what}; allowed: {', '.join(allowed)}" + suggestion(got, allowed)


def suggestion(got: str, allowed: Iterable[str]) -> str:
    """Of those allowed the name that was probably meant, in brackets, if there is one."""
    close = difflib.get_close_matches(got, list(allowed), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _explain(model: type[BaseModel], problem: Mapping[str, Any], within: tuple[str, ...]) -> str:
    location, message = [str(part) for part in problem["loc"]], problem["msg"]
    key = ".".join([*within, *location])
    if problem["type"] == "extra_forbidden":
        if len(location) > 1 and location[0] == "cells":
            allowed = {*Cell.model_fields, "test_images_of"}
        else:
            for section in location[:-1]:
                annotation = model.model_fields[section].annotation
                model = next(iter(get_args(annotation)), annotation)  # or None, if left out
            allowed = set(model.model_fields) - set(getattr(model, "not_in_files", ()))
        return f"{key}: {unknown('key', location[-1], sorted(allowed))}"
    if problem["type"] == "missing":
        return f"{key}: missing; it must be given"
    got = f"got {shown(problem['input'])}: " if location else ""
    return f"{key}: {got}{message}".removeprefix(": ").replace("Value error, ", "", 1)
