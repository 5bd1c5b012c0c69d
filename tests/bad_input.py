"""Bad input as data: each kind, how it is made, and what must be said of it.

The tests and the campaign (`python -m tests.campaign`) go through the same table. What is bad is a
file that was made here and damaged since, a study's file, an argument, a picture, or the disk.
"""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml
from matplotlib import rc_context
from PIL import Image
from safetensors.numpy import load_file, save_file
from vote_helpers import vote

from lib import __main__
from lib.study import paths, reading

CELL, BLURRED = "leaves-gan_a", "leaves_blur-gan_a"
FILES = {
    label: {"kind": "files", "path": name}
    for label, name in zip(("real", "fake"), CELL.split("-"), strict=True)
}
STUDY = {
    "title": "Tiny",
    "data": {"image_size": 32, "per_class": {"train": 6, "validation": 3, "test": 4}},
    "cells": {CELL: FILES, BLURRED: {"test_images_of": CELL, "blur": 1}},
    "train_on": [CELL],
    "patch_sizes": [32, 16],
    "model": {"name": "test_resnet"},
    "training": {"epochs": 2, "batch_size": 8, "patches_per_epoch": 30},
    "bootstrap": {"resamples": 20},
}  # fmt: skip
PACK = ("pack", "--study", "tiny")
TRAIN = ("train", "--study", "tiny", "--dataset", "leaves", "--gan", "gan_a", "--patch-size", "16")
CHECK = ("check", "--study", "tiny")
VOTE, REPORT = ("vote",), ("report",)  # as notebooks 01 to 04 and 06 do


class Place(NamedTuple):
    """Where a study of a tiny network lies: its file, its pictures, and what was made of them."""

    root: Path

    @property
    def study(self) -> Path:
        return self.root / "params" / "tiny.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def packed(self) -> Path:
        return self.work / "data" / "packed" / "tiny" / CELL

    @property
    def run(self) -> Path:
        return self.work / "results" / "tiny" / "runs" / CELL / "plain" / "p016" / "seed0"

    @property
    def margins(self) -> Path:
        return self.run / "margins" / CELL / "test-grid.safetensors"

    @property
    def environment(self) -> dict[str, str]:
        return {"PATCHWISE_WORK": str(self.work), "PATCHWISE_DATA": str(self.data)}

    def edit(self, **changes: object) -> None:
        """Gives the study other values, by keys with `__` for what lies within a section."""
        content = yaml.safe_load(self.study.read_text("utf-8"))
        for path, value in changes.items():
            *sections, key = path.split("__")
            at = content
            for section in sections:
                at = at[section]
            at[key] = value
        self.study.write_text(yaml.safe_dump(content), "utf-8")


class Bad(NamedTuple):
    """One kind of bad input."""

    kind: str
    make: Callable[[Place], object]
    arguments: tuple[str, ...]  # of `python -m lib`, or VOTE
    said: str  # a part of what is said
    status: int = 1  # 0 where it is mended
    environment: Mapping[str, str] = {}


def act(arguments: tuple[str, ...]) -> int:
    """Does what `python -m lib` or a notebook does, in the folder of a place; the exit status."""
    if arguments not in (VOTE, REPORT):
        return __main__.main(arguments)
    try:
        if arguments == VOTE:
            vote(reading.run("tiny", "leaves", "gan_a", patch_size=16))
        else:
            with rc_context():
                report()
    except __main__.ERRORS as error:
        print(error)
    except OSError as error:
        print(paths.refused(error))
    else:
        return 0
    return 1


def report() -> None:
    """Runs the code of notebook 06."""
    notebook = json.loads((paths.NOTEBOOKS / "06_report.ipynb").read_text("utf-8"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names["study"] = "tiny"


def lay(root: Path) -> Place:
    """Writes the study's file and its pictures: noise, of which the fakes are smooth."""
    place, generator = Place(root), np.random.default_rng(0)
    for name in ("leaves", "gan_a"):
        (place.data / name).mkdir(parents=True)
        for number in range(13):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            if name == "gan_a":
                pixels = pixels[::4, ::4].repeat(4, 0).repeat(4, 1)
            Image.fromarray(pixels).save(place.data / name / f"{number}.png")
    place.study.parent.mkdir()
    place.study.write_text(yaml.safe_dump(STUDY), "utf-8")
    place.work.mkdir()
    return place


def copied(place: Place, root: Path) -> Place:
    """A copy that may be damaged; its pictures are the original's, under the same paths."""
    for name in ("params", "work"):
        shutil.copytree(getattr(place, name) if name == "work" else place.study.parent, root / name)
    (root / "data").symlink_to(place.data, target_is_directory=True)
    shutil.copytree(place.data / "leaves", root / "odd")
    return Place(root)


# How what was made here is damaged


def cut(file: str) -> Callable[[Place], object]:
    return lambda place: os.truncate(place.root / file, (place.root / file).stat().st_size // 2)


def empty(file: str) -> Callable[[Place], object]:
    return lambda place: os.truncate(place.root / file, 0)


def gone(file: str) -> Callable[[Place], object]:
    return lambda place: (place.root / file).unlink()


def pickled(file: str) -> Callable[[Place], object]:
    return lambda place: (place.root / file).write_bytes(pickle.dumps(os.getcwd))


def written(file: str, text: str) -> Callable[[Place], object]:
    return lambda place: (place.root / file).write_text(text, "utf-8")


def negated(place: Place, packed_hash: str | None = None) -> None:
    side = json.loads((place.packed / "packed.json").read_text("utf-8"))
    metadata = {"packed_hash": packed_hash or side["hashes"]["test"], "crops_seed": "0"}
    tensors = load_file(place.margins)
    save_file({**tensors, "margins": -tensors["margins"]}, place.margins, metadata)


def other_weights(place: Place) -> None:
    tensors = load_file(place.run / "best.safetensors")
    save_file(
        {name: np.array(-tensor) for name, tensor in tensors.items()},
        place.run / "best.safetensors",
    )


def other_history(place: Place) -> None:
    table = pd.read_csv(place.run / "history.csv")
    table[::-1].to_csv(place.run / "history.csv", index=False)


def flipped_labels(place: Place) -> None:
    table = pd.read_parquet(place.packed / "manifest.parquet")
    table.assign(label=1 - table["label"]).to_parquet(
        place.packed / "manifest.parquet", index=False
    )


def flipped_labels_of_before(place: Place) -> None:
    """Of a cell that was packed when digests were not recorded."""
    flipped_labels(place)
    (place.packed / "files.json").unlink()


def other_cells_manifest(place: Place) -> None:
    shutil.copy(place.packed.with_name(BLURRED) / "manifest.parquet", place.packed)


def other_pixels(place: Place) -> None:
    images = np.load(place.packed / "images.npy", mmap_mode="r+")
    images[5, 3] ^= 1
    images.flush()


RUN = f"work/results/tiny/runs/{CELL}/plain/p016/seed0"
MARGINS, HISTORY = f"{RUN}/margins/{CELL}/test-grid.safetensors", f"{RUN}/history.csv"
CONFIG, BEST = f"{RUN}/config.json", f"{RUN}/best.safetensors"
PACKED = f"work/data/packed/tiny/{CELL}"
IMAGES, SIDE = f"{PACKED}/images.npy", f"{PACKED}/packed.json"
FACTS, MANIFEST = f"{PACKED}/files.parquet", f"{PACKED}/manifest.parquet"
ANEW, AGAIN = "seed0 to train anew", "python -m lib pack --study tiny"
JUDGE = ("judge", "data/leaves", "--network", RUN, "--out", "work/judged")

TABLE = f"work/results/tiny/tables/exp2/{CELL}__{CELL}__plain__p016__seed0.csv"
VERDICTS = TABLE.replace("tables", "verdicts").replace(".csv", ".parquet")

DAMAGED = [
    Bad("margins cut short", cut(MARGINS), VOTE, ANEW),
    Bad("margins emptied", empty(MARGINS), VOTE, ANEW),
    Bad("margins pickled", pickled(MARGINS), VOTE, ANEW),
    Bad("margins of other images", lambda p: negated(p, "0" * 64), VOTE, "are of other images"),
    Bad("margins negated", negated, CHECK, "is not the file that was recorded"),
    Bad("margins negated", negated, VOTE, "test-grid.safetensors is not the file that was"),
    Bad("margins negated", negated, REPORT, "is not the file that was recorded"),
    Bad("another network's weights", other_weights, JUDGE, "best.safetensors is not the file that"),
    Bad("another network's history", other_history, VOTE, "history.csv is not the file that was"),
    Bad("margins gone", gone(MARGINS), CHECK, "test-grid.safetensors is missing"),
    Bad("config cut short", cut(CONFIG), VOTE, ANEW),
    Bad("config cut short", cut(CONFIG), TRAIN, ANEW),
    Bad("config that is a list", written(CONFIG, "[]"), TRAIN, "made with other parameters"),
    Bad("config that is a number", written(CONFIG, "3"), VOTE, ANEW),
    Bad("config of another run", written(CONFIG, "{}"), VOTE, "made with other parameters"),
    Bad("config without hashes", written(CONFIG, "{}"), CHECK, "config.json is damaged: 'packed'"),
    Bad("history gone", gone(HISTORY), VOTE, "history.csv is missing"),
    Bad("history emptied", empty(HISTORY), VOTE, ANEW),
    Bad("history of words", written(HISTORY, "epoch,x\na,b\n"), VOTE, ANEW),
    Bad("a table emptied", empty(TABLE), REPORT, "seed0.csv is damaged"),
    Bad("a table of bytes", pickled(TABLE), REPORT, "seed0.csv is damaged"),
    Bad("verdicts cut short", cut(VERDICTS), REPORT, "seed0.parquet is damaged"),
    Bad("history gone", gone(HISTORY), REPORT, "history.csv is missing"),
    Bad("margins cut short", cut(MARGINS), REPORT, ANEW),
    Bad("weights cut short", cut(BEST), JUDGE, ANEW),
    Bad("weights cut short", cut(BEST), CHECK, "best.safetensors is not the file that was"),
    *(
        bad
        for kind, make, what in (
            ("packed.json cut short", cut(SIDE), "packed.json is damaged"),
            ("packed.json of another kind", written(SIDE, '{"a": 1}'), "packed.json is damaged"),
            ("images gone", gone(IMAGES), "images.npy is missing"),
            ("images cut short", cut(IMAGES), "images.npy is "),
            ("images pickled", pickled(IMAGES), "images.npy is "),
            ("facts of files emptied", empty(FACTS), "files.parquet is not the file"),
            ("facts of files gone", gone(FACTS), "files.parquet is missing"),
            ("manifest with flipped labels", flipped_labels, "manifest.parquet is not the file"),
            ("manifest of another cell", other_cells_manifest, "manifest.parquet is not the file"),
        )
        for bad in (
            Bad(kind, make, TRAIN, AGAIN),
            Bad(kind, make, CHECK, what),
            Bad(kind, make, PACK, what, 0),
        )
    ),
    Bad("pixels altered", other_pixels, CHECK, "images.npy is not the file that was recorded"),
    Bad("labels flipped before", flipped_labels_of_before, CHECK, "holds other labels or pixels"),
]  # fmt: skip

SIMULATED = {"kind": "simulated", "content": "sim_faces"}
SIMULATED = {CELL: {"real": SIMULATED, "fake": {**SIMULATED, "generator": "sim_progan"}}}


def edit(**changes: object) -> Callable[[Place], object]:
    return lambda place: place.edit(**changes)


def instead(old: str, new: str | bytes) -> Callable[[Place], object]:
    """The study's file with other words in it."""
    new = new.encode() if isinstance(new, str) else new

    def make(place: Place) -> None:
        text = place.study.read_bytes()
        assert old.encode() in text
        place.study.write_bytes(text.replace(old.encode(), new))

    return make


def bomb(place: Place) -> None:
    """A title of 10⁹ letters, in lists of lists."""
    lists = ["title:", "- &a [x, x, x, x, x, x, x, x, x, x]"]
    for this, other in zip("bcdefghi", "abcdefgh", strict=True):
        lists.append(f"- &{this} [{', '.join([f'*{other}'] * 10)}]")
    instead("title: Tiny", "\n".join(lists))(place)


def real(path: str) -> Callable[[Place], object]:
    """The study with photographs elsewhere."""
    return edit(**{f"cells__{CELL}__real__path": path})


def pipe(place: Place) -> None:
    os.mkfifo(place.root / "pipe")
    real(str(place.root / "pipe"))(place)


TRAIN_1 = (*TRAIN, "--seed", "1")
BLUR, TEST = f"cells__{BLURRED}__blur", "data__per_class__test"
SMALL = {"cells": SIMULATED, "data__image_size": 16, "patch_sizes": [16]}
LARGE = {"cells": SIMULATED, "data__image_size": 256, "patch_sizes": [64], TEST: 10**7}
CROPS, NOTHING = {"crops_per_image": 10**12 + 1}, lambda _: None

STUDIES = [
    Bad("a study in Latin-1", instead("Tiny", b"Caf\xe9"), PACK, "params/tiny.yaml: not YAML"),
    Bad("a study of bytes", lambda p: p.study.write_bytes(bytes(range(256))), PACK, "not YAML"),
    Bad("a number as a key", instead("title:", "5: x\ntitle:"), PACK, "got '5' as a key"),
    Bad("no key at all", instead("title:", "~: x\ntitle:"), PACK, "as a key"),
    Bad("a key twice", instead("title:", "title: x\ntitle:"), PACK, "'title' stands there twice"),
    Bad("a day that is not", instead("Tiny", "2020-13-45"), PACK, "not YAML: month must be"),
    Bad("a number that is not", instead("Tiny", "!!int x"), PACK, "params/tiny.yaml: not YAML"),
    Bad("3,000 brackets", instead("Tiny", "[" * 3000), PACK, "params/tiny.yaml: not YAML"),
    Bad("an alias bomb", bomb, PACK, "title: got [['x', "),
    Bad("5,000 digits", instead("epochs: 2", f"epochs: 0x{'f' * 5000}"), PACK, "training.epochs"),
    Bad("blur of 1e30", edit(**{BLUR: 1e30}), PACK, f"cells.{BLURRED}.blur: got 1e+30; allowed"),
    Bad("10¹² pictures", edit(**{TEST: 10**12}), PACK, "per_class.test: got 1000000000000"),
    Bad("10⁷ simulated pictures", edit(**LARGE), PACK, "packing needs"),
    Bad("10¹³ resamples", edit(bootstrap__resamples=10**13), PACK, "bootstrap.resamples: got 1000"),
    Bad("10¹² crops", edit(voting=CROPS), PACK, "voting.crops_per_image: got 1000"),
    Bad("10¹² epochs", edit(training__epochs=10**12), PACK, "training.epochs: got 1000"),
    Bad("10¹³ patches", edit(training__min_patches_per_epoch=10**13), PACK, "_per_epoch: got 1000"),
    Bad("10³⁰ a batch", edit(training__batch_size=10**30), PACK, "training.batch_size: got 1000"),
    Bad("a seed of 2⁴⁴", edit(seeds=[2**44]), PACK, "seeds.0: got 17592186044416"),
    Bad("a data seed of 10³⁰", edit(data__seed=10**30), PACK, "data.seed: got 1000"),
    Bad("a seed of 2⁴⁴", NOTHING, (*TRAIN, "--seed", str(2**44)), "seed: got 17592186044416"),
    Bad("a seed of 10³⁰", NOTHING, (*TRAIN, "--seed", str(10**30)), "seed: got 1000"),
    Bad("10⁹ px", edit(data__image_size=1000000007), PACK, "data.image_size: got 1000000007"),
    Bad("simulated images of 16 px", edit(**SMALL), PACK, "data.image_size: got 16"),
    Bad("no network", edit(seeds=[1], model__pretrained=True), TRAIN_1, "cannot be had"),
]

SOURCES = [
    Bad("a pipe as a folder", pipe, PACK, "pipe: neither a folder nor a file"),
    Bad("a device as a folder", real("/dev/zero"), PACK, "/dev/zero: neither a folder nor a file"),
    Bad("a user who is not", real("~nobody_at_all/x"), PACK, "path: got '~nobody_at_all/x'"),
    Bad("a path of 5,000 letters", real("x" * 5000), PACK, "no path: File name too long"),
    Bad("a zero byte in a path", real("a\0b"), PACK, "no path: embedded null byte"),
    Bad("no path", real(""), PACK, "real.path: got ''"),
    Bad("no such folder", real("nowhere"), PACK, "nowhere: there is no such folder or zip"),
]


def among(content: bytes | Image.Image, suffix: str = "png") -> Callable[[Place], object]:
    """A folder of photographs with this among them."""
    if isinstance(content, Image.Image):
        memory = io.BytesIO()
        content.save(memory, "TIFF" if content.mode == "F" else "PNG")
        content = memory.getvalue()

    def make(place: Place) -> None:
        (place.root / "odd" / "0.png").unlink()
        (place.root / "odd" / f"x.{suffix}").write_bytes(content)

    return make


def picture(content: bytes | Image.Image, suffix: str = "png") -> Callable[[Place], object]:
    """The study with such photographs, all of which it needs."""
    return lambda place: (among(content, suffix)(place), real(str(place.root / "odd"))(place))


def pipe_among_them(place: Place) -> None:
    (place.root / "odd" / "0.png").unlink()
    os.mkfifo(place.root / "odd" / "x.png")
    real(str(place.root / "odd"))(place)


def zipped(name: str, *, cut_short: bool = False) -> Callable[[Place], object]:
    """The study with its photographs in a zip, one of them under this name."""

    def make(place: Place) -> None:
        file = place.root / "odd.zip"
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted((place.root / "odd").iterdir()):
                archive.write(path, name if path.name == "0.png" else path.name)
        if cut_short:
            os.truncate(file, file.stat().st_size // 2)
        real(str(file))(place)

    return make


def chunk(kind: bytes, content: bytes) -> bytes:
    """One of a PNG's parts."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


HEADER = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
HUGE = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", HEADER) + chunk(b"IDAT", zlib.compress(bytes(99)))
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n{} loop\n"
AVIF = struct.pack(">I", 28) + b"ftypavif\0\0\0\0avifmif1miaf" + bytes(range(256))
NAN = Image.fromarray(np.full((32, 32), np.nan, np.float32))
RED = Image.new("RGB", (32, 32), "red")
USABLE = "12 of its 13 are usable (for example x."

JUDGE_ODD = (JUDGE[0], "odd", *JUDGE[2:])

PICTURES = [
    Bad("nothing in it", picture(b""), PACK, f"{USABLE}png (zero bytes)"),
    Bad("no picture", picture(b"no picture" * 99), PACK, f"{USABLE}png (no PNG, JPEG or WebP"),
    Bad("an EPS that loops", picture(EPS, "jpg"), PACK, f"{USABLE}jpg (no PNG, JPEG or WebP"),
    Bad("an AVIF that is none", picture(AVIF, "jpg"), PACK, f"{USABLE}jpg (no PNG, JPEG or WebP"),
    Bad("a TIFF of NaN", picture(NAN), PACK, f"{USABLE}png (no PNG, JPEG or WebP"),
    Bad("60,000 px a side", picture(HUGE), PACK, f"{USABLE}png (suspiciously large"),
    Bad("one pixel", picture(RED.resize((1, 1))), PACK, f"{USABLE}png (too small: 1 px a side"),
    Bad("a line", picture(RED.resize((1, 20_000))), PACK, f"{USABLE}png (too small: 1 px a side"),
    Bad("a pipe", pipe_among_them, PACK, f"{USABLE}png (cannot be read: not a file)"),
    Bad("out of its zip", zipped("../0.png"), PACK, "leads out of the archive"),
    Bad("a zip cut short", zipped("0.png", cut_short=True), PACK, "a truncated zip"),
    Bad("one pixel", among(RED.resize((1, 1))), JUDGE_ODD, "cannot tell (unusable: too small", 0),
    Bad("a pipe", lambda p: os.mkfifo(p.root / "x"), ("judge", "x"), "x: neither a folder nor a"),
    Bad("no picture", NOTHING, ("judge", "nowhere.png"), "there is no such file or folder"),
    Bad("5,000 letters", NOTHING, ("judge", "x" * 5000), "File name too long"),
]

WORK, NOBODY = "PATCHWISE_WORK", "~nobody_at_all/x"
FOLDERS = [
    Bad("a file", written("file", ""), PACK, f"Set {WORK}", 1, {WORK: "file"}),
    Bad("what cannot be", NOTHING, PACK, f"Set {WORK}", 1, {WORK: "/proc/none"}),
    Bad("what cannot be", NOTHING, (*JUDGE[:-1], "/proc/none"), "/proc/none: ", 1),
    Bad("nobody's", NOTHING, PACK, f"{WORK}: got '{NOBODY}'", 1, {WORK: NOBODY}),
    Bad("nobody's", NOTHING, PACK, "PATCHWISE_DATA: got '~", 1, {"PATCHWISE_DATA": NOBODY}),
]

KINDS = [*DAMAGED, *STUDIES, *SOURCES, *PICTURES, *FOLDERS]
