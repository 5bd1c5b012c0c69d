# One's own pictures, judged in parts by several jobs: make judge PICTURES=… PROFILE=slurm PARTS=16

PICTURES = os.environ.get("PICTURES", "")
PARTS = int(config.get("parts", 16))
# A mark of each part; none stays, since pictures may be added and replaced, and what was judged
# before is skipped.
PART = str(paths.results("judged") / hashed(os.path.abspath(PICTURES)) / "{part}")


rule judge_part:
    output:
        touch(PART),
    log:
        f"{PART}.log",
    params:
        pictures=PICTURES,
    threads: 4
    shell:
        COMMAND % "python -m lib judge --part {wildcards.part}/{PARTS} -- {params.pictures:q}"


rule judged:
    input:
        expand(PART, part=range(1, PARTS + 1)),
    log:
        PART.format(part="all") + ".log",
    params:
        pictures=PICTURES,
    shell:
        COMMAND % "python -m lib judge -- {params.pictures:q}" + " && rm {input:q}"
