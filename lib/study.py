"""What a study is: the sections of its file in `params/`, and the parameters of one run.

Every value is checked and unknown keys are refused; `lib.params` reads the files.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lib import paths

NAME = r"^[a-z0-9]+(_[a-z0-9]+)*$"
PLAIN = "plain"

Name = Annotated[str, Field(pattern=NAME)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Natural = Annotated[int, Field(ge=0, strict=True)]


class Strict(BaseModel):
    """A section of a study's file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Files(Strict):
    """Pictures of one class in a folder (nested or not) or a zip, below the DATA folder."""

    kind: Literal["files"]
    path: str


class Simulated(Strict):
    """Simulated pictures: photographs, or with a `generator` the images of a simulated GAN."""

    kind: Literal["simulated"]
    content: Literal["sim_faces", "sim_churches"]
    generator: Literal["sim_stylegan2", "sim_progan"] | None = None


Source = Annotated[Files | Simulated, Field(discriminator="kind")]


class Cell(Strict):
    """The two classes of one test cell."""

    real: Source
    fake: Source

    @property
    def simulated(self) -> bool:
        """Whether any of its pictures are simulated."""
        return "simulated" in (self.real.kind, self.fake.kind)


class PerClass(Strict):
    """Images per class in each split."""

    train: Positive
    validation: Positive
    test: Positive


class Data(Strict):
    """How images are drawn and brought to one size; the same for both classes."""

    seed: Natural = 0
    image_size: int = Field(ge=16, strict=True)
    crop: Literal["centre"] = "centre"
    resample: Literal["lanczos", "bicubic", "bilinear", "area"] = "lanczos"
    per_class: PerClass
    max_skipped: float = Field(0.01, ge=0, le=1)


class Model(Strict):
    """The backbone: any timm model by name."""

    name: str = "legacy_xception"
    pretrained: bool = False


class Training(Strict):
    """How a network is trained; the defaults are the paper's and its released code's."""

    epochs: Positive = 50
    batch_size: int = Field(128, ge=2, strict=True)
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    patches_per_epoch: Annotated[int, Field(ge=2, strict=True)] | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Voting(Strict):
    """The voting rules' parameters: θ of Experiment 4, crops per image of Experiment 3."""

    thetas: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [1.0, 0.9, 0.8, 0.7, 0.6], min_length=1
    )
    crops_per_image: Positive | None = None

    @field_validator("crops_per_image")
    @classmethod
    def _odd(cls, count: int | None) -> int | None:
        if count is not None and count % 2 == 0:
            raise ValueError("an odd number, so that crops cannot tie, or null for (S/p)² + 1")
        return count


class Quirks(Strict):
    """What the released code does instead of what the paper says; all off by default.

    `notebooks/A1_quirks.ipynb` measures them. The first four change what a network sees, so they
    need networks of their own; the others vote anew on stored margins.
    """

    dense_xception: bool = False
    """Every depthwise convolution of the backbone is a dense one: the missing `groups=`, alone."""
    scrambled_layout: bool = False
    """Patches, (p, p, 3) in memory, are read as (3, p, p) without moving a byte."""
    bgr_raw_values: bool = False
    """Channels in the order blue, green, red, with values 0 to 255."""
    strips: bool = False
    """Experiment 5's grid patches are full-width rows of the image, folded into squares."""
    theta_reading: Literal["share", "range", "probability"] = "share"
    """Which reading of θ Experiment 4 leads with; the released code's is `range`."""
    fallback_counts_fake: bool = False
    """A fake image without a confident patch counts as judged rightly."""
    last_patch_only: bool = False
    """Only an image's last patch votes; a real whose last is not confident is left out."""
    even_crops_ties_wrong: bool = False
    """The last crop is left out, so that their number is even, and a tie is wrong in any case."""

    @property
    def of_pixels(self) -> dict[str, bool]:
        """Those that change what a network sees and are switched on."""
        names = ("dense_xception", "scrambled_layout", "bgr_raw_values", "strips")
        return {name: True for name in names if getattr(self, name)}

    @property
    def on(self) -> list[str]:
        """The names of those that are switched on."""
        return [name for name, value in self if value not in (False, "share")]


class Bootstrap(Strict):
    """The intervals: how many resamples of the images, and the seed of their generator."""

    resamples: Positive = 1000
    seed: Natural = 0


class Study(Strict):
    """One study: everything that `params/<study>.yaml` says, with one variant applied."""

    name: Name
    variant: Name = PLAIN
    title: str
    data: Data
    cells: dict[str, Cell] = Field(min_length=1)
    train_on: list[str] = Field(min_length=1)
    patch_sizes: list[Positive] = Field(min_length=1)
    seeds: list[Natural] = Field([0], min_length=1)
    variants: dict[Name, dict[str, Any]] = {}
    deviations: list[str] = []
    model: Model = Model()
    training: Training = Training()
    voting: Voting = Voting()
    quirks: Quirks = Quirks()
    bootstrap: Bootstrap = Bootstrap()
    networks: Name = Field(default_factory=lambda found: found.get("variant", PLAIN))
    """The variant whose networks vote: its own, or `plain` where it only votes anew."""

    @field_validator("cells")
    @classmethod
    def _cell_names(cls, cells: dict[str, Cell]) -> dict[str, Cell]:
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
        for cell in self.train_on:
            if cell not in self.cells:
                raise ValueError(f"train_on: no cell {cell!r}; the cells are {sorted(self.cells)}")
        return self

    @property
    def simulated(self) -> bool:
        """Whether any cell holds simulated pictures, which every result must then say."""
        return any(cell.simulated for cell in self.cells.values())

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
                known = ", ".join(sorted(self.study.cells))
                raise ValueError(f"study {self.study.name!r} has no cell {cell!r}; it has {known}")
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
