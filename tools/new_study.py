"""Writes a study of one's own pictures, after a look at them: params/<name>.yaml.

    python tools/new_study.py mine photographs/ gan_images/      (or: make new-study)

The file is `params/own.yaml` with these folders, and with what fits them: the size to which
pictures are brought, and a split instead of folds where there are very many. Says what the folders
hold, what to beware of, what the study does, and about how long it takes on this machine, measured
by a few steps. git ignores the file, so that results are not marked as those of changed code.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from joblib import cpu_count

from lib.data.images import Unusable, prepare
from lib.data.packed import CLASSES
from lib.data.sources.files import FileSource
from lib.data.sources.interface import SourceError
from lib.networks.batches import Batches
from lib.networks.classifier import DTYPES, PatchNet, describe, pick_device, pick_precision
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import score
from lib.networks.stepper import Stepper
from lib.patches import grid_origins
from lib.study import paths, reading
from lib.study.schema import NAME, Data, ParameterError, Preparation
from lib.study.study import Study

LEAST, MANY, LOOKED_AT = 50, 5000, 200
SIZES = (256, 128, 64)
MOST = {"train": 20_000, "validation": 4_000, "test": 4_000}  # of a class: the paper's
RESERVED = ("published", "judged")  # `make study STUDY=published`, reports/judged/
MEANS_FAKE, MEANS_REAL = r"fake|gan|generated|synth|diffusion", r"real|photo|ffhq|camera"


def new_study(name: str, folders: dict[str, str]) -> Iterator[str]:
    """Writes a study of a folder or zip of `real` and one of `fake` pictures; says line by line.

    Raises ParameterError if the name is taken or none, or the folders are too small or lie in each
    other; SourceError if one cannot be read.
    """
    file = paths.PARAMS / f"{name}.yaml"
    if not re.fullmatch(NAME, name):
        allowed = "lower-case letters, digits and single underscores, such as mine"
        raise ParameterError(f"NAME: got {name!r}; a study's name has {allowed}")
    if file.exists():
        raise ParameterError(f"NAME: {file} is there already; remove it, or take another name")
    if name in RESERVED:
        raise ParameterError(f"NAME: {name!r} has a meaning of its own; take another name")
    places = {label: placed(label, folder) for label, folder in folders.items()}
    real, fake = places["real"], places["fake"]
    if real == fake or real in fake.parents or fake in real.parents:
        raise ParameterError(
            f"REAL and FAKE: got {real} and {fake}: one holds the other, so that its pictures "
            "would be of both classes; put them into folders of their own"
        )
    looks = {label: look(place) for label, place in places.items()}
    for label, (count, facts, broken) in looks.items():
        kinds = ", ".join(
            kind for kind, _ in Counter(fact["format"] for fact in facts).most_common()
        )
        sides = [fact["side"] for fact in facts] or [0]
        span = f"{min(sides)} to {max(sides)}" if min(sides) < max(sides) else f"{sides[0]}"
        yield f"{label}: {count} pictures in {places[label]}: {kinds}, {span} px the smaller side"
        if broken:
            yield f"  {broken} of {len(facts) + broken} looked at cannot be read"
        if count < LEAST or not facts:
            raise ParameterError(
                f"{label.upper()}: got {count if facts else 0} pictures; of fewer than {LEAST} of "
                "a class nothing can be learned. Add some; `make judge` judges single pictures"
            )
    yield from beware(places, {label: facts for label, (_, facts, _) in looks.items()})
    counts = [count for count, _, _ in looks.values()]
    least = min(
        np.percentile([fact["side"] for fact in facts], 5) for _, facts, _ in looks.values()
    )
    size = next((size for size in SIZES if size <= least), None)
    if size is None:
        raise ParameterError(f"the pictures are too small: {least:.0f} px; {SIZES[-1]} are needed")
    text = written(name, places, counts, size)
    paths.write_whole(file, lambda path: path.write_text(text, "utf-8"))
    yield f"Written: {file}, yours to change"
    study = reading.load(name)
    yield f"It trains {len(study.patch_sizes) * len(study.seeds)} networks: {plan(study)}"
    yield f"That takes {duration(study, counts)}; an interrupted run goes on"
    yield f"Begin: make study STUDY={name}"


def placed(label: str, folder: str) -> Path:
    """Where a folder or zip lies; ParameterError if it does not."""
    try:
        place = Path(folder).expanduser().resolve()
    except RuntimeError as error:  # ~ of a user who is none
        raise ParameterError(f"{label.upper()}: got {folder}: {error}") from None
    if not place.exists():
        raise ParameterError(f"{label.upper()}: got {folder}: there is no such folder or zip")
    return place


def look(place: Path) -> tuple[int, list[dict], int]:
    """How many pictures a folder or zip holds; the facts of some; how many of those are broken."""
    source = FileSource(FileSource.Settings(path=str(place)), Data.model_construct())
    names, facts, broken = source.names(), [], 0
    chosen = np.random.default_rng(0).permutation(len(names))[:LOOKED_AT]
    for index in chosen:
        try:
            facts.append(prepare(source.read(names[index]), Preparation(image_size=16)).facts)
        except Unusable:
            broken += 1
    return len(names), facts, broken


def beware(places: dict[str, Path], facts: dict[str, list[dict]]) -> Iterator[str]:
    """What besides the generator may tell these classes apart, or is strange of them."""
    folders = str(places["real"].name).lower(), str(places["fake"].name).lower()
    if re.search(MEANS_FAKE, folders[0]) or re.search(MEANS_REAL, folders[1]):
        yield "Beware: by their names the folders may be swapped: REAL is for photographs"
    kinds, sides = [], []
    for label in CLASSES:
        kinds.append({fact["format"] for fact in facts[label]})
        sides.append(np.median([fact["side"] for fact in facts[label]] or [0]))
    if kinds[0] != kinds[1]:
        yield (
            "Beware: the classes differ in file format, whose traces a network learns as gladly as "
            "a generator's; data.jpeg_quality in the study's file compresses both alike at the end"
        )
    if max(sides) > 1.2 * min(sides):
        yield (
            f"Beware: the classes differ in size (median {sides[0]:.0f} and {sides[1]:.0f} px): "
            "what is shrunk more looks sharper, and that alone tells them apart"
        )


def written(name: str, places: dict[str, Path], counts: list[int], size: int) -> str:
    """The text of the study's file."""
    text = (paths.PARAMS / "own.yaml").read_text("utf-8")
    sizes = [px for px in (256, 128, 64, 32, 16) if px <= size]
    changes = [
        (
            r"\A(#.*\n)+",
            "# Written by `make new-study`; what may stand here: DATA.md, EXTENDING.md.\n",
        ),
        (r"path: real}\n", f"path: {quoted(places['real'])}}}\n"),
        (r"path: fake}\n", f"path: {quoted(places['fake'])}}}\n"),
        (r"path: real}, fake", f"path: {quoted(places['real'])}}}, fake"),
        (r"own-gan", f"{name}-gan"),
        (r"own_jpeg75-gan", f"{name}_jpeg75-gan"),
        (r"own-other_gan", f"{name}-other_gan"),
        (r"image_size: 256", f"image_size: {size}"),
        (r"patch_sizes: \[.*\]", f"patch_sizes: {sizes}"),
        (r"(?<=title: ).*", f"Own photographs and GAN images, {name}"),
    ]
    if min(counts) >= MANY:
        usable = int(0.95 * min(counts))  # near duplicates are passed over
        split = {
            "test": usable // 6,
            "validation": usable // 6,
            "train": usable - 2 * (usable // 6),
        }
        split = {key: min(split[key], most) for key, most in MOST.items()}
        given = ", ".join(f"{key}: {number}" for key, number in split.items())
        changes.append((r"  folds: 5\n.*\n.*strata.*\n", f"  per_class: {{{given}}}\n"))
    else:
        changes.append((r"most_per_class: 1000 ", f"most_per_class: {max(1000, *counts)} "))
    for pattern, new in changes:
        text, found = re.subn(pattern, lambda _, new=new: new, text)
        assert found, pattern
    return text


def quoted(path: Path) -> str:
    """A path as YAML text in double quotes."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def plan(study: Study) -> str:
    """What is trained and tested, in words."""
    sizes = ", ".join(map(str, study.patch_sizes))
    if study.data.folds:
        how = (
            f"{study.data.folds} folds, so that every picture is judged once by a network that has "
        )
        return f"patches of {sizes} px, {how}not seen it"
    each = study.data.per_class
    return f"patches of {sizes} px; of each class {each.train} train and {each.test} test"


def duration(study: Study, counts: list[int]) -> str:
    """About how long it takes here: the networks, and the notebooks after them."""
    device = pick_device(study.training.device)
    minutes = (networks(study, counts, device) + notebooks(study)) / 60
    about = f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
    here = f"{cpu_count()} cores" if device.type == "cpu" else describe(device)
    return f"about {about} on this machine ({here}), if it does nothing else"


def notebooks(study: Study) -> float:
    """Seconds of the notebooks, each of which takes about twice as long as what it imports."""
    voted = sum(1 if size == study.data.image_size else 4 for size in study.patch_sizes)
    elsewhere = len(study.patch_sizes) * (len(study.cells) - 1)
    count = (voted + elsewhere) * len(study.seeds) + len(study.cells) + 1
    command = [sys.executable, "-c", "from lib.results import tables"]
    start = seconds(lambda: subprocess.run(command, cwd=paths.ROOT, check=True))
    return 2 * start * count / cpu_count()


def networks(study: Study, counts: list[int], device: torch.device) -> float:
    """Seconds of training and scoring, measured by a few steps at each size."""
    size, number = study.data.image_size, len(study.patch_sizes) * len(study.seeds)
    each, before = max(1, cpu_count() // 4), torch.get_num_threads()  # as many as in a batch
    side_by_side = min(number, cpu_count() // each) if device.type == "cpu" else 1
    if device.type == "cpu":
        torch.set_num_threads(each)
    precision = DTYPES[pick_precision(study.training.precision, device)]
    data, total = study.data, 0.0
    pictures = sum(min(count, data.most_per_class or count) for count in counts)
    trains = (
        2 * data.per_class.train if data.per_class else pictures * (data.folds - 1) // data.folds
    )
    tests = 2 * data.per_class.test if data.per_class else pictures // data.folds
    cells = len(study.cells) - len(study.altered())
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    labels = torch.arange(len(images)) % 2
    for patch_size in study.patch_sizes:
        network = PatchNet(study.model, seed=0, patch_size=patch_size).to(device)
        stepper = Stepper(network, torch.from_numpy(images), labels, patch_size, precision)
        batches = Batches(study.training, 0, size, patch_size)
        batches.keep(np.arange(len(images)), labels.numpy())
        some = [batch for batch, _ in batches.of(0)][:4]
        steps = seconds(lambda s=stepper, some=some: [s.step(batch, 1e-3) for batch in some])
        a_patch = steps / sum(len(batch.images) for batch in some)
        scorer, grid = Scorer(network, precision), grid_origins(size, patch_size)
        given = scorer, torch.from_numpy(images), grid, patch_size
        an_image = seconds(lambda given=given: score(*given)) / len(images)
        training, most = study.training, trains * len(grid)
        patches = min(most, training.patches_per_epoch or most)
        patches = max(patches, training.min_patches_per_epoch or 0)
        kinds = 1 if patch_size == size else 2  # the grid and the crops
        epoch = patches * a_patch + an_image * (tests * cells * kinds + trains / 8)
        total += training.epochs * epoch * len(study.seeds) / side_by_side
    torch.set_num_threads(before)
    return total


def seconds(work) -> float:
    """How long it takes, the second time, when all is prepared."""
    work()
    begun = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


if __name__ == "__main__":
    if len(sys.argv) != 4 or not all(sys.argv[1:]):
        sys.exit("Say which: make new-study NAME=mine REAL=<photographs> FAKE=<GAN images>")
    try:
        for line in new_study(sys.argv[1], {"real": sys.argv[2], "fake": sys.argv[3]}):
            print(line, flush=True)
    except (ParameterError, SourceError) as error:
        sys.exit(str(error))
