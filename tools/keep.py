"""Copies a study's report, its tables in one file, and A3's, to reports/kept/, which git keeps.

    python tools/keep.py demo               (or: make keep STUDY=demo)
    python tools/keep.py demo --notebooks   (or: make keep STUDY=demo NOTEBOOKS=1)

With `--notebooks` also the executed ones as HTML, of each one, that of the smallest patches.
"""

import io
import re
import shutil
import sys
from base64 import b64decode, b64encode
from pathlib import Path

from nbconvert import HTMLExporter
from PIL import Image

from lib.results import tables
from lib.study import paths, reading
from lib.study.study import PLAIN

FILES = ("index.html", "claims.csv", "overview.png")
MEASURED = ("cost.csv", "instructive.csv")
"""Of benchmarks, which not every study has had; what was kept of them stays."""


def keep(study: str, *, notebooks: bool = False) -> list[Path]:
    """Copies what there is of a study; what was kept of it before goes.

    Args:
        study: its name.
        notebooks: whether the executed notebooks are kept as well, as HTML.

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
    for file in (*(kept / name for name in (*FILES, "tables.csv")), *kept.glob("[0AB]?_*.html")):
        file.unlink(missing_ok=True)
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
    return files + (_pages(study, kept) if notebooks else [])


def _pages(study: str, kept: Path) -> list[Path]:
    """Executed notebooks as HTML, one of each name, which load nothing from elsewhere."""
    exporter, pages = HTMLExporter(template_name="lab"), {}
    exporter.mathjax_url = exporter.require_js_url = exporter.jquery_url = ""
    trained = reading.load(study).train_on[0]

    def shown(file: Path) -> tuple[bool, bool, int, str]:
        size = re.search(r"__p(\d+)__", file.name)
        plain = f"__{PLAIN}__" in file.name
        return trained in file.name, plain, -int(size[1]) if size else 0, file.name

    for file in sorted((paths.results(study) / "notebooks").glob("[!.]*.ipynb"), key=shown):
        pages[file.name.removesuffix(".ipynb").partition("__")[0]] = file  # the last one stays
    del pages["06_report"]  # which is the page itself
    for name, file in pages.items():
        html, _ = exporter.from_filename(str(file))
        html = re.sub('data:image/png;base64,([^"]*)', _as_webp, html)
        html = re.sub("(?s)<style.*?</style>", _dense, html)
        paths.write_whole(
            kept / f"{name}.html", lambda path, html=html: path.write_text(html, "utf-8")
        )
    return [kept / f"{name}.html" for name in sorted(pages)]


def _as_webp(png: re.Match) -> str:
    """A picture as WebP, a few times smaller."""
    memory = io.BytesIO()
    Image.open(io.BytesIO(b64decode(png[1]))).save(memory, "WEBP", quality=80)
    return "data:image/webp;base64," + b64encode(memory.getvalue()).decode()


def _dense(style: re.Match) -> str:
    """A style sheet, of thousands of lines, in one."""
    return " ".join(re.sub(r"(?s)/\*.*?\*/", "", style[0]).split())


if __name__ == "__main__":
    try:
        for file in keep(sys.argv[1], notebooks="--notebooks" in sys.argv[2:]):
            print(file.relative_to(paths.ROOT))
    except FileNotFoundError as error:
        sys.exit(str(error))
