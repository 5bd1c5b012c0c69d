"""Where a report's numbers come from: parameters, images, networks, machines, versions."""

import pandas as pd

from lib import runs
from lib.data import packing
from lib.report import Section
from lib.study import Run, Study


def protocol(section: Section, study: Study) -> Section:
    """The study's parameters, and how it departs from the paper."""
    section.text(f"Study {study.name}: params/{study.name}.yaml.")
    parts = {
        **study.data.model_dump(exclude={"per_class"}),
        **{f"{k} images per class": v for k, v in study.data.per_class},
        "patch sizes, px": ", ".join(map(str, study.patch_sizes)),
        "training seeds": ", ".join(map(str, study.seeds)),
        **{f"model {k}": v for k, v in study.model},
        **{f"training {k}": v for k, v in study.training},
        "θ": ", ".join(map(str, study.voting.thetas)),
        "bootstrap resamples": study.bootstrap.resamples,
    }
    section.table(pd.Series(parts, name="value").astype(str).to_frame())
    if study.deviations:
        section.heading("Deviations from the paper")
        section.items(study.deviations)
    return section


def images(section: Section, study: Study) -> Section:
    """The cells, their images, and what was skipped."""
    lines = {}
    altered = study.altered()
    for name in (cell for cell in study.cells if cell not in altered):
        packed = packing.ensure(study, name)
        splits = packed.manifest["split"].value_counts().to_dict()
        skipped = sum(len(packed.side[c]["skipped"]) for c in packing.CLASSES)
        formats = "/".join(sorted(packed.manifest["format"].unique()))
        lines[name] = {"simulated": "yes" if study.is_simulated(name) else "no", "format": formats}
        lines[name] |= {**{s: splits.get(s, 0) for s in packing.SPLITS}, "skipped": skipped}
    section.table(pd.DataFrame(lines).T, "Images in both classes together; skipped files.")
    if altered:
        section.heading("Altered test images")
        section.items([f"{name}: {', '.join(cell.sources)}" for name, cell in altered.items()])
    return section


def networks(section: Section, finished: list[Run]) -> Section:
    """The trained networks: epochs, times, machine and versions."""
    lines = {}
    for run in finished:
        config, history = runs.read_config(run.folder), runs.history(run)
        key = (run.train, run.variant, run.patch_size, run.seed)
        lines[key] = {
            "parameters": f"{config['model']['parameters']:,}",
            "epochs": len(history),
            "validated epoch": runs.validated(run),
            "training, s": round(history["training_seconds"].sum()),
            "scoring, s": round(history["scoring_seconds"].sum()),
            "precision": config["precision"],
            "device": config["device"],
            **{name: config["versions"][name] for name in ("python", "torch", "timm")},
        }
    table = pd.DataFrame(lines).T
    table.index.names = ["train", "variant", "patch_size", "seed"]
    section.table(table, "Epochs are numbered from 0.")
    return section
