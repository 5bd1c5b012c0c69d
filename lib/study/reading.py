"""Reading studies: `params/<study>.yaml`, with a variant's changes and a notebook's overrides.

A *variant* changes some sections of a study's file, a notebook's `overrides` change them
further, and another detector's scores, once stored, are one too: whatever departs from the plain
protocol has a variant's name. What is wrong is raised as a ParameterError, which names the key, the
value got, and what is allowed.
"""

import ast
import textwrap
from collections.abc import Mapping
from typing import Any

import yaml

from lib.study import paths
from lib.study.errors import shown, suggestion, unknown, validated
from lib.study.run import Run
from lib.study.schema import ParameterError
from lib.study.study import IMPORTED, PLAIN, Study

VARIABLE_SECTIONS = ("model", "training", "voting", "quirks", "bootstrap")
RESTRICTIONS = ("patch_sizes", "seeds")  # a variant in a file may be run at some of them only
RUN_PARAMETERS = ("study", "dataset", "gan", "patch_size", "seed", "variant", "overrides")
TEST_PARAMETERS = ("test_dataset", "test_gan")


def studies() -> list[str]:
    """The names of the studies in `params/`."""
    return sorted(path.stem for path in paths.PARAMS.glob("*.yaml"))


def load(name: str, variant: str = PLAIN, overrides: Mapping[str, Any] | None = None) -> Study:
    """Reads and checks a study, with a variant that its file defines or that names `overrides`."""
    content, overrides = _read(name), _mapping(overrides or {}, "overrides")
    plain = _study(name, PLAIN, content)
    content["variants"] = _imported(name) | plain.variants
    plain = plain.model_copy(update={"variants": content["variants"]})
    if overrides and variant == PLAIN:
        raise ParameterError(
            f"overrides: {overrides} depart from the plain protocol: give them a name, "
            "as in variant='my_variant', so that their results stand apart"
        )
    if variant not in (PLAIN, *plain.variants) and not overrides:
        known = ", ".join([PLAIN, *plain.variants])
        raise ParameterError(f"variant: study {name!r} has no {variant!r}; it has {known}")
    if overrides and variant in plain.variants:
        raise ParameterError(
            f"variant: study {name!r} has {variant!r} already, whose results overrides would "
            "replace; give them a name of their own, such as my_variant"
        )
    content = _changed(content, plain.variants.get(variant, {}), *RESTRICTIONS)
    study = _study(name, variant, _changed(content, overrides))
    return study.model_copy(update={"networks": PLAIN}) if _same_networks(study, plain) else study


def _read(name: str) -> dict[str, Any]:
    file = paths.PARAMS / f"{name}.yaml"
    if not file.is_file():
        raise ParameterError(f"study: no study {name!r}; there are {', '.join(studies())}")
    try:
        return _mapping(yaml.load(file.read_bytes(), _Loader), f"params/{name}.yaml")
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date without such a day, say
        why = textwrap.shorten(str(error), 600, placeholder=" …")
        raise ParameterError(f"params/{name}.yaml: not YAML: {why}") from None


def _imported(name: str) -> dict[str, dict[str, Any]]:
    """The variants that are another detector's scores, at the sizes and seeds that are stored."""
    variants: dict[str, dict[str, Any]] = {}
    for _, variant, size, seed in paths.imported(name):
        change = variants.setdefault(variant, {"model": {"name": IMPORTED}})
        change["patch_sizes"] = sorted({*change.get("patch_sizes", ()), size})
        change["seeds"] = sorted({*change.get("seeds", ()), seed})
    return variants


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which lets the last of two alike keys win; here they are refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """A mapping of texts, each of which stands there once."""
        keys: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str" and key.tag != "tag:yaml.org,2002:merge":
                why = f"got {shown(key.value)} as a key; keys are text, such as epochs"
                raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)
            if key.value in keys:
                why = f"{shown(key.value)} stands there twice; keep one of them"
                raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        got = shown(value)
        raise ParameterError(f"{where}: got {got}; it must be a mapping of keys to values")
    return dict(value)


def _study(name: str, variant: str, content: dict[str, Any]) -> Study:
    named = {"name": name, "variant": variant, "networks": variant}
    return validated(Study, {**content, **named}, f"params/{name}.yaml")


def _same_networks(study: Study, plain: Study) -> bool:
    """Whether the plain networks and their margins serve a variant, which then only votes anew."""
    if study.training.precision != plain.training.precision:
        return False
    sizes = {*study.patch_sizes, *plain.patch_sizes}
    same_crops = all(study.crops(size) == plain.crops(size) for size in sizes)
    return same_crops and study.network_protocol == plain.network_protocol


def _changed(content: dict[str, Any], change: Mapping[str, Any], *also: str) -> dict[str, Any]:
    allowed = (*VARIABLE_SECTIONS, *also)
    for section in change:
        if section not in allowed:
            raise ParameterError(
                f"{section}: a variant can change {', '.join(allowed)}; "
                "for anything else make a new study file in params/" + suggestion(section, allowed)
            )
    return _merge(content, change)


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def run(
    study: str,
    dataset: str,
    gan: str,
    patch_size: int,
    seed: int = 0,
    variant: str = PLAIN,
    overrides: Mapping[str, Any] | None = None,
    **tested: str,
) -> Run:
    """Checks the parameters of one run, with `TEST_PARAMETERS` if another cell is tested on."""
    given = {"dataset": dataset, "gan": gan, "patch_size": patch_size, "seed": seed, **tested}
    given |= {"study": load(study, variant, overrides), "overrides": overrides or {}}
    return validated(Run, given, "parameters of the run")


def variant_of(run: Run, variant: str, overrides: Mapping[str, Any]) -> Run:
    """The same run under a variant's name, with changes beyond those that it has already."""
    changes = run.study.variants.get(run.variant, {})
    changes = {key: value for key, value in changes.items() if key in VARIABLE_SECTIONS}
    changes = _merge(_merge(changes, run.overrides), _mapping(overrides, "overrides"))
    study = load(run.study.name, variant, changes)
    return run.model_copy(update={"study": study, "overrides": changes})


def cell(study: str, dataset: str, gan: str) -> tuple[Study, str]:
    """A study and the name of one of its cells."""
    loaded, name = load(study), f"{dataset}-{gan}"
    loaded.check_cell(name)
    return loaded, name


def from_notebook(
    namespace: Mapping[str, Any], also: tuple[str, ...] = (), *, votes: bool = False
) -> Run:
    """The run that a notebook's parameters, in its `globals()`, describe.

    Experiment 5 has `also` the `TEST_PARAMETERS`. Where patches vote, the whole image, one patch,
    is no patch size.
    """
    asked = run(**_given(namespace, *RUN_PARAMETERS, *also))
    if votes and asked.is_whole_image:
        smaller = [size for size in asked.study.patch_sizes if size < asked.patch_size]
        raise ParameterError(
            f"patch_size: {asked.patch_size} px is the whole image, one patch, and nothing votes; "
            f"the study's smaller sizes are {smaller}"
        )
    if also and asked.test == asked.train:
        others = ", ".join(sorted(set(asked.study.cells) - {asked.train})) or "none"
        raise ParameterError(
            f"test_dataset, test_gan: {asked.test} is the cell trained on, which Experiments 1 "
            f"to 4 test; other cells are {others}"
        )
    return asked


def cell_from_notebook(namespace: Mapping[str, Any]) -> tuple[Study, str]:
    """The study and the cell that `study`, `dataset` and `gan` name; see `from_notebook`."""
    return cell(**_given(namespace, "study", "dataset", "gan"))


def study_from_notebook(namespace: Mapping[str, Any]) -> Study:
    """The study that the parameter `study` names; see `from_notebook`."""
    return load(_given(namespace, "study")["study"])


def _given(namespace: Mapping[str, Any], *allowed: str) -> dict[str, Any]:
    """A notebook's parameters; refuses any that papermill injected beside them.

    It only warns of them, so what it injected is looked up in the notebook's input history.
    """
    injected = [cell for cell in namespace.get("In", []) if cell.startswith("# Parameters\n")]
    for statement in ast.parse(injected[-1]).body if injected else []:
        for target in statement.targets if isinstance(statement, ast.Assign) else []:
            if isinstance(target, ast.Name) and target.id not in allowed:
                raise ParameterError(f"{target.id}: {unknown('parameter', target.id, allowed)}")
    return {key: namespace[key] for key in allowed}
