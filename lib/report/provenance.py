"""Where a report's numbers come from: parameters, images, networks, machines, versions."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pandas as pd

from lib import margins
from lib.data import packed
from lib.report.families import NETWORK
from lib.results.accuracies import Family, MissingVerdicts, Question
from lib.study.run import Run
from lib.study.study import Study

CURVES = {
    "loss": "training loss",
    "validation_accuracy": "validation, per patch",
    "test_accuracy": "test, per patch",
}


def protocol(study: Study) -> pd.DataFrame:
    """The study's parameters, a line each."""
    sections = {"data", "patch_sizes", "seeds", "model", "training", "voting", "bootstrap"}
    flat = pd.json_normalize(study.model_dump(include=sections))
    return flat.iloc[0].map(str).rename("value").to_frame()


def images(study: Study) -> pd.DataFrame:
    """The cells and their packed images, those of both classes together; altered ones apart."""
    lines = {}
    for cell in (name for name in study.cells if name not in study.altered()):
        lines[cell] = {"simulated": "yes" if study.is_simulated(cell) else "no"}
        if (why := packed.stale(study, cell)) is not None:
            lines[cell]["format"] = f"out of date: {why}" if why else "not packed"
            continue
        there = packed.load(study, cell)
        splits = there.manifest["split"].value_counts()
        lines[cell]["format"] = "/".join(sorted(there.manifest["format"].unique()))
        if study.data.folds:
            lines[cell] |= {"folds": study.data.folds, "tested": len(there.manifest)}
        else:
            lines[cell] |= {split: splits.get(split, 0) for split in reversed(packed.SPLITS)}
        lines[cell]["skipped"] = sum(len(there.side[name]["skipped"]) for name in packed.CLASSES)
    return pd.DataFrame(lines).T


def networks(finished: Sequence[Run]) -> pd.DataFrame:
    """The trained networks: parameters, epochs, times, machine and versions."""
    lines = {}
    for run in finished:
        config, history = margins.read_config(run.folder), margins.history(run)
        lines[run.train, run.variant, run.patch_size, run.seed] = {
            "parameters": f"{config['model']['parameters']:,}",
            "epochs": len(history),
            "validated epoch": margins.validated(run),
            "training, s": round(history["training_seconds"].sum()),
            "scoring, s": round(history["scoring_seconds"].sum()),
            "precision": config["precision"],
            "device": _in_turn(config, "device"),
            **{name: _in_turn(config, "versions", name) for name in ("python", "torch", "timm")},
        }
    return pd.DataFrame(lines).T.rename_axis(NETWORK)


def _in_turn(config: dict[str, Any], section: str, key: str | None = None) -> str:
    """A recorded value, after those of before the run went on elsewhere."""
    sections = [each[section] for each in (*config.get("earlier", []), config) if section in each]
    values = [each[key] if key else each for each in sections]
    return ", then ".join(dict.fromkeys(map(str, values)))


def imported(finished: Sequence[Run]) -> pd.DataFrame:
    """Another detector's scores among the runs: their column and their file's SHA-256."""
    told = {
        (run.train, run.variant, run.patch_size, run.seed): told
        for run in finished
        if (told := margins.read_config(run.folder).get("imported"))
    }
    return pd.DataFrame(told).T.rename_axis(NETWORK) if told else pd.DataFrame()


def curves(finished: Sequence[Run]) -> pd.DataFrame:
    """Training loss, and accuracies per patch, over the epochs of one family's networks: tidy."""
    tables = []
    for run in finished:
        history = margins.history(run).rename(columns=CURVES)
        curve = history.melt("epoch", list(CURVES.values()), "quantity", "value")
        tables.append(curve.assign(network=f"{run.patch_size} px", seed=run.seed))
    return pd.concat(tables, ignore_index=True)


def budgets(families: Sequence[Family]) -> pd.DataFrame:
    """What each patch size was trained with, and what came out: accuracies seed by seed."""
    lines = {}
    for family in (each for each in families if not each.study.imported):
        for size in family.sizes:
            run = family.run(size, family.seeds[0])
            patches = margins.history(run)["patches"]
            batches = -(-patches // run.study.training.batch_size)
            lines[family.train, family.study.variant, size] = {
                "patches per epoch": f"{patches.iloc[0]:,}",
                "steps": f"{int(batches.sum()):,}",
                "per patch": _by_seed(family, family.patch(size)),
                "vote over the grid": _by_seed(family, family.image(size)),
            }
    return pd.DataFrame(lines).T.rename_axis(NETWORK[:3]) if lines else pd.DataFrame()


def uneven(budgets: pd.DataFrame) -> dict[tuple[str, str], str]:
    """What to say of the families whose sizes were trained with more than twofold other steps.

    By training cell and variant, of `budgets`.
    """
    said = {}
    for key, rows in budgets.groupby(level=["train", "variant"]) if len(budgets) else ():
        steps = rows["steps"].str.replace(",", "").astype(int)
        sizes = steps.index.get_level_values("patch_size")
        if steps.max() > 2 * steps.min():
            few, many = sizes[steps.argmin()], sizes[steps.argmax()]
            said[key] = (
                f"{steps.min():,} training steps at {few} px and {steps.max():,} at {many} px"
            )
    return said


def _by_seed(family: Family, question: Question) -> str:
    with suppress(MissingVerdicts):
        return ", ".join(f"{100 * accuracy:.1f}" for accuracy in family.draws(question)[:, 0])
    return "—"
