"""The sections of a study's file in `params/`: every value is checked, unknown keys are refused."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

NAME = r"^[a-z0-9]+(_[a-z0-9]+)*$"

Name = Annotated[str, Field(pattern=NAME)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Natural = Annotated[int, Field(ge=0, strict=True)]
Crop = Literal["centre", "dlib"]


class ParameterError(ValueError):
    """A parameter is unknown, ill-typed or out of range; the message names key, value, allowed."""


class Strict(BaseModel):
    """A section of a study's file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Files(Strict):
    """Pictures of one class in a folder (nested or not) or a zip, below the DATA folder."""

    kind: Literal["files"]
    path: str


class ImageFolder(Strict):
    """Pictures of one class in a folder or zip whose folders name class, split and category."""

    kind: Literal["imagefolder"]
    path: str
    label: Literal["real", "fake"]
    category: str | None = None
    """Only what lies in folders of this name, such as `airplane`."""


class Celeba(Strict):
    """CelebA: the folder of the aligned pictures (or their zip), the split and the identities."""

    kind: Literal["celeba"]
    path: str


class Lsun(Strict):
    """LSUN: the folder of one category's LMDB database, such as `church_outdoor_train_lmdb`."""

    kind: Literal["lsun"]
    path: str


class TFRecords(Strict):
    """StyleGAN's TFRecords: a file, or a folder of them, of which the highest resolution counts."""

    kind: Literal["tfrecords"]
    path: str


class Simulated(Strict):
    """Simulated pictures: photographs, or with a `generator` the images of a simulated GAN."""

    kind: Literal["simulated"]
    content: Literal["sim_faces", "sim_churches"]
    generator: Literal["sim_stylegan2", "sim_progan"] | None = None


Source = Annotated[
    Files | ImageFolder | Celeba | Lsun | TFRecords | Simulated, Field(discriminator="kind")
]


class Cell(Strict):
    """The two classes of one test cell."""

    real: Source
    fake: Source
    crop: Crop | None = None
    """Instead of the study's, for pictures that show no faces."""

    @property
    def simulated(self) -> bool:
        """Whether any of its pictures are simulated."""
        return "simulated" in (self.real.kind, self.fake.kind)

    @property
    def sources(self) -> list[str]:
        """A line per class that says where its pictures come from."""
        classes = {"real": self.real, "fake": self.fake}
        return [
            f"{name}: {' '.join(str(value) for value in source.model_dump().values() if value)}"
            for name, source in classes.items()
        ]


class Altered(Strict):
    """The test images of another cell, altered in one way: how much does a detector bear?"""

    test_images_of: str
    jpeg_quality: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    """They are compressed as JPEG of this quality, 4:2:0, and decoded again."""
    scale: Annotated[float, Field(gt=0, lt=1)] | None = None
    """They are shrunk by this factor and enlarged back, both with the study's `resample`."""
    blur: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """They are blurred by a Gaussian of this standard deviation, px."""

    @model_validator(mode="after")
    def _one_change(self) -> "Altered":
        if len(self.change) != 1:
            got = ", ".join(self.change) or "none"
            raise ValueError(f"give exactly one of jpeg_quality, scale and blur; got {got}")
        return self

    @property
    def change(self) -> dict[str, float]:
        """The one change, by its key."""
        return self.model_dump(exclude={"test_images_of"}, exclude_none=True)

    @property
    def title(self) -> str:
        """The change in words."""
        if self.jpeg_quality is not None:
            return f"JPEG {self.jpeg_quality}"
        return f"× {self.scale:g} and back" if self.blur is None else f"blur {self.blur:g} px"

    @property
    def sources(self) -> list[str]:
        """A line that says which pictures these are."""
        return [f"the test images of {self.test_images_of}, {self.title}"]


def _which_cell(given: Any) -> str:
    """The model of a cell: an altered one has a key of `Altered`, so that errors are about it."""
    keys = set(given) if isinstance(given, Mapping) else set()
    return "Altered" if isinstance(given, Altered) or keys & set(Altered.model_fields) else "Cell"


AnyCell = Annotated[
    Annotated[Cell, Tag("Cell")] | Annotated[Altered, Tag("Altered")], Discriminator(_which_cell)
]


class PerClass(Strict):
    """Images per class in each split."""

    train: Positive
    validation: Positive
    test: Positive


class Data(Strict):
    """How images are drawn and brought to one size; the same for both classes."""

    seed: Natural = 0
    image_size: int = Field(ge=16, strict=True)
    crop: Crop = "centre"
    """The centre square, or the face that dlib's frontal detector finds."""
    face_margin: float = Field(0.0, ge=0, le=2)
    """With `crop: dlib`, what is added on each side of the face's box, as a share of its side."""
    resample: Literal["lanczos", "bicubic", "bilinear", "area"] = "lanczos"
    jpeg_quality: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    """If given, every image is compressed as JPEG, 4:2:0, once: last, at `image_size`."""
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
    schedule: Literal["constant", "cosine"] = "constant"
    """Whether the learning rate stays, or falls to zero over all steps as half a cosine."""
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
