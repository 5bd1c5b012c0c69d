"""Measures packing beside plain Pillow loops over the same files, and its memory as images grow.

    python -m benchmarks.packing [--images 600] [--repeats 3] [--folder <a folder of pictures>]

The plain way: as many independent processes as there are cores, each decoding its share of the
files with Pillow, resizing them by the same filter and storing them in an array; nothing is
checked, hashed or noted. Both run in turn, and the median of the ratios counts. Without a folder,
pictures are made: PNGs of 1,024 px, as FFHQ is published, and JPEGs of 256 px. Memory is measured
at 500 and at 5,000 images a cell: of all processes together, without the files' pages that the
system keeps. Writes benchmarks/packing.csv.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from PIL import Image

from benchmarks.measuring import Row
from lib.data.packing.workers import cores
from lib.study import paths
from lib.study.study import Study

CELL, SIZE = "pictures-gan", 256
PLAIN = """
import sys, numpy as np
from PIL import Image
files = open(sys.argv[1]).read().splitlines()
images = np.lib.format.open_memmap(sys.argv[2], 'w+', np.uint8, (len(files), 256, 256, 3))
for row, file in enumerate(files):
    images[row] = Image.open(file).convert('RGB').resize((256, 256), Image.Resampling.LANCZOS)
"""
PACK = """
import sys
if __name__ == '__main__':
    sys.path.insert(0, sys.argv[2])
    from benchmarks.packing import study
    from lib.data.packing import pack
    pack.pack(study(int(sys.argv[1])), 'pictures-gan')
"""


def study(images: int) -> Study:
    """A study that packs so many images, half of them of each class."""
    per_class = {"train": images // 2 - 2, "validation": 1, "test": 1}
    sources = {name: {"kind": "files", "path": name} for name in ("real", "fake")}
    return Study(
        name=f"of_{images}",
        title="Packing",
        data={"image_size": SIZE, "per_class": per_class, "max_skipped": 1},
        cells={CELL: sources},
        train_on=[CELL],
        patch_sizes=[SIZE],
    )


def make(folder: Path, count: int, size: int, suffix: str, seed: int = 0) -> None:
    """Pictures with shapes and grain, half of them in each of two folders."""
    generator = np.random.default_rng(seed)
    grain = generator.normal(0, 4, (size, size, 3)).astype(np.float32)
    for number in range(count):
        file = folder / ("real", "fake")[number % 2] / f"{number:05d}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = generator.integers(0, 256, (24, 24, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(smooth, np.float32) + np.roll(grain, number, 0)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            file, quality=75, compress_level=1
        )


def plain(folder: Path, scratch: Path) -> float:
    """Seconds of the plain loops together."""
    files = sorted(str(file) for file in folder.rglob("*.*"))
    begun, loops = time.perf_counter(), []
    for number in range(cores()):
        (scratch / f"{number}.txt").write_text("\n".join(files[number :: cores()]))
        command = [sys.executable, "-c", PLAIN, str(scratch / f"{number}.txt")]
        loops.append(subprocess.Popen([*command, str(scratch / f"{number}.npy")]))
    for loop in loops:
        assert loop.wait() == 0
    return time.perf_counter() - begun


def ours(folder: Path, images: int) -> tuple[float, float]:
    """Seconds of packing, and the peak memory of its processes, MiB."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        script = Path(work) / "pack.py"
        script.write_text(PACK)
        environment = {**os.environ, "PATCHWISE_DATA": str(folder), "PATCHWISE_WORK": work}
        command = [sys.executable, str(script), str(images), str(paths.ROOT)]
        return watched(command, env=environment, stderr=subprocess.DEVNULL)


def watched(command: list[str], **how: object) -> tuple[float, float]:
    """Seconds of a command, and the peak memory of its processes, MiB."""
    begun, peak = time.perf_counter(), 0.0
    done = subprocess.Popen(command, **how)
    process = psutil.Process(done.pid)
    while done.poll() is None:
        peak = max(peak, memory(process))
        time.sleep(0.2)
    assert done.returncode == 0
    return time.perf_counter() - begun, peak


def memory(process: psutil.Process) -> float:
    """What a process and its children hold, MiB, without the pages of mapped files.

    One that has just ended holds nothing, and says so by leaving the lines out.
    """
    total, shared = 0, 0
    for one in (process, *process.children(recursive=True)):
        try:
            lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
        except OSError:  # it has ended
            continue
        held = dict(line.split(":", 1) for line in lines)
        total += _kib(held.get("RssAnon", "0"))
        shared = max(shared, _kib(held.get("RssShmem", "0")))  # the same pages in all of them
    return (total + shared) / 1024


def _kib(text: str) -> int:
    return int(text.split()[0])


def measured(name: str, folder: Path, repeats: int) -> dict[str, object]:
    """One line of the table: both ways in turn."""
    images = sum(1 for _ in folder.rglob("*.*")) // 2 * 2
    times = [(plain(folder, folder.parent), ours(folder, images)) for _ in range(repeats)]
    rates = [(images / one, images / other) for one, (other, _) in times]
    return {
        **{"pictures": name, "images": images, "processes": cores()},
        "plain, images/s": statistics.median(rate for rate, _ in rates),
        "packing, images/s": statistics.median(rate for _, rate in rates),
        "ratio": statistics.median(other / one for one, other in rates),
        "memory, MiB": max(peak for _, (_, peak) in times),
    }


def row(images: int, repeats: int) -> Row:
    """The benchmark's row: packing so many PNGs of 1,024 px."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        make(folder, images, 1024, ".png")
        line = measured("", folder, repeats)
    rates = {"value": line["packing, images/s"], "baseline": line["plain, images/s"]}
    memory = line["memory, MiB"] / 1024
    return Row("packing", None, unit="images/s", ratio=line["ratio"], memory=memory, **rates)


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="real/ and fake/ with as many pictures each")
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        if given.folder:
            lines.append(measured(given.folder.name, given.folder, given.repeats))
        else:
            make(made / "png" / "in", given.images, 1024, ".png")
            make(made / "jpeg" / "in", 5000, 256, ".jpg")
            lines.append(measured("PNG, 1024 px", made / "png" / "in", given.repeats))
            lines.append(measured("JPEG, 256 px", made / "jpeg" / "in", given.repeats))
            few = {"pictures": "JPEG, 256 px", "images": 500, "processes": cores()}
            lines.append({**few, "memory, MiB": ours(made / "jpeg" / "in", 500)[1]})
    table = pd.DataFrame(lines).round(2)
    print(table.to_string(index=False))
    if not given.folder:
        table.to_csv(paths.ROOT / "benchmarks" / "packing.csv", index=False)


if __name__ == "__main__":
    main()
