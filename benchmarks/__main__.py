"""Measures how fast the study is, beside the plain way and beside what the machine can do.

    python -m benchmarks [--quick] [--device auto]

Needs no Jupyter. Writes reports/benchmarks/<machine class>.md and .json, or with --quick, which
measures less well, <machine class>-quick.md and .json.
"""

import argparse
import importlib.metadata
import json
import re
from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd
import torch

from benchmarks import four_tables, limits, networks, packing, plain, revote
from benchmarks.measuring import Row
from lib.networks.classifier import DTYPES, pick_device, pick_precision
from lib.progress import bar
from lib.study import paths, reading
from lib.study.study import Study

PATCH_SIZES = (256, 128, 64, 32, 16)
ON_PAGE = ("over_eager", "roofline_share", "memory")  # and not among the JSON file's keys


def measured(device: torch.device, *, quick: bool) -> Iterator[Row]:
    """All rows."""
    precision = DTYPES[pick_precision("auto", device)]
    repeats, images = (2, 4) if quick else (5, 16)
    if device.type == "cuda":
        images *= 32
    yield limits.ceiling("ceiling_fp32", device, torch.float32, repeats)
    yield limits.ceiling("ceiling_bf16", device, torch.bfloat16, repeats)
    bandwidth = limits.bandwidth(device, repeats)
    yield bandwidth
    used = ((networks.scoring, images, 1), (networks.training, images // 2, 3))
    with plain.apart() as elsewhere:
        for use, count, passes in used:
            for size in PATCH_SIZES:
                row = use(size, count, repeats, device, precision, elsewhere)
                ceiling = passes * networks.operations(size) * row.value / row.ceiling_share
                moved = bandwidth.value * 1e9
                least = networks.roofline(size, ceiling, moved, precision.itemsize) / passes
                row.roofline_share = row.value / least
                yield row
        few = 1 if quick else 3
        yield four_tables.tables(64, images // 2, few, device, precision, elsewhere)
    yield packing.row(images=150 if quick else 600, repeats=1 if quick else 3)
    yield revote.row(epochs=5 if quick else 50, images=1000 if quick else 4000)


def protocol(study: Study, rows: list[Row]) -> pd.DataFrame:
    """The hours that a study's plain protocol takes at the rates of these rows, by patch size."""
    rates = {(row.name, row.patch_size): (row.value, row.baseline) for row in rows}
    epochs, counts = study.training.epochs, study.data.per_class
    cells = len(study.cells) - len(study.altered())
    scored = 2 * (cells * counts.test + counts.validation)
    lines = {}
    for size in study.patch_sizes:
        patches = (study.data.image_size // size) ** 2
        uses = 1 if patches == 1 else 1 + study.crops(size) / patches  # the grid, and the crops
        lines[size] = [
            epochs * (2 * counts.train / train + uses * scored / score) / 3600
            for train, score in zip(rates["training", size], rates["scoring", size], strict=True)
        ]
    table = pd.DataFrame(lines, index=["ours", "the plain way"]).T.rename_axis("patch size, px")
    table.loc["all"] = table.sum()
    return table


def machine(device: torch.device) -> tuple[str, str]:
    """The machine's class, as a file's name, and in words."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return re.sub(r"\W+", "-", name.lower()), name
    cores, isa = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    bf16 = "native" if pick_precision("auto", device) == "bf16" else "no native"
    return f"cpu-{cores}-cores-{isa.lower()}", f"CPU, {cores} cores, {isa}, {bf16} bfloat16"


def page(rows: list[Row], device: torch.device, *, quick: bool) -> str:
    """The benchmark as Markdown."""
    table = pd.DataFrame([asdict(row) for row in rows])
    table = table.rename(columns={name: name.replace("_", " ") for name in ON_PAGE})
    table = table.rename(columns={"memory": "memory, GiB"})
    shown = table.astype(object).where(table.notna(), "").map(_short)
    study = reading.load("paper")
    hours = protocol(study, rows).round(2)
    return "\n".join(
        [
            f"# Speed on: {machine(device)[1]}",
            "",
            f"By `make bench{' QUICK=1' * quick}`, with torch {importlib.metadata.version('torch')}"
            f", precision {pick_precision('auto', device)}. Medians over repeats; ours and the "
            "plain way were taken in turn, in scoring and training each once more before it was "
            "timed.",
            "",
            shown.to_markdown(index=False, disable_numparse=True),
            "",
            "`value` is ours; `baseline` the plain way's: for scoring, training and tables a "
            "DataLoader over arrays, fp32, channels first, one forward per use, in a process of "
            "its own; for packing plain Pillow loops, one process a core, that neither check nor "
            "note. `ceiling_share`: the network's arithmetic in a second over the matrix-product "
            "ceiling of the precision, measured beside it; training counts three times the "
            "forward. `over eager`: how many times faster training is than the plain way with "
            "that precision and channels last. "
            "`roofline share`: ours over the rate at which each convolution takes the longer of "
            "its arithmetic at that ceiling and its traffic at the bandwidth, inputs, outputs and "
            "a batch's weights moving once; three times both in training. "
            "Images have 256 px, "
            f"networks are Xceptions, batches have {plain.BATCH} patches, or all of the few "
            "images there are. `tables`: Tables 1 to 4 for one network. "
            "`packing`: PNGs of 1,024 px. `revote`: all rules, θ, readings, quirks and intervals "
            "from stored margins. `memory`: the process's highest while ours ran, or the GPU's.",
            "",
            f"At these rates the paper's protocol ({study.training.epochs} epochs, "
            f"{2 * study.data.per_class.train:,} training images, {len(study.patch_sizes)} patch "
            f"sizes, scoring of {len(study.cells) - len(study.altered())} test cells after each "
            "epoch) takes so many hours, projected, not run:",
            "",
            hours.to_markdown(),
            "",
        ]
    )


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repeats: three minutes")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    given = parser.parse_args()
    device, rows = pick_device(given.device), []
    with bar(desc="benchmark", unit="row") as progress:
        for row in measured(device, quick=given.quick):
            rows.append(row)
            progress.update()
    name = machine(device)[0] + "-quick" * given.quick
    text = page(rows, device, quick=given.quick)
    kept = [{k: v for k, v in asdict(row).items() if k not in ON_PAGE} for row in rows]
    target = paths.ROOT / "reports" / "benchmarks"
    for suffix, content in ((".md", text), (".json", json.dumps(kept, indent=1) + "\n")):
        paths.write_whole(target / f"{name}{suffix}", lambda p, c=content: p.write_text(c, "utf-8"))
    print(text)


if __name__ == "__main__":
    main()
