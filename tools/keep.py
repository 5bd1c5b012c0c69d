"""Copies a study's report, its tables in one file, and A3's, to reports/kept/, which git keeps.

python tools/keep.py demo          (or: make keep STUDY=demo)
"""

import shutil
import sys
from pathlib import Path

from lib.results import tables
from lib.study import paths, reading

FILES = ("index.html", "claims.csv", "overview.png")
MEASURED = ("cost.csv", "instructive.csv")
"""Of benchmarks, which not every study has had; what was kept of them stays."""


def keep(study: str) -> list[Path]:
    """Copies what there is of a study; what was kept of it before goes.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if there is no report, naming the command that makes it.
    """
    report, kept = paths.report(study), paths.ROOT / "reports" / "kept" / study
    if not report.is_file():
        name = study.removesuffix("_record")
        raise FileNotFoundError(f"no report in {report}: make study STUDY={name} makes it")
    kept.mkdir(parents=True, exist_ok=True)
    for name in (*FILES, "tables.csv"):
        (kept / name).unlink(missing_ok=True)
    files = [
        Path(shutil.copy(file, kept))
        for name in (*FILES, *MEASURED)
        if (file := report.with_name(name)).is_file()
    ]
    if (paths.results(study) / "tables").is_dir():
        every, left_out = tables.read(reading.load(study))
        paths.write_whole(kept / "tables.csv", lambda path: every.to_csv(path, index=False))
        files.append(kept / "tables.csv")
        for file in sorted((paths.results(study) / "tables" / "a3").glob("[!.]*.csv")):
            files.append(Path(shutil.copy(file, kept / f"a3_{file.stem.split('__')[1]}.csv")))
        for line in left_out:
            print(f"left out, made with other parameters: {line}")
    return files


if __name__ == "__main__":
    try:
        for file in keep(sys.argv[1]):
            print(file.relative_to(paths.ROOT))
    except FileNotFoundError as error:
        sys.exit(str(error))
