"""What stands in a study's report, section by section, read from its tables, runs and data."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import expit

from lib import paths, plots, provenance, published, runs, tables
from lib.data import packing
from lib.report import NAMES, Report, Section
from lib.study import Run, Study

LEAD = (
    "An image is cut into patches, a network judges each patch real or GAN-made, and the patches "
    "vote. Does it work? A reproduction of Lee and Park, “A Study on Patch-Wise Deepfake Image "
    "Detection” (2022)."
)
CLAIMS = {
    1: "The paper: accuracy differs with patch size, but not by much, and 32 px is best (C1).",
    2: "The paper: the smaller the patch the higher the accuracy, 32 px is best, and every size "
    "beats the whole image (C2). An image is fake iff at least half of its patches are.",
    3: "The paper: random crops do as well as the grid at 32 and 16 px and collapse at 128 and "
    "64 px (C3). Here each image gives (S/p)² + 1 crops.",
    4: "The paper: the vote improves when only confident patches take part, and the smaller θ the "
    "closer it comes to the plain vote (C4). θ is the share of patches kept; 1 is the plain vote.",
    5: "The paper: under other content (C5) and another generator (C6) patches do better than the "
    "whole image. Its Tables 5 and 6 are not available as numbers, so these are ours alone.",
}
STATISTICS_NOTE = (
    "Per cent, with 95 % bootstrap intervals over images in brackets. top-1, top-5, average and "
    "last are taken over epochs on the test images, as in the paper; “validated” is the one epoch "
    "that was chosen on a validation split."
)
RATES_NOTE = "AUC, TPR (share of fakes found) and TNR (share of reals passed) are that epoch's."
RULES = {
    (1, "none"): "each patch",
    (1, "whole"): "whole image",
    (2, "grid"): "vote, grid",
    (2, "mean_margin"): "mean margin",
    (3, "crops"): "vote, crops",
    (4, "confident"): "vote, confident",
}
"""What the page leads with: a rule of an experiment, and its name."""
HEADLINE = {1: ("none", "whole"), 2: ("grid",), 3: ("crops",), 4: ("confident",)}
ELSEWHERE = {"whole": "whole image", "none": "each patch", "grid": "vote, grid"}


class StudyReport:
    """A study's report: each method adds one section and returns it, ready to be shown."""

    def __init__(self, study: Study) -> None:
        """Reads the study's tables; raises RunError if there are none yet."""
        self.study, self.page, self.tables = study, Report(study, LEAD), tables.read(study)
        if self.tables.empty:
            raise runs.RunError(
                f"study {study.name!r} has no tables yet. Run `make study STUDY={study.name}`, or "
                "notebooks 01 to 05"
            )
        self.runs = self._finished()
        self.overview: Figure | None = None

    def glance(self) -> Section:
        """The validated accuracies of all rules, in one table and one figure per family."""
        section = self.page.section("At a glance")
        matched = self.tables[self.tables["test"] == self.tables["train"]]
        for (train, variant), rows in self._families(matched):
            theta = rows["theta"].min()  # of the confident vote; no other rule has one
            kept = rows["theta"].isna() | rows["theta"].eq(theta)
            rows = rows[(rows["statistic"] == "validated") & kept]
            names = [RULES.get(key) for key in zip(rows["experiment"], rows["rule"], strict=True)]
            shown = rows.assign(rule=names).dropna(subset="rule")
            if shown.empty:
                continue
            backbone = self._backbone(train, variant)
            where = f"trained and tested on {train}, {variant}, backbone {backbone}"
            section.heading(f"{self._kind} {where}".strip().capitalize())
            wide = tables.side_by_side(shown, ["patch_size", "seed"], "rule", tuple(RULES.values()))
            confident = "" if pd.isna(theta) else f" Confident: θ = {theta:g}."
            section.table(wide, f"Per cent, at the validated epoch.{confident}")
            figure = plots.intervals(
                shown,
                "patch_size",
                "rule",
                xlabel=f"patch size, px ({self.study.data.image_size} is the whole image)",
                title=f"{self._kind} {train}, {backbone}",
            )
            section.figure(figure, f"Accuracy at the validated epoch by patch size: {where}.")
            self.overview = self.overview or figure
        return section

    def experiment(self, number: int) -> Section:
        """One of Experiments 1 to 4: the paper's table beside ours, and accuracy by patch size."""
        section = self.page.section(f"Experiment {number}: {published.TITLES[number]}")
        section.text(CLAIMS[number])
        chosen = self.tables[
            (self.tables["experiment"] == number) & self.tables["rule"].isin(HEADLINE[number])
        ]
        index = ["patch_size", "theta"] if number == 4 else ["patch_size"]
        for (train, variant), rows in self._families(chosen):
            section.heading(
                f"Trained on {train}, {variant}, backbone {self._backbone(train, variant)}"
            )
            ours = {
                f"here, seed {seed}": tables.side_by_side(of, index)
                for seed, of in rows.groupby("seed")
            }
            section.table(published.beside(ours, number), f"{STATISTICS_NOTE} {self._source}")
            for figure, caption in self._figures(number, rows):
                section.figure(figure, caption)
        if chosen.empty:
            section.text("Not run yet.")
        return section

    def _figures(self, number: int, rows: pd.DataFrame) -> Iterator[tuple]:
        if number == 4:
            one = rows[rows["statistic"] == "validated"]
            one = one.assign(size=one["patch_size"].astype(str) + " px")
            title = f"{self._kind} confident vote, validated epoch"
            yield (
                plots.intervals(
                    one, "theta", "size", xlabel="θ, share of patches kept", title=title
                ),
                "Accuracy of the vote against θ, a line per patch size.",
            )
            return
        shown = rows[rows["statistic"].isin(("top1", "average", "validated"))]
        shown = shown.assign(statistic=shown["statistic"].map(NAMES))
        title = f"{self._kind} Experiment {number}"
        yield (
            plots.intervals(shown, "patch_size", "statistic", xlabel="patch size, px", title=title),
            "Accuracy by patch size, with 95 % intervals; each seed is a point.",
        )

    def overlays(self, count: int = 4) -> Section:
        """Test pictures with their patches' P(fake), a figure per patch size."""
        section = self.page.section("Where patches are judged fake")
        for run in self.runs:
            if run.is_whole_image or run.seed != self.study.seeds[0]:
                continue
            scored = runs.load_margins_file(paths.margins(run.folder, run.train, "test", "grid"))
            epoch = np.flatnonzero(scored.epochs == runs.validated(run))[0]
            of = [np.flatnonzero(scored.labels == label)[:count] for label in (0, 1)]
            chosen = np.concatenate(of)
            images = packing.ensure(self.study, run.train).images[scored.image_index[chosen]]
            titles = [("real", "fake")[label] for label in scored.labels[chosen]]
            figure = plots.overlay(images, expit(scored.margins[epoch, chosen]), titles)
            name = f"{run.train}, {run.variant}, {run.patch_size} px"
            section.figure(figure, f"{self._kind} test images and each patch's P(fake): {name}.")
        return section

    def generalization(self) -> Section:
        """Experiment 5: whole image and patches, cell by cell."""
        section = self.page.section("Experiment 5: other content, another generator")
        section.text(CLAIMS[5])
        rows = self.tables[self.tables["experiment"].isin((1, 2, 5))]
        rows = rows[rows["rule"].isin(ELSEWHERE)].assign(rule=rows["rule"].map(ELSEWHERE))
        for (train, variant), family in self._families(rows):
            section.heading(
                f"Trained on {train}, {variant}, backbone {self._backbone(train, variant)}"
            )
            table = tables.side_by_side(
                family,
                ["test", "patch_size", "seed", "rule"],
                wanted=("validated", "auc", "tpr", "tnr"),
            )
            section.table(table, f"{STATISTICS_NOTE} {RATES_NOTE} {self._source}")
            votes = family[(family["statistic"] == "validated") & (family["rule"] != "each patch")]
            if votes.empty:
                continue
            figure = plots.intervals(
                votes,
                "patch_size",
                "test",
                xlabel=f"patch size, px ({self.study.data.image_size} is the whole image)",
                title=f"{self._kind} grid vote, and whole image",
            )
            section.figure(figure, "Accuracy at the validated epoch on each test cell.")
        return section

    def protocol(self) -> Section:
        """The study's parameters, and how it departs from the paper."""
        return provenance.protocol(self.page.section("What was run"), self.study)

    def data(self) -> Section:
        """The cells, their images, and what was skipped."""
        return provenance.images(self.page.section("The images"), self.study)

    def networks(self) -> Section:
        """The trained networks: epochs, times, machine and versions."""
        return provenance.networks(self.page.section("The networks"), self.runs)

    def write(self) -> Path:
        """Writes the page and, beside it, its first figure as overview.png."""
        if self.overview:
            path = paths.report(self.study.name).with_name("overview.png")
            save = partial(self.overview.savefig, dpi=130, bbox_inches="tight")
            paths.write_whole(path, save)
        return self.page.write()

    def _backbone(self, train: str, variant: str) -> str:
        """The backbone of one family of networks, as its runs recorded it."""
        configs = [runs.read_config(r.folder) for r in self.runs if r.variant == variant]
        names = {config["model"]["name"] for config in configs if config["train"] == train}
        return ", ".join(sorted(names)) or "unknown"

    @property
    def _kind(self) -> str:
        return "Simulated:" if self.study.simulated else ""

    @property
    def _source(self) -> str:
        ours = "simulated images" if self.study.simulated else self.study.title
        return f"Paper: FFHQ and StyleGAN2, 256 px. Here: {ours}, {self.study.data.image_size} px."

    @staticmethod
    def _families(rows: pd.DataFrame) -> Iterator[tuple]:
        yield from rows.groupby(["train", "variant"], sort=True)

    def _finished(self) -> list[Run]:
        """The study's finished runs that have tables, in a fixed order."""
        keys = ["train", "variant", "patch_size", "seed"]
        found = (
            self.tables[keys]
            .drop_duplicates()
            .sort_values(keys, ascending=[True, True, False, True])
        )
        made = []
        for train, variant, size, seed in found.itertuples(index=False):
            dataset, _, gan = train.partition("-")
            study = self.study.model_copy(update={"variant": variant})
            run = Run(study=study, dataset=dataset, gan=gan, patch_size=size, seed=int(seed))
            if (run.folder / "config.json").is_file():
                made.append(run)
        return made
