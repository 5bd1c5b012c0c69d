"""Numbers that the documents quote, each against the committed file that it comes from."""

import functools
import html
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORDS = {"two": 2.0, "three": 3.0, "five": 5.0}
NUMBER = rf"(−?\d[\d,]*(?:\.\d+)?(?:e-\d)?|{'|'.join(WORDS)})"


class Held(NamedTuple):
    """A sentence of a document, and what its numbers are."""

    document: str
    sentence: str
    """A regular expression in which each `#` is a number; any white space in a document is one."""
    expected: Callable[[], Iterable[float]]
    decimals: int = 0
    """To how many the numbers are rounded."""


@functools.cache
def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@functools.cache
def said(document: str) -> str:
    return " ".join(text(document).split())


@functools.cache
def csv(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / name)


@functools.cache
def params(study: str) -> dict:
    return yaml.safe_load(text(f"params/{study}.yaml"))


def source(name: str, pattern: str) -> list[float]:
    """What a pattern captures in a file, where it occurs once."""
    (found,) = re.finditer(pattern, text(name))
    return [float(group) for group in found.groups()]


# The kept pages.


@functools.cache
def page(study: str) -> str:
    """A kept page without its pictures."""
    content = re.sub(r'="data:[^"]*"', "", text(f"reports/kept/{study}/index.html"))
    return content.replace("&#39;", "'")


@functools.cache
def table(study: str, *headings: str, nth: int = 0) -> dict[tuple[str, ...], dict[str, str]]:
    """The nth table after these headings, each sought after the one before: its rows by index."""
    content, at = page(study), 0
    for heading in headings:
        at = content.index(f">{heading}</h", at)
    content = content[at:].split("<table")[nth + 1].partition("</table>")[0]
    columns, rows, key = [], {}, []
    for line in content.split("<tr")[1:]:
        cells = [
            (kind, html.unescape(v)) for kind, v in re.findall(r"<(t[hd])[^>]*>(.*?)</t", line)
        ]
        index = [value for kind, value in cells if kind == "th"]
        if len(index) < len(cells):  # an index cell may span rows: what is missing is as above
            key = key[: len(key) - len(index)] + index if rows else index
            values = [value for kind, value in cells if kind == "td"]
            rows[tuple(key)] = dict(zip(columns[len(key) :], values, strict=True))
        columns = columns or index
    return rows


def numbers(cell: str) -> list[float]:
    """The numbers in a cell: a value, and the ends of its interval if it has one."""
    return [float(n) for n in re.findall(r"[-+]?\d+(?:\.\d+)?", cell.replace(",", ""))]


def first(cell: str) -> float:
    return numbers(cell)[0]


# What faces140k's page has.

RULES = ["each patch", "vote, grid", "vote, crops", "vote, confident"]


def glance(variant: str = "plain") -> dict[tuple[str, ...], dict[str, str]]:
    backbone = {"plain": "test_resnet", "xception": "legacy_xception"}[variant]
    heading = f"Trained and tested on ffhq-stylegan, {variant}, backbone {backbone}"
    return table("faces140k", heading)


def accuracies(size: str, *rules: str) -> list[float]:
    """By rule, then by seed."""
    return [first(glance()[size, seed][rule]) for rule in rules for seed in "01"]


def xceptions_accuracies() -> list[float]:
    return [first(glance("xception")["64",][rule]) for rule in RULES]


def grid_votes() -> list[float]:
    votes = [v for size in ("128", "64", "32", "16") for v in accuracies(size, "vote, grid")]
    return [min(votes), max(votes), xceptions_accuracies()[1]]


def reach() -> list[float]:
    """How far intervals reach to a side: of patches at least and at most, of images at most."""
    sides = {True: [], False: []}
    for row in [*glance().values(), *glance("xception").values()]:
        for rule, cell in row.items():
            if cell != "—" and rule != "mean margin":
                value, low, high = numbers(cell)
                sides[rule == "each patch"] += [value - low, high - value]
    return [min(sides[True]), max(sides[True]), max(sides[False])]


def crops_behind() -> list[float]:
    """By how many points crops of 128 and 64 px are behind the grid, and in how many networks."""
    rows = [row for key, row in glance().items() if key[0] in ("128", "64")]
    rows += glance("xception").values()
    behind = [first(row["vote, grid"]) - first(row["vote, crops"]) for row in rows]
    return [min(behind), max(behind), len(behind)]


def steps(study: str) -> list[float]:
    """The plain networks' optimisation steps."""
    rows = table(study, "Matched budgets")
    return [first(row["steps"]) for key, row in rows.items() if "plain" in key]


def highlights() -> list[float]:
    rows = table("faces140k", "What else tells the classes apart")
    return numbers(rows["clipped highlights",]["ffhq-stylegan"])


def aucs_at_16() -> list[float]:
    rows = table("faces140k", "Scores and probabilities")
    return [first(r["AUC"]) for k, r in rows.items() if k[2] == "16" and k[4] == "vote, grid"]


def lost(alteration: str, *sizes: int, variant: str = "plain") -> list[float]:
    """Points that the vote loses on altered test images."""
    rows = table("faces140k", f"Altered test images: trained on ffhq-stylegan, {variant}", nth=1)
    return [-first(rows[str(size),][alteration]) for size in sizes]


def jpeg_intervals_hold() -> list[float]:
    """Zero, if all of them hold it."""
    cells = [
        row[f"JPEG {quality}"]
        for variant in ("plain", "xception")
        for row in table(
            "faces140k", f"Altered test images: trained on ffhq-stylegan, {variant}", nth=1
        ).values()
        for quality in (90, 75, 50)
    ]
    return [0 if all(low <= 0 <= high for _, low, high in map(numbers, cells)) else float("nan")]


# What faces' tables have.


def faces(size: int, rule: str, statistic: str, variant: str = "plain") -> float:
    """On all folds' test images, as a share."""
    rows = csv("reports/kept/faces/tables.csv")
    here = (rows.train == rows.test) & (rows.experiment < 4) & (rows.variant == variant)
    first = rows.experiment == {"none": 1, "whole": 1, "crops": 3}.get(rule, 2)
    rows = rows[here & first & (rows.patch_size == size) & (rows["rule"] == rule)]
    rows = rows[rows.statistic == statistic]
    return float((rows.value * rows.n_images).sum() / rows.n_images.sum())


def displaced(size: int, axes: str, distance: int) -> float:
    """The AUC of the grid, displaced: the mean over folds."""
    rows = csv("reports/kept/faces/a3_displaced.csv")
    rows = rows[(rows["patch_size"] == size) & (rows["axes"] == axes)]
    return rows["auc"][rows["distance"] == distance].mean()


# What quirks' page and findings have.


def claim(variant: str, name: str, part: str, measure="accuracy", sign: int = 1) -> list[float]:
    """The difference that a part of a claim turns on, in points, and its interval."""
    rows = csv("reports/kept/quirks/claims.csv")
    chosen = (rows.variant == variant) & (rows.claim == name) & (rows.measure == measure)
    (row,) = rows[chosen & rows.says.fillna("").str.match(part)].itertuples()
    ends = sorted(100 * sign * end for end in (row.low, row.high))
    return [100 * sign * row.value, *ends]


def of_finding(variant: str, finding: str, measure="accuracy") -> list[float]:
    """The numbers of the claims that as wholes have this finding."""
    rows = csv("reports/kept/quirks/claims.csv")
    rows = rows[(rows.variant == variant) & rows.says.isna() & (rows.measure == measure)]
    return [float(name.removeprefix("C")) for name in rows.claim[rows.finding == finding]]


def scrambled() -> list[float]:
    """Accuracy with a scrambled layout, mean over seeds: crops at 32 and 16 px, then the grid."""
    rows = table("quirks", "The released code's quirks", nth=2)
    return [
        sum(first(rows["scrambled_layout", size, seed][rule]) for seed in "012") / 3
        for rule in ("crops", "grid")
        for size in ("32", "16")
    ]


# What the benchmarks measured, and the paper's tables.

FAST, USES = "reports/benchmarks/cpu-2-cores-avx512", ("scoring", "training")


def measured(name: str, key: str, size: int | None = None) -> float:
    (row,) = (
        r for r in json.loads(text(f"{FAST}.json")) if (r["name"], r["patch_size"]) == (name, size)
    )
    return row[key]


def over_eager(size: int) -> list[float]:
    return source(f"{FAST}.md", rf"\| training +\| {size} +(?:\|[^|]*){{5}}\| ([\d.]+) ")


def growth(quantity: str) -> list[float]:
    rows = csv("reports/benchmarks/growth.csv")
    grown = rows.growth[rows.quantity == quantity].dropna()
    return [grown.min(), grown.max()]


def paper_top1() -> list[float]:
    """The paper's least and most, but for the crops at 128 and 64 px."""
    rows = csv("reports/published/tables.csv")
    collapsed = (rows.table == 3) & rows.patch_size.isin([128, 64])
    best = rows.accuracy_percent[(rows.statistic == "top1") & ~collapsed]
    return [best.min(), best.max()]


def images(study: str) -> dict[str, int]:
    return params(study)["data"]["per_class"]


def cost(study: str, column: str) -> float:
    return csv(f"reports/kept/{study}/cost.csv")[column].item()


README, DATA, CARD = "README.md", "DATA.md", "MODEL_CARD.md"
BLUR, HALF = "blur 1 px", "× 0.5 and back"

STUDIES = [
    Held(
        README,
        rf"\| `{study}` \|[^|]*\|"
        + (r" whole \(#\)" if study != "as_released" else " #")
        + ", #" * (len(params(study)["patch_sizes"]) - 1)
        + r" \|",
        lambda study=study: params(study)["patch_sizes"],
    )
    for study in (
        *("demo", "smoke", "quirks", "quirks_full"),
        *("own", "faces140k", "paper", "as_released"),
    )
]
SPEEDS = [
    held
    for size in (256, 128, 64, 32, 16)
    for held in (
        Held(
            README,
            rf"\| {size} \| # \| [\d.]+ \| # \| [\d.]+ \| [\d.]+ \|",
            lambda size=size: [measured(use, "ratio", size) for use in USES],
            1,
        ),
        Held(
            README,
            rf"\| {size} \| [\d.]+ \| # \| [\d.]+ \| # \| # \|",
            lambda size=size: [
                measured("scoring", "ceiling_share", size),
                *over_eager(size),
                measured("training", "ceiling_share", size),
            ],
            2,
        ),
    )
]
FACES = [
    Held(
        README,
        rf"\| {size} \| #, # \| #, # \| #, # \| #, # \|",
        lambda size=size: accuracies(str(size), *RULES),
        1,
    )
    for size in (128, 64, 32, 16)
]

HELD = [
    # What it takes.
    Held(README, "nothing to download: about # minutes", lambda: [cost("demo", "seconds") / 60]),
    Held(
        README,
        r"took # s and [\d.]+ GiB on # cores",
        lambda: [cost("demo", "seconds"), cost("demo", "cores")],
    ),
    Held(README, r"took \d+ s and # GiB", lambda: [cost("demo", "peak_gib")], 1),
    Held(
        README,
        r"need Python 3\.# or 3\.#, make",
        lambda: [
            *source("pyproject.toml", r'requires-python = ">=3\.(\d+),'),
            source("pyproject.toml", r'requires-python = .*<3\.(\d+)"')[0] - 1,
        ],
    ),
    *STUDIES,
    Held(README, r"`quirks` \| simulated, # seeds", lambda: [len(params("quirks")["seeds"])]),
    # Speed.
    Held(
        README,
        r"ceilings are # GFLOP/s in fp32 and # in bfloat16",
        lambda: [measured(f"ceiling_{precision}", "value") for precision in ("fp32", "bf16")],
    ),
    *SPEEDS,
    Held(README, "one network: # times as fast", lambda: [measured("tables", "ratio", 64)]),
    Held(README, "checks: # times as fast as Pillow", lambda: [measured("packing", "ratio")], 2),
    Held(README, "by every rule: # s", lambda: [measured("revote", "value", 16)]),
    Held(
        README,
        "two such cores about # hours",
        lambda: source(f"{FAST}.md", r"\| all +\| +([\d.]+) \|"),
        -1,
    ),
    Held(
        README,
        "take # to # times as long for twice the images, # to # for twice the epochs",
        lambda: growth("images") + growth("epochs"),
        1,
    ),
    Held(README, "twice as many θ cost # %", lambda: [100 * growth("θ")[1] - 100]),
    Held(
        README,
        "memory stays below # GiB",
        lambda: [math.ceil(10 * csv("reports/benchmarks/growth.csv")["memory, GiB"].max()) / 10],
        1,
    ),
    # FFHQ and StyleGAN2.
    Held(
        README,
        r"of 64 px is right on # % \([^)]*\) and has .*? whole image's network on # % .*? patch of "
        "64 px is right on # %. Random crops of 64 px fall to # %",
        lambda: [
            100 * faces(size, rule, "validated")
            for size, rule in ((64, "grid"), (256, "whole"), (64, "none"), (64, "crops"))
        ],
        1,
    ),
    Held(
        README,
        r"has an AUC of # \([^)]*\), the whole image's network on [\d.]+ % \([^)]*\) and # \(",
        lambda: [faces(64, "mean_margin", "auc"), faces(256, "whole", "auc")],
        2,
    ),
    Held(
        "notebooks/A3_where_crops_fail.ipynb",
        r"keeps its AUC of # \(#\); displaced down it falls from # to #, is back at # after 32 px, "
        "and down again, at #, after 48",
        lambda: [
            *(displaced(128, "across", distance) for distance in (0, 16)),
            *(displaced(128, "down", distance) for distance in (0, 16, 32, 48)),
        ],
        2,
    ),
    Held(
        "notebooks/A3_where_crops_fail.ipynb",
        r"At 64 px it falls from # to # and is not back after 32 px \(#\), .*? whole patch \(#\)",
        lambda: [displaced(64, "down", distance) for distance in (0, 16, 32, 64)],
        2,
    ),
    # The paper, and FFHQ and StyleGAN.
    Held(
        README,
        "in per cent on # test images",
        lambda: [numbers(table("faces140k", "The images")["ffhq-stylegan",]["test"])[0]],
    ),
    Held(
        README,
        "at the validated epoch, of # training seeds",
        lambda: [len(params("faces140k")["seeds"])],
    ),
    Held(README, r"\| 256, whole \| #, # \|", lambda: accuracies("256", "whole image"), 1),
    *FACES,
    Held(README, r"Xception, one seed \| # \| # \| # \| # \|", xceptions_accuracies, 1),
    Held(README, r"which reach # to # points .*? and up to # for images", reach),
    Held(README, "far below the paper's # to # %", paper_top1),
    Held(
        README,
        r"# training images a class \(the paper: # .*? for # epochs, .*? Xception for # "
        r"\(the paper: #\)",
        lambda: [
            images("faces140k")["train"],
            images("paper")["train"],
            params("faces140k")["training"]["epochs"],
            params("faces140k")["variants"]["xception"]["training"]["epochs"],
            params("paper")["training"]["epochs"],
        ],
    ),
    Held(
        README,
        "networks had # to # training steps",
        lambda: [min(steps("faces140k")), max(steps("faces140k"))],
    ),
    Held(
        "params/faces140k.yaml",
        "# steps for the whole image and # at 32 and 16 px",
        lambda: [steps("faces140k")[0], max(steps("faces140k"))],
    ),
    Held(README, "are right # to # points less often .*? in each of # networks", crops_behind),
    Held(README, r"reach an AUC of # \(# to #\)", highlights, 2),
    Held(README, r"the votes at 16 px \(# and #\)", aucs_at_16, 3),
    Held(DATA, r"clipped highlights have # \(# to #\)", highlights, 2),
    Held(DATA, r"of # of its networks \(", lambda: [len(aucs_at_16())]),
    Held(DATA, r"two of its networks \(# and #\)", aucs_at_16, 3),
    Held(CARD, "have an AUC of # there", lambda: highlights()[:1], 2),
    Held(CARD, r"two of the networks \(# and #\)", aucs_at_16, 3),
    Held(
        README,
        "costs # points at 256 px, # at 128, # at 32 and # at 16, and Xception's vote #; at 64 px "
        "`test_resnet`'s gains #",
        lambda: [
            *lost(BLUR, 256, 128, 32, 16),
            *lost(BLUR, 64, variant="xception"),
            -lost(BLUR, 64)[0],
        ],
        1,
    ),
    Held(
        README,
        "Shrinking by half costs # points at 256 px, # at 16, and at most # between",
        lambda: [*lost(HALF, 256, 16), max(lost(HALF, 128, 64, 32))],
        1,
    ),
    Held(README, "JPEG 90 to 50 changes has intervals that all hold #", jpeg_intervals_hold),
    Held(
        CARD,
        "cost # points at 256 px, # at 128, # at 32 and # at 16, .*? cost Xception #",
        lambda: [*lost(BLUR, 256, 128, 32, 16), *lost(BLUR, 64, variant="xception")],
        1,
    ),
    Held(CARD, "reached # to # % .*? that of Xception at 64 px # %", grid_votes, 1),
    # Simulation.
    Held(
        README,
        r"16 px beats that at 32 px by # points \(# to #\)",
        lambda: claim("plain", "C2", "In the vote"),
        1,
    ),
    Held(README, "C#, C#, C# and C# are undecided", lambda: of_finding("plain", "undecided")[:-1]),
    Held(README, "up to # times the steps", lambda: [max(steps("quirks")) / min(steps("quirks"))]),
    Held(
        README,
        r"equal steps the whole image beats 16 px by # points \(# to #\)",
        lambda: claim("equal_steps", "C2", "… every patch size", sign=-1),
        1,
    ),
    Held(README, "C# and C# are contradicted", lambda: of_finding("equal_steps", "contradicted")),
    Held(README, r"\(C#, contradicted\)", lambda: of_finding("plain", "contradicted")),
    Held(
        README,
        r"\(C6\) the whole image's AUC is # points above that of 32 px \(# to #\)",
        lambda: claim("plain", "C6", "Under another", "auc", sign=-1),
        1,
    ),
    Held(
        README,
        "crops are right on # % of images at 32 px and # % at 16 px, the grid on # and # %",
        scrambled,
    ),
    # What the other documents say.
    Held(
        DATA,
        r"`paper` needs # pictures a class .*? and # a class for each",
        lambda: [sum(images("paper").values()), images("paper")["test"]],
    ),
    Held(
        DATA,
        r"needs # fakes .*? \(# to train, # to validate, # to test\) and # for each",
        lambda: [sum(images("paper").values()), *images("paper").values(), images("paper")["test"]],
    ),
    Held(
        DATA,
        r"`data.max_skipped` \(# %\)",
        lambda: [100 * source("lib/study/schema.py", r"max_skipped: float = Field\(([\d.]+)")[0]],
    ),
    Held(
        DATA,
        "shorter side at # px",
        lambda: source("lib/data/faces.py", r"DETECTION_SIDE = (\d+)"),
    ),
    Held(
        DATA,
        "An AUC of # or more whose interval stays above #",
        lambda: source("lib/audit/separation.py", r"WARN_AT, WARN_ABOVE = ([\d.]+), ([\d.]+)"),
        2,
    ),
    Held(
        README,
        "since it warns from # on",
        lambda: source("lib/audit/separation.py", r"WARN_AT, WARN_ABOVE = ([\d.]+)"),
        2,
    ),
    Held(
        DATA,
        "a slope between # and #",
        lambda: source("tests/data/simulated/test_generate.py", r"assert ([\d.]+) < slope < (.+)"),
        1,
    ),
    Held(
        DATA,
        "reconstruct at # dB",
        lambda: source("tests/data/simulated/test_generate.py", r"np\.mean\(ratios\) >= (\d+)"),
    ),
    Held(
        CARD,
        r"# parameters with two classes",
        lambda: [
            numbers(row["parameters"])[0]
            for key, row in table("faces140k", "The networks").items()
            if "xception" in key
        ],
    ),
    Held(
        CARD,
        "learning rate #, batch #, # epochs",
        lambda: [params("paper")["training"][k] for k in ("learning_rate", "batch_size", "epochs")],
        3,
    ),
]


def as_number(group: str) -> float:
    return WORDS.get(group) or float(group.replace("−", "-").replace(",", ""))


def from_its_file(held: Held, where: str) -> list[float]:
    try:
        return [float(value) for value in held.expected()]
    except Exception as error:
        pytest.fail(f"{where}\nits file no longer says it: {error!r}", pytrace=False)


@pytest.mark.parametrize("held", HELD, ids=lambda held: f"{held.document}: {held.sentence[:60]}")
def test_a_number_is_what_its_file_says(held):
    where = f"{held.document}: “{held.sentence}”"
    found = list(re.finditer(held.sentence.replace("#", NUMBER), said(held.document)))
    assert len(found) == 1, f"{where} stands there {len(found)} times, and not once"
    got = [as_number(group) for group in found[0].groups()]
    expected = from_its_file(held, where)
    within = 0.5 * 10**-held.decimals + 1e-9  # what is halfway may be rounded either way
    right = len(got) == len(expected) and all(
        abs(g - e) <= within for g, e in zip(got, expected, strict=True)
    )
    said_so = f"{where}, as it stands: “{found[0].group()}”"
    assert right, f"{said_so}\ngot {got}\nexpected {expected}"


# What the network that comes along is worth.


def measured_rows() -> list[str]:
    rows = []
    for cell in json.loads(text("networks/faces/network.json"))["measured"]:
        real, fake = cell["kept_real"], cell["kept_fake"]
        count, right = real["images"] + fake["images"], real["real"] + fake["fake"]
        said = right + real["fake"] + fake["real"]
        wrong = f"{real['fake']} of {real['images']} | {fake['real']} of {fake['images']}"
        left = f"{count - said} of {count}"
        rows.append(f"| `{cell['cell']}` | {cell['auc']:.2f} | {wrong} | {right} | {left} |")
    return rows


def test_the_model_card_has_what_was_measured():
    for row in measured_rows():
        assert row in text("MODEL_CARD.md")


def test_readme_says_how_often_the_network_errs():
    cell = json.loads(text("networks/faces/network.json"))["measured"][0]
    real, fake = cell["kept_real"], cell["kept_fake"]
    count = real["images"] + fake["images"]
    left = count - sum(each[said] for each in (real, fake) for said in ("real", "fake"))
    assert (
        f"of {real['images']} photographs like those it learned from {real['fake']} were called "
        f"fake, of {fake['images']} StyleGAN2 faces {fake['real']} real, and {left} of these "
        f"{count} pictures were left open"
    ) in said("README.md")
