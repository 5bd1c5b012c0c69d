"""EXTENDING.md: each of its blocks, put where it says, does what it says."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from lib.study import paths

TEXT = (paths.ROOT / "EXTENDING.md").read_text("utf-8")
BLOCKS = re.findall(r"```(python|yaml)\n# ([\w./]+)[^\n]*\n(.*?)```", TEXT, re.DOTALL)
(SHELL,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
FILES = {name: content for _, name, content in BLOCKS}


@pytest.fixture
def checkout(tmp_path):
    """A copy of the project with every block in its place: appended, or a file of its own."""
    for name in ("lib", "params"):
        shutil.copytree(paths.ROOT / name, tmp_path / name)
    for name, content in FILES.items():
        if name != "params/with_my_net.yaml":
            with open(tmp_path / name, "a", encoding="utf-8") as file:
                file.write("\n\n" + content if file.tell() else content)
    smoke = yaml.safe_load((tmp_path / "params/smoke.yaml").read_text("utf-8"))
    smoke |= yaml.safe_load(FILES["params/with_my_net.yaml"]) | {"patch_sizes": [32]}
    (tmp_path / "params/with_my_net.yaml").write_text(yaml.safe_dump(smoke), "utf-8")
    return tmp_path


@pytest.fixture
def python(checkout):
    """Runs Python with the copy's `lib`; returns what it printed."""

    def run(*arguments: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(checkout), "PATCHWISE_WORK": str(checkout / "work")}
        env["PATCHWISE_DATA"] = str(checkout / "data")
        done = subprocess.run(
            [sys.executable, *arguments], cwd=checkout, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_every_kind_of_change_is_there():
    assert set(FILES) == {
        *("lib/voting/rules.py", "my_nets.py", "params/with_my_net.yaml"),
        *("lib/data/sources/listed.py", "lib/data/perturbations.py", "params/my_study.yaml"),
        "my_detector.py",
    }


def test_a_rule(python):
    code = """
import numpy as np
from lib.voting import rules
z = np.array([[-9, 8, 7, -1, -1], [-9, -8, 7, 1, 1]], np.float32)
rule = rules.RULES["top3"]
print(rule in rules.voting_on("grid"), rules.title("top3"), rule.fake(rule.score(z)).tolist())
"""
    assert python("-c", code) == "True three most confident [True, False]\n"


def test_a_network(python):
    where = ["--study", "with_my_net", "--dataset", "sim_faces", "--gan", "sim_stylegan2"]
    python("-m", "lib", "pack", "--study", "with_my_net")
    assert "my_nets:Tiny" in python("-m", "lib", "train", *where, "--patch-size", "32")


def test_another_detectors_scores(python):
    python("-m", "lib", "pack", "--study", "smoke")
    by_hand = [line.split() for line in SHELL.splitlines()]
    assert [command for command, *_ in by_hand] == ["python", "python", "papermill"]
    for _, *arguments in by_hand[:2]:
        said = python(*arguments)
    assert "scores of sim_faces-sim_stylegan2 · 64 px · imported · seed 0 · energy" in said
    code = """
from lib import margins
from lib.results import tables
from lib.study import reading
run = reading.run("smoke", "sim_faces", "sim_stylegan2", 64, variant="energy")
sheet = tables.Sheet(run, 1, margins.load(run, run.test))
sheet.patches()
sheet.thresholds("whole", margins.load(run, run.train, "validation"))
sheet.save()
table, left_out = tables.read(reading.load("smoke"))
print(set(table["variant"]), table["statistic"].eq("auc").sum(), left_out)
"""
    assert python("-c", code) == "{'energy'} 1 []\n"


def test_a_source_a_perturbation_and_a_study(python, checkout):
    generator = np.random.default_rng(0)
    for name in ("photographs", "gan"):
        folder = checkout / "data" / name
        folder.mkdir(parents=True)
        for number in range(9):
            pixels = generator.integers(100, 256, (128, 128, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        listed = "\n".join(f"{name}/{number}.png" for number in range(9))
        (checkout / "data" / f"{name}.txt").write_text(listed)
    file = checkout / "params" / "my_study.yaml"
    study = yaml.safe_load(file.read_text("utf-8"))
    study["data"]["per_class"] = {"train": 3, "validation": 2, "test": 4}
    study["cells"]["mine-my_gan"] = {
        "real": {"kind": "listed", "path": "photographs.txt"},
        "fake": {"kind": "files", "path": "gan"},
    }
    study["cells"]["mine_darker-my_gan"] = {"test_images_of": "mine-my_gan", "darker": 0.5}
    file.write_text(yaml.safe_dump(study), "utf-8")
    python("-m", "lib", "pack", "--study", "my_study")
    packed = checkout / "work/data/packed/my_study"
    plain, darker = (np.load(packed / cell / "images.npy") for cell in study["cells"])
    assert len(plain) == 18 and len(darker) == 8
    assert (darker == np.round(plain[:8] * 0.5)).all()
