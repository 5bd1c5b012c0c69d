"""Reading studies: `params/<study>.yaml`, with a variant's changes and a notebook's overrides.

A *variant* changes some sections of a study's file, a notebook's `overrides` change them
further; whatever departs from the plain protocol has a variant's name.
"""

import ast
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from lib import paths
from lib.settings import ParameterError
from lib.study import PLAIN, Run, Study, no_such_cell

VARIABLE_SECTIONS = ("model", "training", "voting", "quirks", "bootstrap")
RESTRICTIONS = ("patch_sizes", "seeds")  # a variant in a file may be run at some of them only
RUN_PARAMETERS = ("study", "dataset", "gan", "patch_size", "seed", "variant", "overrides")
TEST_PARAMETERS = ("test_dataset", "test_gan")


def studies() -> list[str]:
    """The names of the studies in `params/`."""
    return sorted(path.stem for path in paths.PARAMS.glob("*.yaml"))


def load(name: str, variant: str = PLAIN, overrides: Mapping[str, Any] | None = None) -> Study:
    """Reads and checks one study.

    Args:
        name: the study: `params/<name>.yaml`.
        variant: a variant that the file defines, or a new name for the given `overrides`.
        overrides: a mapping over the file's variable sections; a variant must name it.

    Raises:
        ParameterError: naming the key, the value got, and what is allowed.
    """
    file = paths.PARAMS / f"{name}.yaml"
    if not file.is_file():
        raise ParameterError(f"study: no study {name!r}; there are {', '.join(studies())}")
    content = _read(file)
    variants = _mapping(content.get("variants", {}), f"params/{name}.yaml: variants")
    changes = _mapping(variants.get(variant, {}), f"params/{name}.yaml: variants.{variant}")
    overrides = _mapping(overrides or {}, "overrides")
    if overrides and variant == PLAIN:
        raise ParameterError(
            f"overrides: {overrides} depart from the plain protocol: give them a name, "
            "as in variant='my_variant', so that their results stand apart"
        )
    if variant not in (PLAIN, *variants) and not overrides:
        known = ", ".join([PLAIN, *variants])
        raise ParameterError(f"variant: study {name!r} has no {variant!r}; it has {known}")
    _check_sections(changes, (*VARIABLE_SECTIONS, *RESTRICTIONS))
    _check_sections(overrides, VARIABLE_SECTIONS)
    named, where = {"name": name, "variant": variant, "networks": variant}, f"params/{name}.yaml"
    plain = _validated(Study, {**content, **named}, where)
    study = _validated(Study, {**_merge(_merge(content, changes), overrides), **named}, where)
    if _same_networks(study, plain):
        return study.model_copy(update={"networks": PLAIN})
    return study


def _same_networks(study: Study, plain: Study) -> bool:
    """Whether the plain networks and their margins serve a variant, which then only votes anew."""
    if study.training.precision != plain.training.precision:
        return False
    sizes = {*study.patch_sizes, *plain.patch_sizes}
    same_crops = all(study.crops(size) == plain.crops(size) for size in sizes)
    return same_crops and study.network_protocol == plain.network_protocol


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ParameterError(f"params/{file.name}: not YAML: {error}") from None
    return _mapping(content, f"params/{file.name}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ParameterError(f"{where}: got {value!r}; it must be a mapping of keys to values")
    return dict(value)


def run(
    study: str,
    dataset: str,
    gan: str,
    patch_size: int,
    seed: int = 0,
    variant: str = PLAIN,
    overrides: Mapping[str, Any] | None = None,
    test_dataset: str | None = None,
    test_gan: str | None = None,
) -> Run:
    """Checks the parameters of one run; see `Run` and `load`.

    Raises:
        ParameterError: naming the key, the value got, and what is allowed.
    """
    given = {"dataset": dataset, "gan": gan, "patch_size": patch_size, "seed": seed}
    tested = {"test_dataset": test_dataset, "test_gan": test_gan}
    loaded = {"study": load(study, variant, overrides), "overrides": overrides or {}}
    return _validated(Run, {**loaded, **given, **tested}, "parameters of the run")


def cell(study: str, dataset: str, gan: str) -> tuple[Study, str]:
    """A study and the name of one of its cells.

    Raises:
        ParameterError: naming the study or the cell, and those that there are.
    """
    found, name = load(study), f"{dataset}-{gan}"
    if name not in found.cells:
        raise ParameterError(no_such_cell(found, name))
    return found, name


def from_notebook(
    namespace: Mapping[str, Any], also: tuple[str, ...] = (), *, votes: bool = False
) -> Run:
    """The run that a notebook's parameters describe.

    Args:
        namespace: the notebook's `globals()`. papermill only warns of parameters that a notebook
            does not have, so those it injected are looked up in the notebook's input history.
        also: parameters beyond `RUN_PARAMETERS`: Experiment 5's `TEST_PARAMETERS`.
        votes: whether patches vote in it, so that the whole image, one patch, is no patch size.

    Raises:
        ParameterError: naming the key, the value got, and what is allowed.
    """
    found = run(**_given(namespace, [*RUN_PARAMETERS, *also]))
    if votes and found.is_whole_image:
        smaller = [size for size in found.study.patch_sizes if size < found.patch_size]
        raise ParameterError(
            f"patch_size: {found.patch_size} px is the whole image, one patch, and nothing votes; "
            f"the study's smaller sizes are {smaller}"
        )
    if also and found.test == found.train:
        others = sorted(set(found.study.cells) - {found.train})
        raise ParameterError(
            f"test_dataset, test_gan: {found.test} is the cell trained on, which Experiments 1 "
            f"to 4 test; other cells are {', '.join(others) or 'none'}"
        )
    return found


def cell_from_notebook(namespace: Mapping[str, Any]) -> tuple[Study, str]:
    """The study and the cell that `study`, `dataset` and `gan` name; see `from_notebook`."""
    return cell(**_given(namespace, ["study", "dataset", "gan"]))


def study_from_notebook(namespace: Mapping[str, Any]) -> Study:
    """The study that the parameter `study` names; see `from_notebook`."""
    return load(_given(namespace, ["study"])["study"])


def _given(namespace: Mapping[str, Any], allowed: list[str]) -> dict[str, Any]:
    """A notebook's parameters; refuses any that papermill injected beside them."""
    injected = [cell for cell in namespace.get("In", []) if cell.startswith("# Parameters\n")]
    for statement in ast.parse(injected[-1]).body if injected else []:
        for target in statement.targets if isinstance(statement, ast.Assign) else []:
            if isinstance(target, ast.Name) and target.id not in allowed:
                raise ParameterError(
                    f"{target.id}: unknown parameter; allowed: {', '.join(allowed)}"
                    + _suggestion(target.id, allowed)
                )
    return {key: namespace[key] for key in allowed}


def _check_sections(change: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for section in change:
        if section not in allowed:
            raise ParameterError(
                f"{section}: a variant can change {', '.join(allowed)}; "
                "for anything else make a new study file in params/" + _suggestion(section, allowed)
            )


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _validated(model: type[BaseModel], content: Mapping[str, Any], where: str) -> Any:
    try:
        return model(**content)
    except ValidationError as error:
        lines = [_explain(model, problem) for problem in error.errors()]
        raise ParameterError("\n".join(f"{where}: {line}" for line in lines)) from None


def _explain(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    """One line of a pydantic error: the key, the value got, what is allowed."""
    location = [str(part) for part in problem["loc"]]
    key, message = ".".join(_keys(location)), problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        allowed = _siblings(model, location)
        return f"{key}: unknown key; allowed: {', '.join(allowed)}" + _suggestion(
            location[-1], allowed
        )
    if problem["type"] == "missing":
        return f"{key}: missing; it must be given"
    return f"{key}: got {problem['input']!r}: {message}" if key else message


def _keys(location: list[str]) -> list[str]:
    """The keys of a location, without the tag that says which model of a cell was meant."""
    return location[:2] + location[3:] if location[:1] == ["cells"] else location


def _siblings(model: type[BaseModel], location: list[str]) -> list[str]:
    """The keys allowed beside the last one of `location`, a path of keys from `model` down."""
    models = [model]
    for part in location[:-1]:
        kinds = [m for m in models if part in (m.__name__, *_kinds(m))]
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = kinds or [inner for field in fields for inner in _models(field)] or models
    hidden = ("name", "variant", "networks") if models == [Study] else ()
    return sorted({key for m in models for key in m.model_fields if key not in hidden})


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """The values of `kind` by which a source's model is chosen; a cell's has its name instead."""
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `dict[str, AnyCell]` or `Files | Simulated`."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [inner for argument in get_args(annotation) for inner in _models(argument)]


def _suggestion(got: str, allowed: list[str] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(got, allowed, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
