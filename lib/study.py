"""What a study is: the sections of its file in `params/`, and the parameters of one run.

Every value is checked and unknown keys are refused; `lib.params` reads the files.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from lib import paths
from lib.settings import (
    NAME,
    Altered,
    AnyCell,
    Bootstrap,
    Data,
    Model,
    Name,
    Natural,
    Positive,
    Quirks,
    Strict,
    Training,
    Voting,
)

PLAIN = "plain"


class Study(Strict):
    """One study: everything that `params/<study>.yaml` says, with one variant applied."""

    name: Name
    variant: Name = PLAIN
    title: str
    data: Data
    cells: dict[str, AnyCell] = Field(min_length=1)
    train_on: list[str] = Field(min_length=1)
    patch_sizes: list[Positive] = Field(min_length=1)
    seeds: list[Natural] = Field([0], min_length=1)
    variants: dict[Name, dict[str, Any]] = {}
    deviations: list[str] = []
    show_pictures: bool = True
    """Whether the report shows some of the pictures, or where they are judged fake alone."""
    model: Model = Model()
    training: Training = Training()
    voting: Voting = Voting()
    quirks: Quirks = Quirks()
    bootstrap: Bootstrap = Bootstrap()
    networks: Name = Field(default_factory=lambda found: found.get("variant", PLAIN))
    """The variant whose networks vote: its own, or `plain` where it only votes anew."""

    @field_validator("cells")
    @classmethod
    def _cell_names(cls, cells: dict[str, AnyCell]) -> dict[str, AnyCell]:
        for name in cells:
            dataset, dash, gan = name.partition("-")
            if not (dash and re.fullmatch(NAME, dataset) and re.fullmatch(NAME, gan)):
                raise ValueError(
                    f"cell {name!r}: write <dataset>-<gan>, each of lower-case letters, digits "
                    "and single underscores"
                )
        return cells

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for key in ("patch_sizes", "seeds", "train_on"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: got {getattr(self, key)}: each may stand there once")
        if PLAIN in self.variants:
            raise ValueError(f"variants: {PLAIN!r} is the study's own protocol; name it otherwise")
        for size in self.patch_sizes:
            check_patch_size(size, self.data.image_size)
        for name, altered in self.altered().items():
            check_altered(self, name, altered)
        for cell in self.train_on:
            if cell not in self.cells:
                raise ValueError(f"train_on: no cell {cell!r}; the cells are {sorted(self.cells)}")
            check_trainable(self, cell)
        return self

    def base(self, cell: str) -> str:
        """The cell that a cell's pictures were drawn for: itself, or the one that it alters."""
        found = self.cells[cell]
        return found.test_images_of if isinstance(found, Altered) else cell

    def data_of(self, cell: str) -> Data:
        """How the pictures of a cell are drawn and brought to one size."""
        crop = self.cells[cell].crop or self.data.crop
        return self.data.model_copy(update={"crop": crop})

    def others(self, train: str) -> list[str]:
        """The cells beside a training cell that hold pictures of their own."""
        return [cell for cell in self.cells if cell != train and self.base(cell) == cell]

    def altered(self, train: str | None = None) -> dict[str, Altered]:
        """The cells of altered test images: those of a training cell, or all."""
        found = {name: cell for name, cell in self.cells.items() if isinstance(cell, Altered)}
        return {name: cell for name, cell in found.items() if train in (None, cell.test_images_of)}

    def role(self, cell: str, train: str) -> str:
        """What a test cell is beside the training cell."""
        found = self.cells[cell]
        if isinstance(found, Altered):
            whose = "the training cell's" if self.base(cell) == train else f"{self.base(cell)}'s"
            return f"{whose} test images, {found.title}"
        return "matched" if cell == train else "other"

    @property
    def simulated(self) -> bool:
        """Whether any cell holds simulated pictures, which every result must then say."""
        return any(self.is_simulated(cell) for cell in self.cells)

    def is_simulated(self, cell: str) -> bool:
        """Whether a cell holds simulated pictures, as an altered one does where its base does."""
        return self.cells[self.base(cell)].simulated

    @property
    def network_protocol(self) -> dict[str, Any]:
        """The sections that networks and their margins depend on."""
        return {
            "data": self.data.model_dump(exclude={"max_skipped", "per_class"}),
            "model": self.model.model_dump(),
            "training": self.training.model_dump(exclude={"device", "precision"}),
            "quirks": self.quirks.of_pixels,
        }

    def crops(self, patch_size: int) -> int:
        """Random crops per image: (S/p)² + 1 unless the study's file says otherwise.

        Where S/p is odd, one more, since the number must be odd.
        """
        default = (self.data.image_size // patch_size) ** 2 + 1
        return self.voting.crops_per_image or default | 1


class Run(Strict):
    """One notebook run: a study, the cell trained on, a patch size, a seed and a variant."""

    study: Study
    dataset: Name
    gan: Name
    patch_size: Positive
    seed: Natural
    test_dataset: Name | None = None
    test_gan: Name | None = None
    overrides: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Run":
        check_patch_size(self.patch_size, self.study.data.image_size)
        for cell in (self.train, self.test):
            if cell not in self.study.cells:
                raise ValueError(no_such_cell(self.study, cell))
        check_trainable(self.study, self.train)
        return self

    @property
    def train(self) -> str:
        """The cell trained on."""
        return f"{self.dataset}-{self.gan}"

    @property
    def test(self) -> str:
        """The cell tested on: the training cell unless Experiment 5 names another."""
        return f"{self.test_dataset or self.dataset}-{self.test_gan or self.gan}"

    @property
    def summary(self) -> str:
        """One line that says what was run, and on simulated images if it was."""
        tested = "" if self.test == self.train else f", tested on {self.test}"
        kind = "SIMULATED IMAGES · " if self.study.simulated else ""
        return (
            f"{kind}{self.study.title} · trained on {self.train}{tested} · {self.patch_size} px · "
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
        return paths.run(
            self.study.name, self.train, self.study.networks, self.patch_size, self.seed
        )

    @property
    def is_finished(self) -> bool:
        """Whether the network is trained and has scored all that it is to score."""
        return (self.folder / "config.json").is_file()

    def table(self, experiment: int) -> Path:
        """The table that Experiment `experiment` writes for this run."""
        return paths.table(
            self.study.name,
            experiment,
            self.train,
            self.test,
            self.variant,
            self.patch_size,
            self.seed,
        )

    def command(self, notebook: str) -> str:
        """The papermill command that runs `notebook` with these parameters."""
        given = {
            "study": self.study.name,
            "dataset": self.dataset,
            "gan": self.gan,
            "patch_size": self.patch_size,
            "seed": self.seed,
            "variant": self.variant,
        }
        flags = " ".join(f"-p {key} {value}" for key, value in given.items())
        if self.overrides:
            flags += " -y " + shlex.quote(json.dumps({"overrides": self.overrides}))
        return f"papermill notebooks/{notebook}.ipynb {notebook}.out.ipynb {flags}"


def check_patch_size(patch_size: int, image_size: int) -> None:
    """Raises ValueError unless patches of `patch_size` px tile an image of `image_size` px."""
    if image_size % patch_size:
        divisors = [d for d in range(8, image_size + 1) if image_size % d == 0]
        raise ValueError(
            f"patch_size: {patch_size} does not divide the image size {image_size}; "
            f"it can be one of {divisors}"
        )


def no_such_cell(study: Study, cell: str) -> str:
    """What to say of a cell that a study does not have."""
    return f"study {study.name!r} has no cell {cell!r}; it has {', '.join(sorted(study.cells))}"


def check_trainable(study: Study, cell: str) -> None:
    """Raises ValueError if a cell holds altered test images, on which no network is trained."""
    if study.base(cell) != cell:
        raise ValueError(
            f"cell {cell!r} holds the altered test images of {study.base(cell)!r}: it is only "
            "tested on; train on that one, or on another"
        )


def check_altered(study: Study, name: str, cell: Altered) -> None:
    """Raises ValueError unless a cell alters, visibly, the images of an unaltered cell."""
    unaltered = sorted(set(study.cells) - set(study.altered()))
    if cell.test_images_of not in unaltered:
        why = "is altered itself" if cell.test_images_of in study.cells else "is no cell"
        raise ValueError(
            f"cell {name!r}: test_images_of: {cell.test_images_of!r} {why}; "
            f"it can be one of {unaltered}"
        )
    size = study.data.image_size
    if cell.scale is not None and not 1 <= round(size * cell.scale) < size:
        raise ValueError(
            f"cell {name!r}: scale: {cell.scale} of {size} px is {round(size * cell.scale)} px; "
            f"it must come to 1 to {size - 1} px"
        )
