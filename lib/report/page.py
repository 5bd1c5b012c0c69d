"""A page in the making: texts, tables and figures that show themselves, written as one file."""

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path

import mistune
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from lib.published.paper import STATISTICS
from lib.study import paths

SIMULATED = (
    "Everything measured for this page was measured on simulated images. It shows how the method "
    "behaves in simulation and says nothing about real photographs or real GANs. What is called "
    "the paper's or the authors' is theirs."
)
NAMES = {
    **STATISTICS,
    **{name: name.upper() for name in ("auc", "tpr", "tnr", "eer", "ece")},
    **{"last": "last epoch", "validated": "validated epoch", "brier": "Brier score"},
    **{"patch_size": "patch size, px", "theta": "θ", "tpr_at_1fpr": "TPR at 1 % FPR"},
}
"""How a page spells the tables' short names."""
STYLE = (
    ".patchwise figure { margin: 0 } .patchwise figcaption { opacity: .75 } "
    ".patchwise .scroll { overflow-x: auto } "
    ".patchwise .wrap :is(th, td) { text-align: left; white-space: normal; max-width: 17em }"
)
"""What a part wears in a notebook, where the surroundings style texts and tables already."""


@dataclass(frozen=True)
class Part:
    """A text, table or figure of a page; as the last line of a notebook's cell it shows itself."""

    kind: str  # text, table or figure
    html: Markup
    fold: str | None

    def _repr_html_(self) -> str:
        folded = Markup("<details><summary>{}</summary>{}</details>").format(self.fold, self.html)
        shown = folded if self.fold else self.html
        return f'<div class="patchwise"><style>{STYLE}</style>{shown}</div>'

    def __repr__(self) -> str:
        words = self.html.striptags()
        return f"<{self.kind}: {words[:60]}{'…' * (len(words) > 60)}>"


class _Renderer(mistune.HTMLRenderer):
    """Gives sections their anchors, and shows no pictures: a page is one file and loads nothing."""

    def __init__(self) -> None:
        super().__init__(escape=True)
        self.sections: dict[str, str] = {}

    def heading(self, text: str, level: int, **attributes: str) -> str:
        if level == 2:
            title = Markup(text).striptags()
            slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
            while slug in self.sections:
                slug += "-too"
            self.sections[slug], attributes["id"] = title, slug
        return super().heading(text, level, **attributes)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text


class Page:
    """Parts in reading order; a cell that is run twice adds its part twice.

    Texts are markdown: a `##` heading begins a section, with an entry in the page's navigation.
    HTML in them, and in all else that is given, is shown as it stands and not obeyed.
    """

    def __init__(self, title: str, lead: str = "", banners: Sequence[str] = ()) -> None:
        """Begins the page with its title, a leading sentence, and what to beware of."""
        self.title, self.lead, self.banners = title, lead, list(banners)
        self.parts: list[Part] = []
        renderer = _Renderer()
        self.sections = renderer.sections
        """The sections' titles by their anchors."""
        self._markdown = mistune.create_markdown(renderer=renderer)

    def text(self, markdown: str, *, fold: str | None = None) -> Part:
        """Adds text, indented as one likes; names from files go through `plain`."""
        return self._add("text", Markup(self._markdown(cleandoc(markdown))), fold)

    def table(
        self, table: pd.DataFrame, caption: str = "", *, wrap: bool = False, fold: str | None = None
    ) -> Part:
        """Adds a table, its short names spelt out; with `wrap`, one of words: lines are broken."""
        spelt = table.rename(index=NAMES, columns=NAMES)
        spelt.index.names = [NAMES.get(name, name) for name in spelt.index.names]
        spelt.columns.names = [None] * spelt.columns.nlevels
        html = spelt.to_html(border=0, na_rep="—", float_format="{:.4g}".format, justify="unset")
        if any(spelt.index.names):
            html = _one_head(html, spelt.index.nlevels)
        return self._add("table", _captioned("scroll" + " wrap" * wrap, html, caption), fold)

    def figure(self, figure: Figure, caption: str, *, fold: str | None = None) -> Part:
        """Adds a figure; its caption is also its text for those who cannot see it."""
        memory = io.BytesIO()
        kind = "webp" if any(axis.images for axis in figure.axes) else "png"  # WebP: a sixth
        figure.savefig(memory, format=kind, dpi=150, bbox_inches="tight")
        width = Image.open(memory).width * 110 // 150  # 110 px an inch
        source = f"data:image/{kind};base64," + b64encode(memory.getvalue()).decode()
        picture = '<img src="{}" alt="{}" width="{}" style="min-width: {}px">'
        picture = Markup(picture).format(source, caption, width, width // 2)
        return self._add("figure", _captioned("scroll", picture, caption), fold)

    def write(self, path: Path, source: str | None = None) -> Path:
        """Writes the page, whole or not at all, and says in its last line what it was made from.

        That is `source`, or else the results of the study that the page's folder is named after.
        """
        settings = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True}
        environment = Environment(loader=PackageLoader("lib.report", ""), **settings)
        source = source or f"results/{path.parent.name}/"
        template = environment.get_template("page.html.j2")
        html = template.render(page=self, source=source, version=version("patchwise"))
        return paths.write_whole(path, lambda p: p.write_text(html, "utf-8"))

    def _add(self, kind: str, html: Markup, fold: str | None) -> Part:
        self.parts.append(Part(kind, html, fold))
        return self.parts[-1]


def plain(text: str) -> str:
    """A name or a title that comes from a file, as markdown that shows it as it stands."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def _captioned(looks: str, html: str, caption: str) -> Markup:
    below = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
    return Markup('<figure><div class="{}">{}</div>{}</figure>').format(looks, Markup(html), below)


def _one_head(html: str, levels: int) -> str:
    """A pandas table in which the index has its names in the columns' last row, not in its own."""
    head, body = html.split("</thead>", 1)
    *rows, names = head.split("<tr")
    spelt = iter(re.findall("<th(>.*?</th>)", names, re.DOTALL))
    for _ in range(levels):
        rows[-1] = rows[-1].replace("<th></th>", '<th class="name"' + next(spelt), 1)
    return "<tr".join(rows) + "</thead>" + body
