# The study as a graph of plain papermill commands:
#   snakemake --cores all --config study=demo          (or: make study STUDY=demo)
# One job packs each cell, one trains each network, and the experiments only vote.
#
# A job is run again when what it computes changes: its notebook's code cells, the modules it
# imports, the sections of the study's file that it depends on. Saving a notebook's outputs re-runs
# nothing. Packing and training depend on what they compute alone, not on how it is shown: a
# touched figure trains nothing anew, which is why 01 is executed once to train and once, on the
# finished network, for its table.

import hashlib
import json
import shutil
from pathlib import Path

from lib import code, params, paths

NAME = config.get("study", "demo")
STUDY = params.load(NAME)
SIZE = STUDY.data.image_size
VARIANTS = [params.PLAIN, *STUDY.variants]
SMALLER = [size for size in STUDY.patch_sizes if size < SIZE]
NETWORKS = len(STUDY.train_on) * len(VARIANTS) * len(STUDY.patch_sizes) * len(STUDY.seeds)
GPU = int(shutil.which("nvidia-smi") is not None)  # then one network trains at a time
WEIGHTS = paths.ROOT / "lib" / "data" / "weights"
LOGS = paths.results(NAME) / "notebooks"
RUN = "{train}/{variant}/p{size}/seed{seed}"
TABLE = "{train}__{test}__{variant}__p{size}__seed{seed}"


def table(experiment):
    return str(paths.results(NAME) / "tables" / f"exp{experiment}" / f"{TABLE}.csv")


def tables(experiment, sizes, tests):
    """The tables of one experiment; `tests` gives the cells that a training cell is tested on."""
    return [
        table(experiment).format(
            train=train, test=test, variant=variant, size=f"{size:03d}", seed=seed
        )
        for train in STUDY.train_on
        for test in tests(train)
        for variant in VARIANTS
        for size in sizes
        for seed in STUDY.seeds
    ]


def matched(train):
    return [train]


def others(train):
    return [cell for cell in STUDY.cells if cell != train]


ALL_TABLES = [
    *tables(1, STUDY.patch_sizes, matched),
    *(found for number in (2, 3, 4) for found in tables(number, SMALLER, matched)),
    *tables(5, STUDY.patch_sizes, others),
]


def digest(*sections):
    """A hash of the sections of the study, in each variant, that a rule depends on."""
    loaded = [params.load(NAME, variant) for variant in VARIANTS]
    content = [study.model_dump(include=set(sections)) for study in loaded]
    if "crops" in sections:
        content += [[study.crops(size) for size in STUDY.patch_sizes] for study in loaded]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def flags(wildcards):
    """The papermill parameters of one run."""
    dataset, gan = wildcards.train.split("-")
    found = f"-p study {NAME} -p dataset {dataset} -p gan {gan}"
    if "size" in wildcards.keys():
        found += f" -p patch_size {int(wildcards.size)} -p seed {wildcards.seed}"
        found += f" -p variant {wildcards.variant}"
    if wildcards.get("test", wildcards.train) != wildcards.train:
        test_dataset, test_gan = wildcards.test.split("-")
        found += f" -p test_dataset {test_dataset} -p test_gan {test_gan}"
    return found


def packed(cell):
    return str(paths.packed(NAME, cell))


def run_folder(wildcards, size=None):
    names = {**dict(wildcards.items()), **({"size": f"{size:03d}"} if size else {})}
    return str(paths.results(NAME) / "runs" / RUN).format(**names)


# ipykernel warns, in every notebook, that it talks to this machine over TCP.
EXECUTE = (
    "mkdir -p $(dirname {log}) && OMP_NUM_THREADS={threads} papermill --log-level WARNING "
    "--no-progress-bar {input.notebook} {log} {params.flags} "
    "2>&1 | {{ grep -v IPKernelApp || true; }}"
)


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
    output:
        str(paths.report(NAME)),
        # Kept reports come with the checkout; this says that it was made here, from these tables.
        touch(str(paths.results(NAME) / "report.done")),
    log:
        str(LOGS / "06_report.ipynb"),
    params:
        flags=f"-p study {NAME}",
        code=code.digest("06_report"),
        study=digest("title", "deviations"),
    retries: 2
    shell:
        EXECUTE


# The last cells of 00 and 01 only show things: if one of them fails, what is whole is kept.
rule pack:
    input:
        notebook=ancient(paths.NOTEBOOKS / "00_data.ipynb"),
        modules=code.modules("lib.data.packing"),
        weights=sorted(map(str, WEIGHTS.glob("*"))) if STUDY.simulated else [],
    output:
        directory(packed("{train}")),
    log:
        str(LOGS / "00_data__{train}.ipynb"),
    params:
        flags=flags,
        study=digest("data", "cells", "train_on"),
    retries: 2
    shell:
        EXECUTE + " || test -f {output}/packed.json"


rule train:
    input:
        notebook=ancient(paths.NOTEBOOKS / "01_patch_accuracy.ipynb"),
        modules=code.modules("lib.training"),
        packed=[packed(cell) for cell in STUDY.cells],
    output:
        directory(str(paths.results(NAME) / "runs" / RUN)),
    log:
        str(LOGS / "01_training__{train}__{variant}__p{size}__seed{seed}.ipynb"),
    params:
        flags=flags,
        table=table(1).replace("{test}", "{train}"),
        study=digest("data", "cells", "model", "training", "crops"),
    threads: max(1, workflow.cores // NETWORKS)
    resources:
        gpu=GPU,
    retries: 2
    shell:
        # Its table is for 01_patch_accuracy to write.
        "( " + EXECUTE + " || test -f {output}/config.json ) && rm -f {params.table}"


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
        output:
            table(number).replace("{test}", "{train}"),
        log:
            str(LOGS / f"{name}__{TABLE}.ipynb").replace("{test}", "{train}"),
        params:
            flags=flags,
            code=code.digest(name),
            study=digest("voting", "bootstrap"),
        retries: 2
        shell:
            EXECUTE


rule generalize:
    input:
        notebook=ancient(paths.NOTEBOOKS / "05_generalization.ipynb"),
        modules=code.modules("05_generalization"),
        run=run_folder,
        whole=lambda wildcards: run_folder(wildcards, SIZE) if SIZE in STUDY.patch_sizes else [],
    output:
        table(5),
    log:
        str(LOGS / f"05_generalization__{TABLE}.ipynb"),
    params:
        flags=flags,
        code=code.digest("05_generalization"),
        study=digest("voting", "bootstrap"),
    retries: 2
    shell:
        EXECUTE
