"""A study's report: what stands in it, section by section."""

from functools import cached_property, partial
from pathlib import Path

from matplotlib.figure import Figure

from lib import (
    ablation,
    audit,
    audited,
    findings,
    params,
    paths,
    provenance,
    published,
    record,
    reliability,
    robustness,
)
from lib.evidence import Evidence
from lib.experiments import Experiments
from lib.report import Report, Section
from lib.study import Study
from lib.wording import LEAD


class StudyReport:
    """A study's report: each method adds one section and returns it, ready to be shown."""

    def __init__(self, study: Study) -> None:
        """Reads the study's tables; raises RunError if there are none yet."""
        self.study, self.experiments, self.page = study, Experiments(study), Report(study, LEAD)
        self.page.beware(audit.warnings(study.name, study.cells))
        self.overview: Figure | None = None

    def glance(self) -> Section:
        """The validated accuracies of all rules, in one table and one figure per family."""
        section = self.page.section("At a glance")
        self.overview = self.experiments.glance(section)
        return section

    def experiment(self, number: int) -> Section:
        """One of Experiments 1 to 4: the paper's table beside ours, and accuracy by patch size."""
        section = self.page.section(f"Experiment {number}: {published.TITLES[number]}")
        return self.experiments.experiment(section, number)

    def overlays(self, count: int = 4) -> Section:
        """Test pictures with their patches' P(fake), a figure per patch size."""
        return self.experiments.overlays(self.page.section("Where patches are judged fake"), count)

    def generalization(self) -> Section:
        """Experiment 5: whole image and patches, cell by cell; and on altered test images."""
        section = self.page.section("Experiment 5: other content, another generator")
        self.experiments.generalization(section)
        return robustness.altered(section, self.families, self.experiments.tables)

    @cached_property
    def families(self) -> list[Evidence]:
        """The networks of the plain protocol, and of variants that leave its quirks as they are."""
        known = {self.study.variant: self.study}
        for name in self.study.variants:
            known[name] = params.load(self.study.name, name)
        found = [
            Evidence(study, train)
            for train in self.study.train_on
            for study in known.values()
            if study.quirks == self.study.quirks
        ]
        return [of for of in found if of.seeds]

    def claims(self) -> Section:
        """A verdict on each of the paper's claims; written beside the page as claims.csv."""
        found = findings.judged(self.families)
        path = paths.report(self.study.name).with_name("claims.csv")
        paths.write_whole(path, lambda p: found.to_csv(p, index=False))
        return findings.verdicts(self.page.section("Which claims hold here"), self.families)

    def budgets(self) -> Section:
        """Patch sizes at equal images and at equal steps."""
        return findings.budgets(self.page.section("Matched budgets"), self.families)

    def certainty(self) -> Section:
        """Paired tests, what was chosen where, calibration, and how many votes patches are."""
        section = self.page.section("How sure are the numbers")
        findings.comparisons(section, self.families)
        reliability.selection(section, self.families)
        reliability.calibration(section, self.families, self.experiments.tables)
        return reliability.votes(section, self.families)

    def quirks(self) -> Section:
        """What each of the released code's quirks does, if A1_quirks has measured it."""
        section = self.page.section("The released code's quirks")
        effects = {train: ablation.read(self.study, train) for train in self.study.train_on}
        effects = {train: table for train, table in effects.items() if len(table)}
        if effects:
            return findings.quirks(section, effects)
        section.text(
            "Not measured in this study: A1_quirks compares the variants of params/quirks.yaml "
            "(make study STUDY=quirks)."
        )
        return section

    def record(self) -> Section:
        """The paper's own numbers and logs, recomputed and compared; nothing here is ours."""
        return record.published(self.page.section("The published record"))

    def audit(self) -> Section:
        """What besides the generator separates the classes, cell by cell."""
        return audited.section(self.page.section("What else tells the classes apart"), self.study)

    def protocol(self) -> Section:
        """The study's parameters, and how it departs from the paper."""
        return provenance.protocol(self.page.section("What was run"), self.study)

    def data(self) -> Section:
        """The cells, their images, and what was skipped."""
        return provenance.images(self.page.section("The images"), self.study)

    def networks(self) -> Section:
        """The trained networks: epochs, times, machine and versions."""
        return provenance.networks(self.page.section("The networks"), self.experiments.runs)

    def write(self) -> Path:
        """Writes the page and, beside it, its first figure as overview.png."""
        if self.overview:
            path = paths.report(self.study.name).with_name("overview.png")
            save = partial(self.overview.savefig, dpi=130, bbox_inches="tight")
            paths.write_whole(path, save)
        return self.page.write()
