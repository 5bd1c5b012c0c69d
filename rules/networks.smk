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
    threads: max(1, workflow.cores // len(set(map(STUDY.base, STUDY.cells))))
    shell:
        COMMAND


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


rule train:
    input:
        rules.all_packed.input,
    output:
        update(NETWORK),
    log:
        str(LOGS / f"train__{TABLE}.log").replace("{test}__", ""),
    params:
        options=lambda wildcards: f"{options(wildcards)} --code {TRAINING}",
        study=protocol,
    threads: max(1, workflow.cores // 4)  # never by what else there is: it tells in last digits
    resources:
        gpu=GPU,
    shell:
        COMMAND
