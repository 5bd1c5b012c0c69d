# What only votes: the five experiments, and what quirks do to them.

NAMES = ("01_patch_accuracy", "02_grid_vote", "03_random_vote", "04_confident_vote")


def network(wildcards, size=None):
    """The network that a job trains or votes with."""
    size = size or int(wildcards.size)
    return run_of(wildcards.variant, wildcards.train, size, int(wildcards.seed))


def trained(wildcards, size=None):
    """What its training wrote last."""
    return str(network(wildcards, size).folder / files.RECORD)


def made(number):
    """The table of an experiment, and the verdicts beside it; only the fifth tests elsewhere."""
    name = TABLE if number == 5 else TABLE.replace("{test}", "{train}")
    return [
        str(RESULTS / "tables" / f"exp{number}" / f"{name}.csv"),
        str(RESULTS / "verdicts" / f"exp{number}" / f"{name}.parquet"),
    ]


for number, name in enumerate(NAMES, 1):

    rule:
        name:
            name
        input:
            notebook=ancient(paths.NOTEBOOKS / f"{name}.ipynb"),
            run=trained,
            # The audits' warnings stand over every result.
            audit=AUDIT.replace("{cell}", "{train}"),
        output:
            made(number),
        log:
            str(LOGS / f"{name}__{TABLE}.ipynb").replace("{test}", "{train}"),
        params:
            flags=flags,
            code=digest(name),
            study=voting,
        shell:
            EXECUTE


rule generalize:
    input:
        notebook=ancient(paths.NOTEBOOKS / "05_generalization.ipynb"),
        run=trained,
        whole=lambda wildcards: (
            trained(wildcards, SIZE) if SIZE in VARIANTS[wildcards.variant].patch_sizes else []
        ),
        audits=[AUDIT.replace("{cell}", "{train}"), AUDIT.replace("{cell}", "{test}")],
    output:
        made(5),
    log:
        str(LOGS / f"05_generalization__{TABLE}.ipynb"),
    params:
        flags=flags,
        code=digest("05_generalization"),
        study=voting,
    shell:
        EXECUTE


rule places:
    input:
        notebook=ancient(paths.NOTEBOOKS / "A3_where_crops_fail.ipynb"),
        runs=lambda wildcards: networks(wildcards.train),
        tables=lambda wildcards: [
            file
            for run in RUNS
            if (run.train, run.variant) == (wildcards.train, PLAIN)
            for file in results(run)
        ],
        audits=AUDIT.replace("{cell}", "{train}"),
    output:
        [PLACES.replace("{which}", which) for which in WHICH],
    log:
        str(LOGS / "A3_where_crops_fail__{train}.ipynb"),
    params:
        flags=flags,
        code=digest("A3_where_crops_fail"),
        study=digest_of("voting", "bootstrap", "patch_sizes", "seeds", variants=VARIANTS),
    shell:
        EXECUTE


rule quirks:
    input:
        notebook=ancient(paths.NOTEBOOKS / "A1_quirks.ipynb"),
        runs=lambda wildcards: networks(wildcards.train),
        audits=lambda wildcards: expand(
            AUDIT, cell=[wildcards.train, *STUDY.others(wildcards.train)]
        ),
    output:
        EFFECTS,
    log:
        str(LOGS / "A1_quirks__{train}.ipynb"),
    params:
        flags=flags,
        code=digest("A1_quirks"),
        study=digest_of("voting", "quirks", "bootstrap", "patch_sizes", "seeds", variants=VARIANTS),
    shell:
        EXECUTE
