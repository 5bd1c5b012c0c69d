"""The sections of a study's file in `params/`: every value is checked, unknown keys are refused.

A source's own keys and the alterations of test images are checked by `lib.data.cells`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

NAME = r"[a-z0-9]+(_[a-z0-9]+)*"
CELL_NAME = f"{NAME}-{NAME}"

Name = Annotated[str, Field(pattern=f"^{NAME}$")]
Positive = Annotated[int, Field(ge=1, le=10**7, strict=True)]
Patches = Annotated[int, Field(ge=2, le=10**8, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Place = Annotated[str, Field(min_length=1)]
"""A folder or file, below DATA unless its path is absolute."""
Crop = Literal["centre", "dlib"]


class ParameterError(ValueError):
    """A parameter is unknown, ill-typed or out of range; the message names key, value, allowed."""


class Strict(BaseModel):
    """A section of a study's file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    not_in_files: ClassVar[tuple[str, ...]] = ()  # fields that the reader fills in


class Source(BaseModel):
    """Where the pictures of one class come from: a kind of source, and that source's own keys."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str


class Cell(Strict):
    """The two classes of one test cell."""

    real: Source
    fake: Source
    crop: Crop | None = None  # instead of the study's, for pictures that show no faces
    test: Positive | None = None
    """How many images of each class it is tested with, instead of what `data` says."""

    @property
    def simulated(self) -> bool:
        """Whether any of its pictures are simulated."""
        return "simulated" in (self.real.kind, self.fake.kind)

    @property
    def sources(self) -> list[str]:
        """A line per class that says where its pictures come from."""
        given = {"real": self.real, "fake": self.fake}
        return [f"{k}: {' '.join(str(v) for _, v in keys if v)}" for k, keys in given.items()]


class Altered(BaseModel):
    """The test images of another cell, altered in one way: how much does a detector bear?"""

    model_config = ConfigDict(extra="allow", frozen=True)
    test_images_of: str

    @model_validator(mode="after")
    def _one_change(self) -> "Altered":
        if len(self.change) != 1:
            got = ", ".join(self.change) or "none"
            raise ValueError(f"give exactly one change, as in jpeg_quality: 75; got {got}")
        ((key, value),) = self.change.items()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key}: got {value!r}: Input should be a number")
        return self

    @property
    def change(self) -> dict[str, float]:
        """The one change, by its key."""
        return dict(self.model_extra)

    @property
    def sources(self) -> list[str]:
        """A line that says which pictures these are."""
        ((key, value),) = self.change.items()
        return [f"the test images of {self.test_images_of}, {key} {value:g}"]


def _as_cell(given: Any) -> Cell | Altered:
    """A cell with `test_images_of` is an altered one, so that errors are about its keys."""
    keys = given if isinstance(given, Mapping) else getattr(given, "model_fields_set", ())
    return (Altered if "test_images_of" in keys else Cell).model_validate(given)


AnyCell = Annotated[Cell | Altered, BeforeValidator(_as_cell)]


def split_cell(name: str) -> tuple[str, str]:
    """The dataset and the generator of a cell."""
    return tuple(name.split("-"))


class PerClass(Strict):
    """Images per class in each split."""

    train: Positive
    validation: Positive
    test: Positive


class Preparation(Strict):
    """How a picture is brought to one size; the same for both classes."""

    image_size: int = Field(ge=16, le=4096, strict=True)
    crop: Crop = "centre"  # the centre square, or the face that dlib's frontal detector finds
    face_margin: float = Field(0.0, ge=0, le=2)
    """With `crop: dlib`, what is added on each side of the face's box, as a share of its side."""
    resample: Literal["lanczos", "bicubic", "bilinear", "area"] = "lanczos"
    jpeg_quality: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    """If given, every image is compressed as JPEG, 4:2:0, once: last, at `image_size`."""


class Data(Preparation):
    """How images are drawn, and brought to one size."""

    seed: Seed = 0
    per_class: PerClass | None = None
    folds: Annotated[int, Field(ge=2, le=8, strict=True)] | None = None
    """Instead of `per_class`: every picture is tested once, by a network that has not seen it. Seed
    k trains on all folds but the k-th, an eighth of which validates."""
    most_per_class: Positive | None = None
    """With `folds`, how many pictures of each class are drawn if there are so many."""
    strata: str | None = None
    """With `folds`, a regular expression that finds in a picture's name the group that it is of;
    each group is spread evenly over the folds."""
    max_skipped: float = Field(0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _one_way(self) -> "Data":
        folded = ("folds", "most_per_class", "strata")
        given = [key for key in folded if getattr(self, key) is not None]
        if self.per_class is not None and given:
            raise ValueError(f"got {', '.join(given)} and per_class: with folds leave out that")
        if self.per_class is None and not {"folds", "most_per_class"} <= set(given):
            raise ValueError(
                "give per_class, the images of each class in each split: {train: …, validation: "
                "…, test: …}; or, to test every picture once, folds and most_per_class"
            )
        return self

    @field_validator("strata")
    @classmethod
    def _a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return pattern

    def stratum(self, name: str) -> str:
        """The group that a picture's name tells: the first bracket of `strata`, or all it finds."""
        match = re.search(self.strata, name) if self.strata else None
        return "" if match is None else match[match.re.groups and 1] or ""


class Model(Strict):
    """The backbone: any timm model by name, or a network of one's own as `module:attribute`."""

    name: str = "legacy_xception"
    pretrained: bool = False


class Training(Strict):
    """How a network is trained; the defaults are the paper's and its released code's."""

    epochs: Positive = 50
    batch_size: Patches = 128
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    schedule: Literal["constant", "cosine"] = "constant"
    """Whether the learning rate stays, or falls to zero over all steps as half a cosine."""
    patches_per_epoch: Patches | None = None
    """How many patches an epoch takes at most; all if it is not set."""
    min_patches_per_epoch: Patches | None = None
    """How many it takes at least, going through the patches again where there are fewer."""
    origins: Literal["grid", "aligned", "anywhere"] = "grid"
    """Where the patches lie that are trained on: on the grid; drawn anew in each epoch at multiples
    of 8 px, as a JPEG's blocks lie; or anywhere."""
    flips: bool = False
    """Whether half of the patches, drawn anew in each epoch, are mirrored left to right."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Positive = 1
    """On how many devices a network is trained by the command line, at most as many GPUs as there
    are, or in as many processes on a CPU; the results are the same up to rounding."""

    @model_validator(mode="after")
    def _no_more_than_most(self) -> "Training":
        least, most = self.min_patches_per_epoch or 0, self.patches_per_epoch
        if most is not None and least > most:
            raise ValueError(
                f"min_patches_per_epoch: got {least}, more than patches_per_epoch, {most}; set "
                "both to one number for equal steps at every patch size"
            )
        return self


class Voting(Strict):
    """The voting rules' parameters: θ of Experiment 4, crops per image of Experiment 3."""

    thetas: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [1.0, 0.9, 0.8, 0.7, 0.6], min_length=1
    )
    crops_per_image: Annotated[int, Field(ge=1, le=10**5, strict=True)] | None = None

    @field_validator("crops_per_image")
    @classmethod
    def _odd(cls, count: int | None) -> int | None:
        if count is not None and count % 2 == 0:
            raise ValueError("an odd number, so that crops cannot tie, or null for (S/p)² + 1")
        return count


class Bootstrap(Strict):
    """The intervals: how many resamples of the images, and the seed of their generator."""

    resamples: int = Field(1000, ge=1, le=10**5, strict=True)
    seed: Seed = 0
