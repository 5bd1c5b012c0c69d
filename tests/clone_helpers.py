"""The project as it would be cloned now, for tests of what a newcomer does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_helpers import ROOT, environment

READY = ("make", "--old-file", ".venv/.ready")  # nothing is installed: this Python has it all


def git(folder: Path, *arguments: str) -> str:
    """Runs git as on a machine without settings; returns what it prints."""
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ["git", "-c", "user.name=Newcomer", "-c", "user.email=newcomer@localhost", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **alone}, capture_output=True, text=True, check=True
    )
    return done.stdout


def clone(folder: Path) -> Path:
    """Makes a repository of the project's files, with what is not committed yet."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a git checkout knows which files belong to the project")
    for name in filter(None, git(ROOT, "ls-files", "-z", "-co", "--exclude-standard").split("\0")):
        if (ROOT / name).is_file():  # a file deleted but not yet committed is still listed
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All")
    return folder


def changed(checkout: Path) -> str:
    """What `git status` lists: changed files, and new ones that are not ignored."""
    return git(checkout, "status", "--porcelain")


def lone(checkout: Path, settings: Path) -> dict[str, str]:
    """The environment of a process in the clone, which uses the clone's `lib`."""
    scripts = str(Path(sys.executable).parent)
    path = scripts + os.pathsep + os.environ["PATH"]
    return environment(settings, PYTHONPATH=checkout, PATH=path)
