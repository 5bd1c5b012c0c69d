"""Experiments 1 to 5 in a report, section by section, from a study's tables and margins."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import ValidationError
from scipy.special import expit

from lib import params, paths, plots, published, runs, tables
from lib.data import packing
from lib.report import NAMES, Section
from lib.settings import ParameterError
from lib.study import PLAIN, Run, Study
from lib.wording import CLAIMS, RATES_NOTE, READINGS_NOTE, STATISTICS_NOTE

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


class Experiments:
    """What a study's tables say of the five experiments; each method fills one section."""

    def __init__(self, study: Study) -> None:
        """Reads the study's tables; raises RunError if there are none yet."""
        self.study, self.left_out = study, []
        self.readings = self._current(tables.read(study))
        reading = self.readings["reading"]
        headline = reading.isna() | (reading == study.quirks.theta_reading)
        self.tables = self.readings[headline]
        """Of the confident vote, the rows in the reading of θ that the study leads with."""
        if self.tables.empty:
            raise runs.RunError(
                f"study {study.name!r} has no tables yet. Run `make study STUDY={study.name}`, or "
                "notebooks 01 to 05"
            )

    def _current(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of networks made with the study's parameters as they are now.

        Of each of the others `left_out` holds a line.
        """
        kept = []
        for key, found in rows.groupby(["train", "test", "variant", "patch_size", "seed"]):
            try:
                self._require(*key)
                kept.append(found)
            except (ParameterError, runs.RunError, ValidationError):
                train, test, variant, size, seed = key
                self.left_out.append(f"{train} on {test}, {variant}, {size} px, seed {seed}")
        return rows[rows.index.isin(pd.concat(kept).index)] if kept else rows[:0]

    def _require(self, train: str, test: str, variant: str, patch_size: int, seed: int) -> None:
        """Raises unless a run's cells and size are the study's and its network as its file says.

        Of variants that only a notebook's overrides define, nothing is known to compare.
        """
        named = variant in self.study.variants
        study = params.load(self.study.name, variant) if named else self.study
        (dataset, gan), (other, another) = train.split("-"), test.split("-")
        where = {"dataset": dataset, "gan": gan, "test_dataset": other, "test_gan": another}
        run = Run(study=study, patch_size=patch_size, seed=seed, **where)
        if named or variant == self.study.variant:
            runs.refuse_mixing(runs.require(run), runs.protocol(run))

    def glance(self, section: Section) -> Figure | None:
        """The validated accuracies of all rules, in one table and one figure per family.

        Returns:
            The first figure.
        """
        if self.left_out:
            section.text("Left out, since they were made with other parameters:")
            section.items(self.left_out)
        overview = None
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
            overview = overview or figure
        return overview

    def experiment(self, section: Section, number: int) -> Section:
        """One of Experiments 1 to 4: the paper's table beside ours, and accuracy by patch size."""
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
            if number == 4:
                self._add_readings(section, train, variant)
        if chosen.empty:
            section.text("Not run yet.")
        return section

    def _add_readings(self, section: Section, train: str, variant: str) -> None:
        """The confident vote in all readings of θ, and how many patches and images are left."""
        rows = self.readings.query("experiment == 4 and train == @train and variant == @variant")
        shown = rows[rows["statistic"].isin(("validated", "coverage", "fallback"))]
        shown = shown.assign(of=shown["reading"] + " · " + shown["statistic"])
        shown.loc[shown["statistic"] != "validated", "low"] = np.nan  # shown without interval
        wanted = tuple(shown["of"].drop_duplicates())
        table = tables.side_by_side(shown, ["patch_size", "seed", "theta"], "of", wanted)
        table.columns = pd.MultiIndex.from_tuples(name.split(" · ") for name in table.columns)
        section.table(table, READINGS_NOTE)

    def _figures(self, number: int, rows: pd.DataFrame) -> Iterator[tuple]:
        if number == 4:
            one = rows[rows["statistic"] == "validated"]
            one = one.assign(size=one["patch_size"].astype(str) + " px")
            title, reading = f"{self._kind} confident vote, validated epoch", one["reading"].iloc[0]
            yield (
                plots.intervals(one, "theta", "size", xlabel=f"θ ({reading})", title=title),
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

    def overlays(self, section: Section, count: int) -> Section:
        """Test pictures with their patches' P(fake), or that alone, a figure per patch size."""
        for run in self.runs:
            if run.is_whole_image or run.seed != self.study.seeds[0]:
                continue
            scored = runs.load_margins_file(paths.margins(run.folder, run.train, "test", "grid"))
            epoch = np.flatnonzero(scored.epochs == runs.validated(run))[0]
            of = [np.flatnonzero(scored.labels == label)[:count] for label in (0, 1)]
            chosen = np.concatenate(of)
            images, what = None, "Each patch's P(fake) in some test images, which are not shown"
            if self.study.show_pictures:
                images = packing.ensure(self.study, run.train).images[scored.image_index[chosen]]
                what = "Test images and each patch's P(fake)"
            titles = [("real", "fake")[label] for label in scored.labels[chosen]]
            figure = plots.overlay(images, expit(scored.margins[epoch, chosen]), titles)
            name = f"{run.train}, {run.variant}, {run.patch_size} px"
            section.figure(figure, f"{self._kind} {what}: {name}.".strip())
        return section

    def generalization(self, section: Section) -> Section:
        """Experiment 5: whole image and patches, cell by cell."""
        section.text(CLAIMS[5])
        rows = self.tables[self.tables["experiment"].isin((1, 2, 5))]
        rows = rows[rows["rule"].isin(ELSEWHERE) & ~rows["test"].isin(self.study.altered())]
        rows = rows.assign(rule=rows["rule"].map(ELSEWHERE))
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

    def _backbone(self, train: str, variant: str) -> str:
        """The backbone of one family of networks, as its runs recorded it.

        A variant without networks of its own votes with the plain ones.
        """
        own = [run for run in self.runs if run.variant == variant]
        of = own or [run for run in self.runs if run.variant == PLAIN]
        configs = [runs.read_config(run.folder) for run in of]
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
        """The rows of each training cell and variant, the plain protocol first."""
        found = rows.groupby(["train", "variant"], sort=True)
        yield from sorted(found, key=lambda family: (family[0][0], family[0][1] != PLAIN))

    @cached_property
    def runs(self) -> list[Run]:
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
            study = self.study.model_copy(update={"variant": variant, "networks": variant})
            run = Run(study=study, dataset=dataset, gan=gan, patch_size=size, seed=int(seed))
            if run.is_finished:
                made.append(run)
        return made
