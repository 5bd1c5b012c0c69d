"""One study: what its file in `params/` says, checked as a whole; `lib.study.reading` reads it."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from lib.patches import check_patch_size
from lib.study import schema
from lib.study.errors import suggestion
from lib.study.quirks import Quirks
from lib.study.schema import CELL_NAME, Altered, Name, ParameterError, Positive, Seed, Strict

PLAIN = "plain"
PAPERS_SIDE = 256  # px, of the paper's images
IMPORTED = "imported"
"""The model's name where scores are another detector's: there is no network."""


class Study(Strict):
    """One study: everything that `params/<study>.yaml` says, with one variant applied."""

    not_in_files: ClassVar[tuple[str, ...]] = ("name", "variant", "networks")

    name: Name
    variant: Name = PLAIN
    title: str
    data: schema.Data
    cells: dict[str, schema.AnyCell] = Field(min_length=1)
    train_on: list[str] = Field(min_length=1)
    patch_sizes: list[Positive] = Field(min_length=1)
    seeds: list[Seed] = Field([0], min_length=1)
    """The training seeds; with `data.folds` the folds, all of them if not given."""
    variants: dict[Name, dict[str, Any]] = {}
    deviations: list[str] = []
    show_pictures: bool = True
    """Whether the report shows some of the pictures, or where they are judged fake alone."""
    model: schema.Model = schema.Model()
    training: schema.Training = schema.Training()
    voting: schema.Voting = schema.Voting()
    quirks: Quirks = Quirks()
    bootstrap: schema.Bootstrap = schema.Bootstrap()
    networks: Name = Field(default_factory=lambda fields: fields.get("variant", PLAIN))
    """The variant whose networks vote: its own, or `plain` where it only votes anew."""

    @model_validator(mode="before")
    @classmethod
    def _seeds_of_folds(cls, content: Any) -> Any:
        data = content.get("data")
        folds = data.get("folds") if isinstance(data, Mapping) else None
        every = {"seeds": list(range(folds))} if isinstance(folds, int) else {}
        return {**every, **content}

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for key in ("patch_sizes", "seeds", "train_on"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: got {getattr(self, key)}: each may stand there once")
        if PLAIN in self.variants:
            raise ValueError(f"variants: {PLAIN!r} is the study's own protocol; name it otherwise")
        for size in self.patch_sizes:
            check_patch_size(size, self.data.image_size)
        for seed in self.seeds:
            self.check_seed(seed, "seeds")
        if self.quirks.even_crops_ties_wrong and self.voting.crops_per_image == 1:
            raise ValueError("quirks.even_crops_ties_wrong: of crops_per_image: 1 it leaves none")
        unaltered = sorted(set(self.cells) - set(self.altered()))
        for name in self.cells:
            if not re.fullmatch(CELL_NAME, name):
                allowed = "lower-case letters, digits and single underscores"
                raise ValueError(f"cell {name!r}: write <dataset>-<gan>, each of {allowed}")
            if (base := self.base(name)) not in unaltered:
                why = "is altered itself" if base in self.cells else "is no cell"
                allowed = f"it can be one of {unaltered}"
                raise ValueError(f"cell {name!r}: test_images_of: {base!r} {why}; {allowed}")
        for cell in self.train_on:
            self.check_cell(cell, "train_on", train=True)
        photographs = {schema.split_cell(cell)[0] for cell in self.train_on if self.data.folds}
        for name in set(self.cells) - set(self.altered()):
            if self.cells[name].test and schema.split_cell(name)[0] in photographs:
                raise ValueError(
                    f"cell {name!r}: test: got {self.cells[name].test}; leave it out. In folds its "
                    "photographs, on which others are trained, must all be there, to be judged by "
                    "networks that have not seen them; of fakes it takes as many as there are"
                )
        return self

    def check_cell(self, cell: str, key: str = "dataset, gan", *, train: bool = False) -> None:
        """Raises ParameterError, under `key`, if there is no such cell to test, or to train, on."""
        if cell not in self.cells:
            known = ", ".join(sorted(self.cells)) + suggestion(cell, self.cells)
            raise ParameterError(f"{key}: study {self.name!r} has no cell {cell!r}; it has {known}")
        if train and self.base(cell) != cell:
            raise ParameterError(
                f"{key}: cell {cell!r} holds the altered test images of {self.base(cell)!r}: it "
                "is only tested on; train on that one, or on another"
            )

    def check_seed(self, seed: int, key: str = "seed") -> None:
        """Raises ParameterError, under `key`, if the seed is none of the study's folds."""
        folds = self.data.folds
        if folds and seed >= folds:
            raise ParameterError(
                f"{key}: got {seed}; seed k is tested on the k-th of data.folds = {folds}, so it "
                f"can be 0 to {folds - 1}"
            )

    def base(self, cell: str) -> str:
        """The cell that a cell's pictures were drawn for: itself, or the one that it alters."""
        definition = self.cells[cell]
        return definition.test_images_of if isinstance(definition, Altered) else cell

    def data_of(self, cell: str) -> schema.Data:
        """How the pictures of a cell are drawn and brought to one size."""
        given, data = self.cells[cell], self.data
        changed: dict[str, Any] = {"crop": given.crop or data.crop}
        if given.test and data.per_class:
            changed["per_class"] = data.per_class.model_copy(update={"test": given.test})
        elif given.test:
            changed["most_per_class"] = given.test
        return data.model_copy(update=changed)

    def others(self, train: str) -> list[str]:
        """The cells beside a training cell that hold pictures of their own."""
        return [cell for cell in self.cells if cell != train and self.base(cell) == cell]

    def altered(self, train: str | None = None) -> dict[str, Altered]:
        """The cells of altered test images: those of a training cell, or all."""
        altered = {k: cell for k, cell in self.cells.items() if isinstance(cell, Altered)}
        return {k: cell for k, cell in altered.items() if train in (None, cell.test_images_of)}

    def role(self, cell: str, train: str) -> str:
        """What a test cell is beside the training cell."""
        if self.base(cell) != cell:
            whose = "the training cell's" if self.base(cell) == train else f"{self.base(cell)}'s"
            return f"{whose} test images, altered"
        return "matched" if cell == train else "other"

    @property
    def simulated(self) -> bool:
        """Whether any cell holds simulated pictures, which every result must then say."""
        return any(self.is_simulated(cell) for cell in self.cells)

    def is_simulated(self, cell: str) -> bool:
        """Whether a cell holds simulated pictures, as an altered one does where its base does."""
        return self.cells[self.base(cell)].simulated

    @property
    def imported(self) -> bool:
        """Whether its margins are another detector's scores, which `lib.imported` stored."""
        return self.model.name == IMPORTED

    @property
    def network_protocol(self) -> dict[str, Any]:
        """The sections that networks and their margins depend on."""
        sections = {
            "data": self.data.model_dump(exclude={"max_skipped", "per_class", "most_per_class"}),
            "model": self.model.model_dump(),
        }
        if self.imported:
            return sections
        return sections | {
            "training": self.training.model_dump(exclude={"device", "devices", "precision"}),
            "quirks": self.quirks.of_networks,
        }

    def in_paper(self, size: int) -> int:
        """The size in px that a size counts as in the paper, whose images have 256 px.

        Of smaller images that is the same share of the side; sizes of larger ones stay.
        """
        side = self.data.image_size
        return size * PAPERS_SIDE // side if side < PAPERS_SIDE else size

    def crops(self, patch_size: int) -> int:
        """Random crops per image, an odd number: (S/p)² + 1, or one more, if the file has none."""
        default = (self.data.image_size // patch_size) ** 2 + 1
        return self.voting.crops_per_image or default | 1
