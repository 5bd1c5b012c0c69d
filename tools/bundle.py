"""Prepares .bundle/ for a GPU machine without network: what it lacks, and a study's pictures.

python tools/bundle.py faces_xception          (or: make bundle STUDY=faces_xception DATA=<folder>)

The wheels are for Python 3.12 on x86-64, of what such a machine lacks beside torch, timm, pandas,
scikit-learn and their kin. The pictures come in parts, since not all may travel at once.
"""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

from lib.study import paths, reading
from lib.study.schema import ParameterError

BUNDLE = paths.ROOT / ".bundle"
LACKING = ("annotated-types", "imagehash", "lmdb", "pillow", "psutil", "pydantic", "pydantic-core")
LACKING += ("pywavelets", "tabulate", "typing-inspection")
PART = 40 * 10**6  # bytes of pictures
GLIBC = ("2_28", "2_27", "2_17", "2_12")


def wheels() -> list[Path]:
    """Downloads the wheels of the versions that requirements.txt pins."""
    pins = (paths.ROOT / "requirements.txt").read_text("utf-8").splitlines()
    named = {re.sub("[-_]+", "-", line.partition("==")[0].lower()): line for line in pins}
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"]
    for glibc in (*(f"manylinux_{version}" for version in GLIBC), "manylinux2014"):
        command += ["--platform", f"{glibc}_x86_64"]
    into = BUNDLE / "wheels"
    command += ["--dest", str(into), *(named[name].partition(";")[0].strip() for name in LACKING)]
    subprocess.run(command, check=True)
    return sorted(into.glob("*.whl"))


def pictures(study: str) -> list[Path]:
    """Writes the files of a study's cells, in their folders below DATA, in parts.

    Raises FileNotFoundError if one of the folders is not there.
    """
    loaded, root = reading.load(study), paths.data_root()
    sources = [
        getattr(cell, name, None) for cell in loaded.cells.values() for name in ("real", "fake")
    ]
    folders = dict.fromkeys(
        root / source.path for source in sources if source and source.kind == "files"
    )
    files = []
    for folder in folders:
        if not folder.exists():
            raise FileNotFoundError(f"{folder}: is not there; say where it lies by DATA=<folder>")
        inside = [folder] if folder.is_file() else sorted(folder.rglob("*"))  # it may be a zip
        files += [file for file in inside if file.is_file()]
    for old in BUNDLE.glob("pictures.*.tar"):
        old.unlink()
    groups, size = [], PART
    for file in files:
        size += file.stat().st_size
        if size > PART:
            groups.append([])
            size = file.stat().st_size
        groups[-1].append(file)
    for number, group in enumerate(groups):
        with tarfile.open(BUNDLE / f"pictures.{number}.tar", "w") as archive:
            for file in group:
                archive.add(file, file.relative_to(root))
    return sorted(BUNDLE.glob("pictures.*.tar"))


def main() -> int:
    """Writes both, and says what is there; returns the exit status."""
    BUNDLE.mkdir(exist_ok=True)
    try:
        files = [*pictures(sys.argv[1]), *wheels()]
    except (ParameterError, FileNotFoundError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    for file in files:
        print(f"{file.stat().st_size / 1e6:6.1f} MB  {file.relative_to(paths.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
