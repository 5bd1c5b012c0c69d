"""One run of a notebook: its parameters, checked together, and where its files lie."""

import json
import shlex
from pathlib import Path
from typing import Any

from pydantic import model_validator

from lib.patches import check_patch_size
from lib.study import paths
from lib.study.schema import Name, Positive, Seed, Strict, split_cell
from lib.study.study import Study


class Run(Strict):
    """One notebook run: a study, the cell trained on, a patch size, a seed and a variant."""

    study: Study
    dataset: Name
    gan: Name
    patch_size: Positive
    seed: Seed
    test_dataset: Name | None = None
    test_gan: Name | None = None
    overrides: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Run":
        check_patch_size(self.patch_size, self.study.data.image_size)
        self.study.check_cell(self.train, train=True)
        self.study.check_cell(self.test, "test_dataset, test_gan")
        self.study.check_seed(self.seed)
        return self

    @property
    def train(self) -> str:
        """The cell trained on."""
        return f"{self.dataset}-{self.gan}"

    @property
    def test(self) -> str:
        """The cell tested on: the training cell unless Experiment 5 names another."""
        return f"{self.test_dataset or self.dataset}-{self.test_gan or self.gan}"

    def fold(self, cell: str) -> int | None:
        """The fold of a cell on which the network is tested; None if on all of its pictures.

        Of a cell with the training cell's photographs it is the one that the network has not seen:
        a photograph lies in the same fold beside every generator.
        """
        photographs = split_cell(self.study.base(cell))[0]
        return self.seed if self.study.data.folds and photographs == self.dataset else None

    @property
    def summary(self) -> str:
        """One line that says what was run, and on simulated images if it was."""
        tested = "" if self.test == self.train else f", tested on {self.test}"
        kind = "SIMULATED IMAGES · " if self.study.simulated else ""
        how = "scores of" if self.study.imported else "trained on"
        return (
            f"{kind}{self.study.title} · {how} {self.train}{tested} · {self.patch_size} px · "
            f"{self.study.model.name} · seed {self.seed} · {self.variant}"
        )

    @property
    def variant(self) -> str:
        """The variant's name, `plain` for the study's plain protocol."""
        return self.study.variant

    @property
    def is_whole_image(self) -> bool:
        """Whether the one patch is the whole image, on which nothing votes."""
        return self.patch_size == self.study.data.image_size

    def at(self, patch_size: int) -> "Run":
        """The same run at another patch size."""
        return self.model_copy(update={"patch_size": patch_size})

    @property
    def folder(self) -> Path:
        """The folder of the run's network: the plain one's where the variant only votes anew."""
        named = self.train, self.study.networks, self.patch_size, self.seed
        return paths.run(self.study.name, *named)

    @property
    def is_finished(self) -> bool:
        """Whether the network is trained and has scored all that it is to score."""
        return (self.folder / "config.json").is_file()

    def table(self, experiment: int) -> Path:
        """The table that Experiment `experiment` writes for this run."""
        return paths.table(self.study.name, experiment, *self._named)

    def verdicts(self, experiment: int) -> Path:
        """The verdicts beside that table: what each rule says of each image."""
        return paths.verdicts(self.study.name, experiment, *self._named)

    @property
    def _named(self) -> tuple[str, str, str, int, int]:
        return self.train, self.test, self.variant, self.patch_size, self.seed

    def command(self, notebook: str) -> str:
        """The papermill command that runs `notebook` with these parameters."""
        given = {"study": self.study.name, "dataset": self.dataset, "gan": self.gan}
        given |= {"patch_size": self.patch_size, "seed": self.seed, "variant": self.variant}
        flags = " ".join(f"-p {key} {value}" for key, value in given.items())
        if self.overrides:
            flags += " -y " + shlex.quote(json.dumps({"overrides": self.overrides}))
        return f"papermill notebooks/{notebook}.ipynb {notebook}.out.ipynb {flags}"
