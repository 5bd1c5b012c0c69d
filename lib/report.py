"""The HTML report: one self-contained page, assembled from texts, tables and figures."""

import base64
import io
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

import lib
from lib import paths
from lib.study import Study

SIMULATED = (
    "Everything measured for this page was measured on simulated images. It shows how the method "
    "behaves in simulation and says nothing about real photographs or real GANs. What is called "
    "the paper's or the authors' is theirs."
)
NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "average": "average",
    "last": "last epoch",
    "validated": "validated epoch",
    "patch_size": "patch size, px",
    "theta": "θ",
    "auc": "AUC",
    "tpr": "TPR",
    "tnr": "TNR",
    "eer": "EER",
    "tpr_at_1fpr": "TPR at 1 % FPR",
    "brier": "Brier score",
    "ece": "ECE",
}
"""How a report spells the tables' short names."""


class Section:
    """A heading and what stands below it; in a notebook it shows itself."""

    def __init__(self, title: str) -> None:
        """Begins empty."""
        self.title, self.parts = title, []

    @property
    def anchor(self) -> str:
        """The heading's address on the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def text(self, text: str) -> None:
        """Adds a paragraph of plain text."""
        self.parts.append(Markup("<p>{}</p>").format(text))

    def items(self, items: list[str]) -> None:
        """Adds a list of plain texts."""
        lines = Markup("").join(Markup("<li>{}</li>").format(item) for item in items)
        self.parts.append(Markup("<ul>{}</ul>").format(lines))

    def heading(self, text: str) -> None:
        """Adds a heading within the section."""
        self.parts.append(Markup("<h3>{}</h3>").format(text))

    def table(self, table: pd.DataFrame, caption: str = "", *, wrap: bool = False) -> None:
        """Adds a table, its short names spelt out; with `wrap`, lines' long titles are broken."""
        spelt = table.rename(index=NAMES, columns=NAMES)
        spelt.index.names = [NAMES.get(name, name) for name in spelt.index.names]
        spelt.columns.names = [None] * spelt.columns.nlevels
        html = Markup(spelt.to_html(border=0, na_rep="—", float_format="{:.4g}".format))
        kind = "scroll wrap" if wrap else "scroll"
        self.parts.append(Markup('<div class="{}">{}</div>').format(kind, html))
        if caption:
            self.parts.append(Markup('<p class="note">{}</p>').format(caption))

    def figure(self, figure: Figure, caption: str) -> None:
        """Adds a figure; its caption is also its text for those who cannot see it."""
        memory = io.BytesIO()
        figure.savefig(memory, format="png", dpi=150, bbox_inches="tight")
        source = "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode()
        width = round(figure.get_figwidth() * 110)
        picture = Markup('<img src="{}" alt="{}" width="{}">').format(source, caption, width)
        self.parts.append(
            Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(picture, caption)
        )

    def _repr_html_(self) -> str:
        return str(Markup("\n").join(self.parts))

    def __repr__(self) -> str:
        return f"<section {self.title!r}>"


class Report:
    """A report in the making: sections are added in reading order, then it is written."""

    def __init__(self, study: Study, lead: str) -> None:
        """Begins the page with the study's title, one leading sentence, and what to beware of."""
        self.study, self.lead = study, lead
        self.banners = [SIMULATED] if study.simulated else []
        if study.quirks.on:
            on = ", ".join(study.quirks.on)
            self.banners.append(f"Quirks of the released code are switched on: {on}.")
        self.sections: list[Section] = []

    def beware(self, warnings: list[str]) -> None:
        """Adds one banner with what an audit warns of, if it warns of anything."""
        if warnings:
            lead = "Something besides the generator tells the classes apart."
            if self.study.simulated:
                lead = (
                    "One number tells the classes apart without any network; in simulation, where "
                    "files and cameras are alike, it is a trace of the simulated generator."
                )
            self.banners.append(" ".join([lead, *warnings]))

    def section(self, title: str) -> Section:
        """Begins a section."""
        self.sections.append(Section(title))
        return self.sections[-1]

    def write(self) -> Path:
        """Writes the page where the study's report stands, whole or not at all."""
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        template = environment.from_string(
            files("lib").joinpath("report.html.j2").read_text("utf-8")
        )
        page = template.render(
            title=self.study.title,
            lead=self.lead,
            banners=self.banners,
            sections=self.sections,
            study=self.study.name,
            version=lib.__version__,
        )
        path = paths.report(self.study.name)
        return paths.write_whole(path, lambda p: p.write_text(page, "utf-8"))
