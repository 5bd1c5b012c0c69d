# The study as a graph of plain commands:
#   snakemake --cores all --config study=demo          (or: make study STUDY=demo)
# One job packs each cell, one audits it, one trains each network, and the experiments only vote.
# Variants that switch quirks are compared by A1_quirks; all others have every table.
#
# What is looked at, the audits, the experiments and the report, are notebooks that papermill
# executes. Packing and training are `python -m lib pack` and `train`: nobody looks at them while
# they run, they need no Jupyter where the GPUs are, and 01 executed to train would also vote, draw
# and write a table that 01_patch_accuracy writes again. No network waits for an audit.
#
# A job is run again when what it computes changes: the code that it runs (`digest`: no comment,
# docstring, error's text, saved output or time of saving counts), or what it takes from the
# study's file (rules/sections.smk). Touched figures, voting rules or sources train nothing anew.

import os
import sys
import tempfile

from lib.data import cells
from lib.study import files, paths, reading
from lib.study.run import Run
from lib.study.schema import ParameterError, split_cell
from lib.study.study import PLAIN
from rules.digests import digest

NAME = config.get("study", "demo")
RESULTS = paths.results(NAME)
try:
    STUDY = reading.load(NAME)
    VARIANTS = {PLAIN: STUDY, **{name: reading.load(NAME, name) for name in STUDY.variants}}
    cells.check(STUDY)
    RESULTS.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=RESULTS).close()  # it can be written to
except ParameterError as error:
    sys.exit(str(error))
except OSError as error:
    sys.exit(paths.refused(error))

SIZE = STUDY.data.image_size
ELSEWHERE = any(study.training.origins != STUDY.training.origins for study in VARIANTS.values())
WHICH = ["displaced", "places"]
OURS = [name for name, study in VARIANTS.items() if not study.imported]
QUIRKY = [name for name, study in VARIANTS.items() if study.quirks != STUDY.quirks]
LOGS = RESULTS / "notebooks"


def run_of(variant, train, size, seed, test=None):
    """One network by its variant, cell, patch size and seed, tested on that cell or another."""
    where = [*split_cell(train), *split_cell(test or train)]
    names = zip(("dataset", "gan", "test_dataset", "test_gan"), where)
    return Run(study=VARIANTS[variant], patch_size=size, seed=seed, **dict(names))


RUNS = [
    run_of(variant, train, size, seed)
    for train in STUDY.train_on
    for variant in OURS
    for size in VARIANTS[variant].patch_sizes
    for seed in VARIANTS[variant].seeds
]
# Another detector's scores, which no job makes.
RUNS += [
    run_of(variant, cell, size, seed)
    for cell, variant, size, seed in paths.imported(NAME)
    if cell in STUDY.cells
]


def networks(*trains):
    """What all networks that are trained on some cells wrote last."""
    own = [run for run in RUNS if run.variant == run.study.networks and run.train in trains]
    return [str(run.folder / files.RECORD) for run in own if not run.study.imported]


def results(run):
    """The tables and verdicts of all experiments on one network; one patch does not vote.

    Of another detector's scores there are neither crops nor other cells.
    """
    votes, others = (2, 3, 4), (*STUDY.others(run.train), *STUDY.altered(run.train))
    if run.study.imported:
        votes, others = (2, 4), ()
    made = [(number, run) for number in (1, *(() if run.is_whole_image else votes))]
    for cell in others:
        made.append((5, run_of(run.variant, run.train, run.patch_size, run.seed, cell)))
    return [str(file) for n, tested in made for file in (tested.table(n), tested.verdicts(n))]


# What jobs make. Of a packed cell and a network it is what is written last; it is small, so that
# Snakemake compares its contents: what is packed again as it was trains nothing anew once packing is
# done, for which `make study` asks for `all_packed` first.
PACKED = str(paths.packed(NAME, "{cell}") / "packed.json")
AUDIT = str(RESULTS / "audit" / "{cell}" / "cues.csv")
NETWORK = str(RESULTS / "runs" / "{train}" / "{variant}" / "p{size}" / "seed{seed}" / files.RECORD)
TABLE = "{train}__{test}__{variant}__p{size}__seed{seed}"
PLACES = str(RESULTS / "tables" / "a3" / "{train}__{which}.csv")
EFFECTS = str(RESULTS / "tables" / "a1" / "{train}.csv")

# A job may be tried again: what was killed or had too little memory, as a cluster's profile says. What
# ended with an error would do so again: a copy of its log says so, until the next batch, and why,
# since Snakemake removes the log itself before a try.
TRY = (
    'log={log:q}; if [ -e "$log.failed" ]; then cp "$log.failed" "$log"; '
    'echo "Not tried again after its error: $log"; exit 1; fi; export OMP_NUM_THREADS={threads}; '
)
COMMAND = TRY + (
    '%s > "$log" 2>&1 || {{ code=$?; [ $code != 1 ] || cp "$log" "$log.failed"; exit $code; }}'
)
# Of a notebook, a kernel that died, or lost a message so that a cell waits for an hour, is tried again
# at once (snakemake#3689). What papermill says stays beside a failed one. rules/kernel.py ends a kernel
# once this process, whose number the shell has as PPID, is gone.
EXECUTE = TRY + (
    "export BATCH=$PPID JUPYTER_PATH=rules; for attempt in 1 2 3; do papermill --log-level WARNING --no-progress-bar "
    '--execution-timeout 3600 {input.notebook:q} "$log" {params.flags} > "$log.log" 2>&1 '
    '&& rm "$log.log" && exit; '
    "grep -qs '\"output_type\": \"error\"' \"$log\" && cp \"$log\" \"$log.failed\" && break; "
    "grep -qs 'No space left on device' \"$log.log\" && break; kill -0 $BATCH || break; "
    "done; exit 1"
)


onstart:
    for mark in (*LOGS.glob("*.failed"), *paths.results("judged").glob("*/*.failed")):
        mark.unlink()


wildcard_constraints:
    cell="[a-z0-9_]+-[a-z0-9_]+",
    train="[a-z0-9_]+-[a-z0-9_]+",
    test="[a-z0-9_]+-[a-z0-9_]+",
    variant="[a-z0-9_]+",
    size=r"\d\d\d+",
    seed=r"\d+",


include: "rules/sections.smk"


rule report:
    input:
        notebook=ancient(paths.NOTEBOOKS / "06_report.ipynb"),
        results=[file for run in RUNS if run.variant not in QUIRKY for file in results(run)],
        effects=expand(EFFECTS, train=STUDY.train_on) if QUIRKY else [],
        places=expand(PLACES, train=STUDY.train_on, which=WHICH) if ELSEWHERE else [],
        audits=expand(AUDIT, cell=STUDY.cells),
    output:
        str(paths.report(NAME)),
    log:
        str(LOGS / "06_report.ipynb"),
    params:
        flags=f"-p study {NAME}",
        code=digest("06_report", *(paths.ROOT / "lib" / "report").glob("*.j2")),
        study=digest_of("title", "deviations", "show_pictures", "voting", "bootstrap"),
    shell:
        EXECUTE


rule all_packed:
    input:
        expand(PACKED, cell=STUDY.cells),


include: "rules/networks.smk"
include: "rules/experiments.smk"
include: "rules/judging.smk"
