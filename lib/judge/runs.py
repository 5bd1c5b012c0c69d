"""A finished run as a network that judges: its card, from its margins and its packed images."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from lib import margins
from lib.data import faces, packed, perturbations
from lib.data.packed import Packed
from lib.judge import card as cards
from lib.judge import flags
from lib.judge.card import CARD, WEIGHTS, Card, Counts, Measured
from lib.judge.errors import NetworkError
from lib.judge.judging import asks_for_faces, flagged
from lib.judge.network import Network
from lib.progress import bar
from lib.statistics import abstention, calibration
from lib.statistics.abstention import FAKE, REAL
from lib.study import files, paths, reading
from lib.study.run import Run
from lib.study.schema import split_cell

DEFAULT = paths.ROOT / "networks" / "faces"
ALPHA = 0.05
RANGES_OF, FACES_OF = 1000, 100  # of so many training images at most
AT_ONCE = 64  # images


def load(folder: Path) -> Network:
    """The network in a folder: one that was kept, or a finished run's, whose flips are not tried.

    A folder that is not there is looked for below the project, the work folder and networks/.

    Raises:
        NetworkError: if there is none, or it was altered.
        ParameterError, RunError, PackedError: if it is a run that is not as its study says, or
            whose images are not packed.
    """
    places = [folder, *(root / folder for root in (paths.ROOT, paths.work(), DEFAULT.parent))]
    folder = next((place for place in places if place.is_dir()), folder)
    if (folder / CARD).is_file() or (folder / WEIGHTS).is_file():
        return Network(cards.read(folder), folder / WEIGHTS)
    if (folder / "config.json").is_file():
        return of_run(run_in(folder))
    raise NetworkError(
        f"{folder}: holds no network: neither {CARD}, as the folders in networks/ do, nor a "
        "finished run's config.json"
    )


def run_in(folder: Path) -> Run:
    """The run that lies in a folder; NetworkError if that is not where its study has it."""
    config = margins.read_config(folder)
    dataset, gan = split_cell(config["train"])
    named = {key: config[key] for key in ("study", "patch_size", "seed", "variant")}
    run = reading.run(**named, dataset=dataset, gan=gan)
    if run.study.imported:
        raise NetworkError(f"{folder}: holds another detector's scores, and no network")
    if run.folder != folder.resolve():
        raise NetworkError(
            f"{folder}: a copy of a run; name the run itself, {run.folder}, or keep it as a "
            f"network of its own: python tools/keep_network.py {run.folder} NAME"
        )
    return run


def of_run(
    run: Run, alpha: float = ALPHA, *, flips: bool = False, notes: tuple[str, ...] = ()
) -> Network:
    """A run's network, calibrated on its validation images and measured on its test images.

    With `flips` every alteration of the test images is tried, which takes a while.
    """
    folder, study = margins.require(run), run.study
    held_out = margins.load(run, run.train, "validation", epoch=margins.validated(run))
    data = packed.load(study, run.train, train=True)
    rows = data.rows("train", run.fold(run.train))
    known = flags.numbers(_seen(data, _some(rows, RANGES_OF)), data.images.shape[1])
    config, weights = margins.read_config(folder), folder / "best.safetensors"
    files.hold_to_record(folder, weights, margins.anew(folder))
    card = Card(
        title=study.title,
        **{key: config[key] for key in ("study", "train", "variant", "patch_size", "seed")},
        simulated=study.is_simulated(run.train),
        preparation=study.data_of(run.train).model_dump(
            include=set(cards.Preparation.model_fields)
        ),
        model=study.model,
        quirks=study.quirks,
        training=config["training"],
        alpha=alpha,
        labels=held_out.labels.tolist(),
        scores=[0.0] * len(held_out.labels),
        ranges=flags.ranges(known),
        all_jpeg=bool(known["JPEG quality"].notna().all()),
        with_faces=_with_faces(data.images[_some(rows, FACES_OF)], study.data_of(run.train)),
        measured=[],
        reliability=[],
        notes=list(notes),
        **{key: config[key] for key in ("versions", "git_commit", "device")},
        weights=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )
    network = Network(card, weights)
    scores = network.scores(held_out.margins[0])
    network = Network(card.model_copy(update={"scores": scores.tolist()}), weights)
    cells = [run.train, *study.others(run.train), *study.altered(run.train)]
    scored = margins.load(run, run.train, epoch=margins.validated(run))
    stated = network.probability(network.scores(scored.margins[0]))
    update = {
        "measured": [measured(run, network, cell, flips=flips) for cell in bar(iterable=cells)],
        "reliability": list(calibration.reliability(stated, scored.labels).itertuples(index=False)),
    }
    return Network(network.card.model_copy(update=update).signed(), weights)


def measured(run: Run, network: Network, cell: str, *, flips: bool) -> Measured:
    """What the network's verdicts are worth on the images of one test cell."""
    scored = margins.load(run, cell, epoch=margins.validated(run))
    scores, labels = network.scores(scored.margins[0]), scored.labels
    said = abstention.verdicts(scores, network.card.thresholds)
    numbers = dict(zip(("real", "fake"), _counts(said, labels), strict=True))
    if flips:
        data, given = packed.load(run.study, cell), said != abstention.CANNOT_TELL
        withheld = np.zeros(len(said), bool)
        flipped = {}
        for part in np.array_split(np.arange(len(said)), -(-len(said) // AT_ONCE)):
            rows = scored.image_index[part]
            strange = flagged(network, _seen(data, rows, asks_for_faces(network)))
            withheld[part] = [each.far for each in strange]
            tried = network.flipped(data.images[rows], said[part], given[part])
            for name, turned in tried.items():
                flipped.setdefault(name, np.zeros(len(said), bool))[part] = turned
                withheld[part] |= turned
        numbers["flips"] = {
            name: float(turned[given].mean() if given.any() else 0)
            for name, turned in flipped.items()
        }
        left = np.where(withheld, abstention.CANNOT_TELL, said)
        numbers |= zip(("kept_real", "kept_fake"), _counts(left, labels), strict=True)
    return Measured(
        cell=cell, about=_about(run, cell), auc=roc_auc_score(labels, scores), **numbers
    )


def _counts(said: np.ndarray, labels: np.ndarray) -> list[Counts]:
    """Of the real and of the fake images, how many were called what."""
    return [
        Counts(
            images=np.count_nonzero(labels == label),
            real=np.count_nonzero(said[labels == label] == REAL),
            fake=np.count_nonzero(said[labels == label] == FAKE),
        )
        for label in (REAL, FAKE)
    ]


def _about(run: Run, cell: str) -> str:
    """A cell's images in words."""
    altered = run.study.altered()
    if cell in altered:
        return f"the same images, {perturbations.title(altered[cell])}"
    if cell == run.train:
        return "images like those it learned from"
    return "other images"


def _some(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of some images, evenly spread."""
    return rows[:: -(-len(rows) // count)]


def _seen(data: Packed, rows: np.ndarray, for_faces: bool = False) -> pd.DataFrame:
    """What is known of some images' files, and seen of the images."""
    noted = [flags.seen(data.images[row], for_faces=for_faces) for row in rows]
    known = data.files.iloc[rows].assign(**pd.DataFrame(noted, index=data.files.index[rows]))
    return known.assign(format=data.manifest["format"].iloc[rows])


def _with_faces(images: np.ndarray, preparation: cards.Preparation) -> float | None:
    """The share of images in which dlib finds a face; None without dlib, or where it cut them."""
    if preparation.crop == "dlib":
        return None
    try:
        return float(np.mean([flags.has_face(image) for image in images]))
    except faces.MissingExtra:
        return None
