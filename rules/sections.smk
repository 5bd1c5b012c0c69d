# What a job takes from the study's file: its parameters, and a hash of the sections it depends on.

import hashlib
import json
from pathlib import Path

from lib import margins
from lib.data.packed import CLASSES


def given(wildcards):
    """The parameters of one job, by name."""
    dataset, gan = split_cell(wildcards.get("cell") or wildcards.train)
    values = {"study": NAME, "dataset": dataset, "gan": gan}
    if "size" in wildcards.keys():
        values |= {"patch_size": int(wildcards.size), "seed": wildcards.seed}
        values |= {"variant": wildcards.variant}
    if "test" in wildcards.keys():
        values |= zip(("test_dataset", "test_gan"), split_cell(wildcards.test))
    return values


def flags(wildcards):
    """The parameters as papermill takes them."""
    return " ".join(f"-p {key} {value}" for key, value in given(wildcards).items())


def options(wildcards):
    """The parameters as `python -m lib` takes them."""
    values = given(wildcards).items()
    return " ".join(f"--{key.replace('_', '-')} {value}" for key, value in values)


def hashed(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def digest_of(*sections, variants=(PLAIN,)):
    """A hash of sections of the study, in some variants."""
    return hashed([VARIANTS[name].model_dump(include=set(sections)) for name in variants])


def drawing(wildcards):
    """A hash of all that a cell's packed images depend on but code."""
    cell, base = wildcards.cell, STUDY.base(wildcards.cell)
    definitions = [STUDY.cells[name].model_dump() for name in (cell, base)]
    data = STUDY.data.model_dump(exclude={"max_skipped"})
    folders = [folder_of(base, name) for name in CLASSES]
    return hashed([data, definitions, cell in STUDY.train_on, folders])


def folder_of(cell, name):
    """Where the pictures of a class lie in DATA now; if they do not, where they were packed from."""
    path, packed = STUDY.cells[cell].model_dump()[name].get("path"), PACKED.format(cell=cell)
    if path is None or os.path.exists(paths.below_data(path)):
        return path and str(paths.below_data(path))
    return json.loads(Path(packed).read_text("utf-8"))[name]["source"] if Path(packed).is_file() else None


def protocol(wildcards):
    """A hash of all that a network and its margins depend on but code and pictures."""
    run = network(wildcards)
    counts = STUDY.data.model_dump(include={"per_class", "most_per_class"})
    cells = STUDY.model_dump(include={"cells"})
    return hashed([margins.protocol(run), run.study.training.precision, counts, cells])


def voting(wildcards):
    """A hash of what the experiments do with the margins."""
    return digest_of("voting", "quirks", "bootstrap", variants=[wildcards.variant])
