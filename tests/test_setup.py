"""The files that say what to install agree, and so do the Python versions they name."""

import re
import subprocess
import tomllib
from importlib.metadata import distribution, version

import pytest
import yaml
from clone_helpers import READY, clone, lone
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.study import paths

PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text("utf-8"))


def pins() -> dict[str, str]:
    """The pinned versions for this Python, by name."""
    lines = (paths.ROOT / "requirements.txt").read_text("utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = [need for need in found if not need.marker or need.marker.evaluate()]
    return {canonicalize_name(need.name): str(need.specifier).removeprefix("==") for need in here}


def asked() -> list[str]:
    project, extras = PROJECT["project"], PROJECT["project"]["optional-dependencies"]
    groups = PROJECT["dependency-groups"]
    always = [*project["dependencies"], *groups["tools"], *groups["test"]]
    return [*always, *extras["face"], *extras["slurm"]]


def closure(lines: list[str]) -> set[str]:
    """All packages that these requirements need here, directly or through others."""
    reached: set[str] = set()
    waiting, known = [Requirement(line) for line in lines], set()
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        reached.add(name)
        for extra in ("", *need.extras):
            if (name, extra) in known:
                continue
            known.add((name, extra))
            wanted = [Requirement(line) for line in distribution(name).requires or []]
            waiting += [n for n in wanted if not n.marker or n.marker.evaluate({"extra": extra})]
    return reached


def test_everything_that_the_project_asks_for_is_pinned():
    for line in asked():
        need = Requirement(line)
        pinned = pins().get(canonicalize_name(need.name))
        assert pinned, f"{need.name} is not in requirements.txt"
        assert need.specifier.contains(pinned), f"{line} against {pinned}"


def test_the_pinned_set_is_closed_and_holds_nothing_else():
    reached = closure(asked())
    # What torch brings for CUDA is pinned by torch itself, and is absent from its CPU build.
    cuda = {name for name in reached if re.match(r"nvidia-|cuda-|triton", name)}
    assert reached - cuda - set(pins()) == set()
    assert set(pins()) - reached - {"setuptools"} == set()


def test_the_pinned_versions_are_the_installed_ones():
    installed = {name: version(name).split("+")[0] for name in pins()}
    assert installed == pins()


def test_the_build_backend_is_pinned_alike():
    assert PROJECT["build-system"]["requires"] == [f"setuptools=={pins()['setuptools']}"]


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((paths.ROOT / "environment.yml").read_text("utf-8"))
    nested = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert nested == ["--requirement requirements.txt", "--no-build-isolation", "--editable ."]
    python = next(d for d in environment["dependencies"] if str(d).startswith("python="))
    assert Requirement("python" + PROJECT["project"]["requires-python"]).specifier.contains(
        python.removeprefix("python=")
    )


def test_continuous_integration_covers_both_pythons():
    workflow = yaml.safe_load((paths.ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12"]
    assert "make test" in (paths.ROOT / ".ci" / "run").read_text()


def test_the_version_is_one():
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT["project"]["version"]


@pytest.mark.parametrize(
    ("target", "name", "said"),
    [
        ("study", "STUDY", "no study"),
        ("study", "DATA", "The report"),
        ("archive", "STUDY", "no study"),
        ("judge", "PICTURES", "there is no such file or folder"),
    ],
)
def test_make_runs_nothing_that_stands_in_a_name(target, name, said, tmp_path):
    checkout = clone(tmp_path / "it's a clone")
    (checkout / "Snakefile").write_text(
        "rule all_packed:\n    output: touch('results/packed')\n"
        if name == "DATA"
        else (checkout / "Snakefile").read_text("utf-8")
    )
    given = "a b; touch ran1 `touch ran2` $(shell touch ran3) $$(touch ran4) \"; touch ran5; 'c"
    for flags in (["-n"], []):
        done = subprocess.run(
            [*READY, *flags, target, f"{name}={given}"],
            cwd=checkout, env=lone(checkout, tmp_path), text=True, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    assert said in done.stdout and not list(tmp_path.rglob("ran?"))
