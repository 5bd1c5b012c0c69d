# What costs hours: packing the cells and training the networks; and the audits of the cells.
#
# What they made is theirs to replace: Snakemake, which would delete it after a kill, however whole it
# is, is told that it is updated. Both record what the code is known by, and find done what is.

# Of lib.study jobs take values, which `drawing` and `protocol` hash: the file's own, what follows
# from them (the number of crops) and paths. Nor does it matter how progress is shown.
VALUES = ("lib.study", "lib.progress")


TRAINING = digest("lib.networks.training", without=VALUES)


def packing(wildcards):
    """What the code that packs a cell is known by: of all sources, that of its own."""
    cell, base = wildcards.cell, STUDY.cells[STUDY.base(wildcards.cell)]
    if cell != STUDY.base(cell):
        return digest("lib.data.perturbations", without=VALUES)
    weights = sorted((paths.ROOT / "lib/data/simulated/weights").glob("*")) * base.simulated
    others = ("lib.data.sources", "lib.data.cells", "lib.data.perturbations")
    kinds = sorted({base.real.kind, base.fake.kind})
    sources = [digest(f"lib.data.sources.{kind}", *weights, without=VALUES) for kind in kinds]
    return hashed([digest("lib.data.packing.pack", without=(*VALUES, *others)), *sources])


rule pack:
    input:
        # An altered cell's pictures are another cell's.
        lambda wildcards: expand(PACKED, cell={STUDY.base(wildcards.cell)} - {wildcards.cell}),
    output:
        update(PACKED),
    log:
        str(LOGS / "pack__{cell}.log"),
    params:
        options=lambda wildcards: f"{options(wildcards)} --code {packing(wildcards)}",
        study=drawing,
    threads: lambda wildcards: max(1, workflow.cores // len(set(map(STUDY.base, STUDY.cells))))
    shell:
        COMMAND % "python -m lib pack {params.options}"


rule audit:
    input:
        notebook=ancient(paths.NOTEBOOKS / "00_data.ipynb"),
        # The notebook packs what is missing of the study, which is done here.
        packed=rules.all_packed.input,
    output:
        AUDIT,
    log:
        str(LOGS / "00_data__{cell}.ipynb"),
    params:
        flags=flags,
        code=digest("00_data", without=("lib.data.packing", "lib.data.sources")),
        study=digest_of("bootstrap"),
    shell:
        EXECUTE


def devices(wildcards):
    """How many devices a network is trained on at once; `python -m lib train` sees to it."""
    return VARIANTS[wildcards.variant].training.devices


def on_gpu(wildcards):
    """Whether it asks for GPUs."""
    return VARIANTS[wildcards.variant].training.device != "cpu"


rule train:
    input:
        rules.all_packed.input,
    output:
        update(NETWORK),
    wildcard_constraints:
        variant="|".join(OURS),
    log:
        str(LOGS / f"train__{TABLE}.log").replace("{test}__", ""),
    params:
        options=lambda wildcards: f"{options(wildcards)} --code {TRAINING}",
        study=protocol,
    # Never by what else there is to train: their number tells in last digits.
    threads: lambda wildcards: max(devices(wildcards), workflow.cores // 4)
    resources:
        gpu=lambda wildcards: devices(wildcards) * int(on_gpu(wildcards)),
        gpus_here="",  # of which each network has its own, on one machine: profiles/local
    shell:
        COMMAND % 'python rules/own_gpu.py "{resources.gpus_here}" {resources.gpu} python -m lib train {params.options}'
