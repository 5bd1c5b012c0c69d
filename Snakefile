# The study as a graph of plain commands:
#   snakemake --cores all --config study=demo          (or: make study STUDY=demo)
# One job packs each cell, one audits it, one trains each network, and the experiments only vote.
# Variants that switch quirks are compared by A1_quirks, from their margins; all others have every
# table.
#
# What is looked at, the audits, the experiments and the report, are notebooks that papermill
# executes. Packing and training are `python -m lib pack` and `train`: nobody looks at them while
# they run, they need no Jupyter where the GPUs are, and 01 executed to train would also vote, draw
# and write a table that 01_patch_accuracy writes again. No network waits for an audit.
#
# A job is run again when what it computes changes: its notebook's code cells, the modules it
# imports, the sections of the study's file that it depends on. Saving a notebook's outputs re-runs
# nothing. Packing and training depend on what they compute alone, not on how it is shown: a
# touched figure trains nothing anew.

import hashlib
import json
import shutil
from pathlib import Path

from lib import code, params, paths

NAME = config.get("study", "demo")
STUDY = params.load(NAME)
SIZE = STUDY.data.image_size
VARIANTS = {name: params.load(NAME, name) for name in (params.PLAIN, *STUDY.variants)}
QUIRKY = [name for name, found in VARIANTS.items() if found.quirks != STUDY.quirks]
GPU = int(shutil.which("nvidia-smi") is not None)  # then one network trains at a time
WEIGHTS = paths.ROOT / "lib" / "data" / "weights"
LOGS = paths.results(NAME) / "notebooks"
RUN = "{train}/{variant}/p{size}/seed{seed}"
TABLE = "{train}__{test}__{variant}__p{size}__seed{seed}"


def table(experiment):
    return str(paths.results(NAME) / "tables" / f"exp{experiment}" / f"{TABLE}.csv")


def tables(experiment, tests, whole=True):
    """The tables of one experiment; `tests` gives the cells that a training cell is tested on."""
    return [
        table(experiment).format(
            train=train, test=test, variant=variant, size=f"{size:03d}", seed=seed
        )
        for train in STUDY.train_on
        for test in tests(train)
        for variant, study in VARIANTS.items()
        for size in study.patch_sizes
        for seed in study.seeds
        if variant not in QUIRKY and (whole or size < SIZE)
    ]


def matched(train):
    return [train]


def others(train):
    """Experiment 5's cells: other pictures, and the training cell's own test images altered."""
    return [*STUDY.others(train), *STUDY.altered(train)]


ALL_TABLES = [
    *tables(1, matched),
    *(found for number in (2, 3, 4) for found in tables(number, matched, whole=False)),
    *tables(5, others),
]


def hashed(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def digest(*sections, variants=(params.PLAIN,)):
    """A hash of sections of the study, in some variants."""
    return hashed([VARIANTS[name].model_dump(include=set(sections)) for name in variants])


def protocol(wildcards):
    """A hash of all that a network and its margins depend on."""
    study, cells = VARIANTS[wildcards.variant], STUDY.model_dump(include={"cells"})
    crops = study.crops(int(wildcards.size))
    counts = STUDY.data.model_dump(include={"per_class"})
    return hashed([counts, cells, study.network_protocol, study.training.precision, crops])


def voting(wildcards):
    """A hash of what the experiments do with the margins."""
    return digest("voting", "quirks", "bootstrap", variants=[wildcards.variant])


def drawing(wildcards):
    """A hash of all that a cell's packed images depend on."""
    cell = wildcards.train
    shown = {name: STUDY.cells[name].model_dump() for name in (cell, STUDY.base(cell))}
    drawn = STUDY.data.model_dump(exclude={"max_skipped"})
    return hashed([drawn, shown, cell in STUDY.train_on])


def given(wildcards):
    """The parameters of one run."""
    dataset, gan = wildcards.train.split("-")
    found = {"study": NAME, "dataset": dataset, "gan": gan}
    if "size" in wildcards.keys():
        found |= {"patch_size": int(wildcards.size), "seed": wildcards.seed}
        found |= {"variant": wildcards.variant}
    if wildcards.get("test", wildcards.train) != wildcards.train:
        found |= zip(("test_dataset", "test_gan"), wildcards.test.split("-"))
    return found


def flags(wildcards):
    """The parameters as papermill takes them."""
    return " ".join(f"-p {key} {value}" for key, value in given(wildcards).items())


def options(wildcards):
    """The parameters as `python -m lib` takes them."""
    found = given(wildcards).items()
    return " ".join(f"--{key.replace('_', '-')} {value}" for key, value in found)


def packed(cell):
    return str(paths.packed(NAME, cell))


RUN_FOLDER = str(paths.results(NAME) / "runs" / RUN)


def run_folder(wildcards, size=None):
    """The folder of the network that a variant votes with."""
    networks = VARIANTS[wildcards.variant].networks
    changed = {"variant": networks, **({"size": f"{size:03d}"} if size else {})}
    return RUN_FOLDER.format(**{**dict(wildcards.items()), **changed})


def networks(train):
    """The folders of all networks that are trained on a cell."""
    return [
        RUN_FOLDER.format(train=train, variant=variant, size=f"{size:03d}", seed=seed)
        for variant, study in VARIANTS.items()
        for size in study.patch_sizes
        for seed in study.seeds
        if study.networks == variant
    ]


AUDIT = str(paths.results(NAME) / "audit" / "{train}" / "cues.csv")


def audits(*cells):
    """The audits of some cells, whose warnings stand over every result on them."""
    return [AUDIT.format(train=cell) for cell in cells]


NETWORKS = sum(len(networks(train)) for train in STUDY.train_on)
EFFECTS = str(paths.results(NAME) / "tables" / "a1" / "{train}.csv")


# ipykernel warns, in every notebook, that it talks to this machine over TCP.
EXECUTE = (
    'mkdir -p "$(dirname {log:q})" && OMP_NUM_THREADS={threads} papermill --log-level WARNING '
    "--no-progress-bar {input.notebook:q} {log:q} {params.flags} "
    "2>&1 | {{ grep -v IPKernelApp || true; }}"
)
# Snakemake's shell has pipefail: the exit status is that of the command, not of tee.
COMMAND = "OMP_NUM_THREADS={threads} python -m lib {rule} {params.options} 2>&1 | tee {log:q}"


wildcard_constraints:
    train="[a-z0-9_]+-[a-z0-9_]+",
    test="[a-z0-9_]+-[a-z0-9_]+",
    variant="[a-z0-9_]+",
    size=r"\d\d\d+",
    seed=r"\d+",


rule report:
    input:
        notebook=ancient(paths.NOTEBOOKS / "06_report.ipynb"),
        modules=code.modules("06_report"),
        template=str(paths.ROOT / "lib" / "report.html.j2"),
        tables=ALL_TABLES,
        effects=expand(EFFECTS, train=STUDY.train_on) if QUIRKY else [],
        audits=audits(*STUDY.cells),
    output:
        str(paths.report(NAME)),
        # Kept reports come with the checkout; this says that it was made here, from these tables.
        touch(str(paths.results(NAME) / "report.done")),
    log:
        str(LOGS / "06_report.ipynb"),
    params:
        flags=f"-p study {NAME}",
        code=code.digest("06_report"),
        study=digest("title", "deviations", "show_pictures", "voting", "bootstrap"),
    retries: 2
    shell:
        EXECUTE


rule pack:
    input:
        modules=code.modules("lib.data.packing"),
        weights=sorted(map(str, WEIGHTS.glob("*"))) if STUDY.simulated else [],
        # An altered cell's pictures are another cell's.
        base=lambda wildcards: [
            packed(cell) for cell in {STUDY.base(wildcards.train)} - {wildcards.train}
        ],
    output:
        directory(packed("{train}")),
    log:
        str(LOGS / "pack__{train}.log"),
    params:
        options=options,
        study=drawing,
    threads: max(1, workflow.cores // len(set(map(STUDY.base, STUDY.cells))))
    shell:
        COMMAND


rule audit:
    input:
        notebook=ancient(paths.NOTEBOOKS / "00_data.ipynb"),
        modules=code.modules("00_data"),
        packed=packed("{train}"),
    output:
        AUDIT,
    log:
        str(LOGS / "00_data__{train}.ipynb"),
    params:
        flags=flags,
        code=code.digest("00_data"),
        study=digest("bootstrap"),
    retries: 2
    shell:
        EXECUTE


rule train:
    input:
        modules=code.modules("lib.training"),
        packed=[packed(cell) for cell in STUDY.cells],
    output:
        directory(RUN_FOLDER),
    log:
        str(LOGS / "train__{train}__{variant}__p{size}__seed{seed}.log"),
    params:
        options=options,
        study=protocol,
    threads: max(1, workflow.cores // NETWORKS)
    resources:
        gpu=GPU,
    shell:
        COMMAND


EXPERIMENTS = {
    1: "01_patch_accuracy",
    2: "02_grid_vote",
    3: "03_random_vote",
    4: "04_confident_vote",
}
for number, name in EXPERIMENTS.items():

    rule:
        name:
            name
        input:
            notebook=ancient(paths.NOTEBOOKS / f"{name}.ipynb"),
            modules=code.modules(name),
            run=run_folder,
            audit=AUDIT,
        output:
            table(number).replace("{test}", "{train}"),
        log:
            str(LOGS / f"{name}__{TABLE}.ipynb").replace("{test}", "{train}"),
        params:
            flags=flags,
            code=code.digest(name),
            study=voting,
        retries: 2
        shell:
            EXECUTE


rule generalize:
    input:
        notebook=ancient(paths.NOTEBOOKS / "05_generalization.ipynb"),
        modules=code.modules("05_generalization"),
        run=run_folder,
        whole=lambda wildcards: (
            run_folder(wildcards, SIZE) if SIZE in VARIANTS[wildcards.variant].patch_sizes else []
        ),
        audits=lambda wildcards: audits(wildcards.train, wildcards.test),
    output:
        table(5),
    log:
        str(LOGS / f"05_generalization__{TABLE}.ipynb"),
    params:
        flags=flags,
        code=code.digest("05_generalization"),
        study=voting,
    retries: 2
    shell:
        EXECUTE


rule quirks:
    input:
        notebook=ancient(paths.NOTEBOOKS / "A1_quirks.ipynb"),
        modules=code.modules("A1_quirks"),
        runs=lambda wildcards: networks(wildcards.train),
        audits=lambda wildcards: audits(wildcards.train, *STUDY.others(wildcards.train)),
    output:
        EFFECTS,
    log:
        str(LOGS / "A1_quirks__{train}.ipynb"),
    params:
        flags=flags,
        code=code.digest("A1_quirks"),
        study=digest("voting", "quirks", "bootstrap", "patch_sizes", "seeds", variants=VARIANTS),
    retries: 2
    shell:
        EXECUTE
