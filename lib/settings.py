"""The sections of a study's file in `params/`: every value is checked, unknown keys are refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

NAME = r"^[a-z0-9]+(_[a-z0-9]+)*$"

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
    crop: Literal["centre", "dlib"] = "centre"
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
