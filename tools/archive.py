"""Packs a study into one zip to deposit, an RO-Crate: what came out and of what, and no pictures.

python tools/archive.py demo          (or: make archive STUDY=demo)
"""

import re
import sys
from importlib.metadata import version
from io import StringIO
from pathlib import Path

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from lib.results import tables
from lib.study import paths, reading
from lib.study.schema import ParameterError

PICTURES = re.compile(r'<img src="data:image/webp;[^>]*>')
"""In a page, the figures that hold images: `lib.report.page` writes all others as PNG."""
LEFT_OUT = "<p>Left out: an archive holds no pictures, and no maps of them.</p>"
ROWS = ["experiment", "train", "test", "variant", "patch_size", "seed"]
WHAT = {
    "claims.csv": "The findings on the paper's claims",
    "overview.png": "Accuracy by patch size",
    "requirements.txt": "Pinned versions; those that made a network are in its config.json",
    "CITATION.cff": "How to cite Patchwise",
    "tables": "What came out: a row per number, with its interval",
    "verdicts": "What each rule says of each test image, by its row in the packed cell",
    "runs": "A network's parameters, versions and images' hashes; its epochs",
}


def results(study: str) -> list[Path]:
    """The tables, verdicts and networks' records that were made as the study's file says now.

    Prints a line for each of the others.
    """
    rows, left_out = tables.read(reading.load(study))
    for line in left_out:
        print(f"left out, made with other parameters: {line}")
    files = sorted((paths.results(study) / "tables").glob("a[13]/[!.]*.csv"))
    for number, train, test, *run in rows[ROWS].drop_duplicates().itertuples(index=False):
        files += [kind(study, number, train, test, *run) for kind in (paths.table, paths.verdicts)]
        files += [paths.run(study, train, *run) / name for name in ("config.json", "history.csv")]
    return [file for file in dict.fromkeys(files) if file.is_file()]  # what only votes has no run


def archive(study: str) -> Path:
    """Writes `reports/<study>/<study>.zip`, whole or not at all.

    Raises:
        ParameterError: if there is no such study.
        FileNotFoundError: if it has no report, naming the command that makes it.
    """
    loaded, page = reading.load(study), paths.report(study)
    if not page.is_file():
        raise FileNotFoundError(f"no report in {page}: make study STUDY={study} makes it")
    crate, parameters = ROCrate(), paths.PARAMS / f"{study}.yaml"
    crate.name = loaded.title
    crate.description = (
        f"The study {study!r} of patch-wise detection of GAN images, made by Patchwise, a "
        "reproduction of Lee and Park's study of 2022: report, tables, verdicts, parameters, "
        "versions; no pictures." + " Measured on simulated images." * loaded.simulated
    )
    crate.license = "Patchwise: MIT. The results: as whoever deposits them chooses."
    program = {"@type": "SoftwareApplication", "name": "Patchwise"}
    program["softwareVersion"] = version("patchwise")
    made = {"@type": "CreateAction", "name": f"make study STUDY={study}"}
    made["instrument"] = crate.add(ContextEntity(crate, "#patchwise", program))
    made |= {"object": {"@id": parameters.name}, "result": crate.root_dataset}
    crate.root_dataset["mentions"] = crate.add(ContextEntity(crate, "#made", made))

    def add(source: Path | StringIO, name: str, what: str) -> None:
        crate.add_file(source, name, properties={"description": what})

    add(StringIO(PICTURES.sub(LEFT_OUT, page.read_text("utf-8"))), page.name, "The report")
    add(parameters, parameters.name, "The study's parameters")
    beside = [page.with_name(name) for name in ("claims.csv", "overview.png")]
    for file in (*beside, paths.ROOT / "requirements.txt", paths.ROOT / "CITATION.cff"):
        if file.is_file():
            add(file, file.name, WHAT[file.name])
    for file in results(study):
        name = file.relative_to(paths.results(study))
        add(file, name, WHAT[name.parts[0]])
    return paths.write_whole(page.with_name(f"{study}.zip"), crate.write_zip)


if __name__ == "__main__":
    try:
        print(archive(sys.argv[1]).relative_to(paths.work()))
    except (FileNotFoundError, ParameterError) as error:
        sys.exit(str(error))
