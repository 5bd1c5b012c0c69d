"""Numbers that the documents quote, each against the committed file that it comes from."""

import functools
import html
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import t

from lib.judge.flags import FAR
from lib.networks.classifier import PatchNet, parameter_count
from lib.study.schema import Model

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


# What pages have.


def steps(study: str) -> list[float]:
    """The plain networks' optimisation steps."""
    rows = table(study, "Matched budgets")
    return [first(row["steps"]) for key, row in rows.items() if "plain" in key]


def highlights() -> list[float]:
    rows = table("faces", "What else tells the classes apart", nth=1)
    return numbers(rows["clipped highlights",]["ffhq-stylegan2"])


def blockiness() -> float:
    rows = table("sneakers", "What else tells the classes apart", nth=1)
    return first(rows["blockiness",]["sneakers-stylegan2_ada"])


# What faces' tables have.


def faces(size: int, rule: str, statistic: str, variant: str = "plain") -> float:
    """On all folds' test images, as a share."""
    rows = csv("reports/kept/faces/tables.csv")
    here = (rows.train == rows.test) & (rows.experiment < 4) & (rows.variant == variant)
    first = rows.experiment == {"none": 1, "whole": 1, "crops": 3}.get(rule, 2)
    rows = rows[here & first & (rows.patch_size == size) & (rows["rule"] == rule)]
    rows = rows[rows.statistic == statistic]
    return float((rows.value * rows.n_images).sum() / rows.n_images.sum())


def over_whole(size: int) -> list[float]:
    """Points by which the grid's vote beats the whole image, and Student's interval over folds."""
    rows = csv("reports/kept/faces/tables.csv")
    rows = rows[(rows.train == rows.test) & (rows.variant == "plain") & (rows.statistic == VALID)]
    vote, whole = (
        rows[(rows["rule"] == rule) & (rows.patch_size == p)].groupby("seed").value.first()
        for rule, p in (("grid", size), ("whole", 256))
    )
    more = 100 * (vote - whole)
    half = t.ppf(0.975, len(more) - 1) * more.std(ddof=1) / len(more) ** 0.5
    return [more.mean(), more.mean() - half, more.mean() + half]


def less_than_half(size: int) -> list[float]:
    """Points by which crops have less than half of what the grid has above one answer for all."""
    rows = csv("reports/kept/faces/tables.csv")
    here = (rows.train == rows.test) & (rows.variant == "plain") & (rows.patch_size == size)
    rows = rows[here & (rows.experiment == rows["rule"].map({"grid": 2, "crops": 3}))]
    wide = rows.pivot(index="seed", columns=["rule", "statistic"], values="value")
    grid, crops = wide["grid"], wide["crops"]["validated"]
    fakes = (grid["validated"] - grid["tnr"]) / (grid["tpr"] - grid["tnr"])  # their share
    chance = np.maximum(fakes, 1 - fakes)
    less = 100 * ((grid["validated"] - chance) / 2 - (crops - chance))
    half = t.ppf(0.96, len(less) - 1) * less.std(ddof=1) / len(less) ** 0.5
    return [less.mean(), less.mean() - half, less.mean() + half]


def aligned_over_free(size: int) -> float:
    """Points of AUC by which crops at multiples of 8 px are above others: the mean over folds."""
    rows = csv("reports/kept/faces/a3_places.csv")
    rows = rows[(rows.patch_size == size) & (rows.variant == "plain")]
    means = rows.groupby("tested").auc.mean()
    return 100 * (means["aligned"] - means["anywhere"])


def small_networks() -> list[float]:
    """In per cent, of the vote over the grid and of the whole image."""
    sizes = (256, 128, 64, 32)
    return [100 * faces(p, "whole" if p == 256 else "grid", VALID) for p in sizes]


def by_thresholds_alone() -> list[float]:
    """How many of how many photographs, and fakes, the network that comes along judges wrongly."""
    measured = json.loads(text("networks/faces/network.json"))["measured"][0]
    real, fake = measured["real"], measured["fake"]
    return [real["fake"], real["images"], fake["real"], fake["images"]]


def packed_small() -> float:
    rows = csv("benchmarks/packing.csv")
    return rows[(rows.pictures == "JPEG, 256 px") & (rows.images == 5000)].ratio.item()


def sneakers(size: int, rule: str, statistic: str, test: str = "sneakers-stylegan2_ada") -> float:
    """On all folds' test images, or the other cell's, as a share."""
    rows = csv("reports/kept/sneakers/tables.csv")
    rows = rows[(rows.test == test) & (rows.patch_size == size) & (rows["rule"] == rule)]
    rows = rows[(rows.statistic == statistic) & rows.theta.isna()]
    return float((rows.value * rows.n_images).sum() / rows.n_images.sum())


def images_of_sneakers() -> int:
    rows = csv("reports/kept/sneakers/tables.csv")
    rows = rows[(rows.test == rows.train) & (rows.patch_size == 256)]
    return int(rows.groupby("seed").n_images.first().sum())


def xception(size: int, rule: str, theta: float | None = None) -> list[float]:
    """Accuracy in per cent of the paper's network, fold by fold."""
    rows = csv("reports/kept/faces_xception/tables.csv")
    rows = rows[(rows.train == rows.test) & (rows.patch_size == size) & (rows["rule"] == rule)]
    rows = rows[(rows.statistic == "validated") & (rows.reading.fillna("share") == "share")]
    rows = rows[rows.theta == theta] if theta else rows
    return [100 * value for value in rows.drop_duplicates("seed").sort_values("seed").value]


def both_folds(size: int, rule: str) -> float:
    """That of both, which have as many images but for one."""
    return sum(xception(size, rule)) / 2


def confident_gains() -> list[float]:
    """Points by which confident patches vote better than all, by size, both folds together."""
    means = {
        (size, rule): sum(values) / len(values)
        for size in (128, 64, 32, 16)
        for rule, theta in (("grid", None), ("confident", 0.6))
        for values in [xception(size, rule, theta)]
    }
    return [means[size, "confident"] - means[size, "grid"] for size in (128, 64, 32, 16)]


def votes_and_wholes() -> list[float]:
    """Of the paper's network, in per cent, in each fold."""
    votes = [value for size in (128, 64, 32, 16) for value in xception(size, "grid")]
    return [*votes, *xception(256, "whole")]


def aucs_elsewhere(cell: str) -> list[float]:
    """The paper's network's on another cell, by size: means over folds."""
    rows = csv("reports/kept/faces_xception/tables.csv")
    rows = rows[(rows.test == cell) & rows["rule"].isin(["grid", "whole"])]
    return list(rows[rows.statistic == "auc"].groupby("patch_size")["value"].mean())


def crops(size: int, rule: str, variant: str = "plain") -> float:
    """Accuracy in per cent on the simulated images of `crops`: the mean over seeds."""
    rows = csv("reports/kept/crops/tables.csv")
    rows = rows[(rows.variant == variant) & (rows.patch_size == size) & (rows["rule"] == rule)]
    rows = rows[(rows.statistic == "validated") & (rows.experiment == {"crops": 3}.get(rule, 2))]
    return 100 * rows.value.mean()


def displaced(size: int, axes: str, distance: int, study: str = "faces") -> float:
    """The AUC of the grid, displaced: the mean over folds."""
    rows = csv(f"reports/kept/{study}/a3_displaced.csv")
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


def scrambled(study: str, *sizes: str) -> list[float]:
    """Accuracy with a scrambled layout, mean over seeds: crops at these sizes, then the grid."""
    rows = table(study, "The released code's quirks", nth=2)
    return [
        sum(first(rows["scrambled_layout", size, seed][rule]) for seed in "012") / 3
        for rule in ("crops", "grid")
        for size in sizes
    ]


# What the benchmarks measured, and the paper's tables.

FAST, USES = "reports/benchmarks/cpu-2-cores-avx512", ("scoring", "training")
OVER_EAGER, ROOFLINE = 5, 6  # columns after the patch size


def measured(name: str, key: str, size: int | None = None) -> float:
    (row,) = (
        r for r in json.loads(text(f"{FAST}.json")) if (r["name"], r["patch_size"]) == (name, size)
    )
    return row[key]


def on_page(use: str, size: int, column: int) -> list[float]:
    """What a column of the page says that is not among the JSON file's keys."""
    return source(f"{FAST}.md", rf"\| {use} +\| {size} +(?:\|[^|]*){{{column}}}\| ([\d.]+) ")


def reading_over_network() -> float:
    """How many times as fast the network is as reading, turned round."""
    rates = csv("benchmarks/judging.csv")
    return (rates["reading, pictures/s"] / rates["network, pictures/s"]).item()


def shrunk() -> float:
    """The least resampling factor that the network which comes along has learned from."""
    return json.loads(text("networks/faces/network.json"))["ranges"]["resampling factor"][0]


def growth(quantity: str) -> list[float]:
    rows = csv("reports/benchmarks/growth.csv")
    grown = rows.growth[rows.quantity == quantity].dropna()
    return [grown.min(), grown.max()]


def beside_a_loop(trained: str, column: str) -> float:
    rows = csv("benchmarks/contention.csv")
    return rows[rows.trained == trained][column].item()


def rehearsed(column: str, *stations: str) -> list[float]:
    rows = csv("benchmarks/rehearsal.csv").set_index("station")
    return [rows[column][station] for station in stations or rows.index]


def paper_crops(size: int) -> float:
    """The paper's top-1 accuracy of random crops, its Table 3."""
    rows = csv("reports/published/tables.csv")
    rows = rows[(rows.table == 3) & (rows.patch_size == size) & (rows.statistic == "top1")]
    return rows.accuracy_percent.item()


def images(study: str) -> dict[str, int]:
    return params(study)["data"]["per_class"]


def cost(study: str, column: str) -> float:
    return csv(f"reports/kept/{study}/cost.csv")[column].item()


README, DATA, CARD, USAGE = "README.md", "DATA.md", "MODEL_CARD.md", "USAGE.md"
A3 = "notebooks/A3_where_crops_fail.ipynb"
VALID, CHOSEN = "validated", "validation_threshold"
SPEED, FOUND = "benchmarks/README.md", "reports/README.md"

STUDIES = [
    Held(
        USAGE,
        rf"\| `{study}` \|[^|]*\|"
        + (r" whole \(#\)" if study != "as_released" else " #")
        + ", #" * (len(params(study)["patch_sizes"]) - 1)
        + r" \|",
        lambda study=study: params(study)["patch_sizes"],
    )
    for study in (
        *("demo", "smoke", "quirks", "quirks_full"),
        *("own", "faces", "sneakers", "paper", "as_released"),
    )
]
SPEEDS = [
    held
    for size in (256, 128, 64, 32, 16)
    for held in (
        Held(
            SPEED,
            rf"\| {size} \| # \| [\d.]+ \| # \| [\d.]+ \| [\d.]+ \|",
            lambda size=size: [measured(use, "ratio", size) for use in USES],
            1,
        ),
        Held(
            SPEED,
            rf"\| {size} \| [\d.]+ \| # \| [\d.]+ \| # \| # \|",
            lambda size=size: [
                *on_page("scoring", size, ROOFLINE),
                *on_page("training", size, OVER_EAGER),
                *on_page("training", size, ROOFLINE),
            ],
            2,
        ),
    )
]
HELD = [
    # What it takes.
    Held(README, "none to download: about # minutes", lambda: [cost("demo", "seconds") / 60]),
    Held(
        README,
        r"\(# s and [\d.]+ GiB on # cores",
        lambda: [cost("demo", "seconds"), cost("demo", "cores")],
    ),
    Held(README, r"\(\d+ s and # GiB", lambda: [cost("demo", "peak_gib")], 1),
    Held(
        README,
        r"need Python 3\.# or 3\.#, make",
        lambda: [
            *source("pyproject.toml", r'requires-python = ">=3\.(\d+),'),
            source("pyproject.toml", r'requires-python = .*<3\.(\d+)"')[0] - 1,
        ],
    ),
    *STUDIES,
    Held(USAGE, r"`quirks` \| simulated, # seeds", lambda: [len(params("quirks")["seeds"])]),
    # Speed.
    Held(
        SPEED,
        r"ceilings are # GFLOP/s in fp32 and # in bfloat16",
        lambda: [measured(f"ceiling_{precision}", "value") for precision in ("fp32", "bf16")],
    ),
    *SPEEDS,
    Held(SPEED, "one network: # times as fast", lambda: [measured("tables", "ratio", 64)]),
    Held(SPEED, "checks: # times as fast as Pillow", lambda: [measured("packing", "ratio")], 2),
    Held(SPEED, r"\(# times for JPEGs of 256 px", lambda: [packed_small()], 2),
    Held(SPEED, "by every rule: # s", lambda: [measured("revote", "value", 16)]),
    Held(
        SPEED,
        "two such cores about # hours",
        lambda: source(f"{FAST}.md", r"\| all +\| +([\d.]+) +\|"),
        -1,
    ),
    Held(
        SPEED,
        "take # to # times as long for twice the images, # to # for twice the epochs",
        lambda: growth("images") + growth("epochs"),
        1,
    ),
    Held(
        SPEED,
        "256 px took # s on two cores .*? as # of them, # GiB",
        lambda: [
            *csv("benchmarks/judging.csv")["command on 10000, s"],
            1000,
            csv("benchmarks/judging.csv")["memory at 10000, MiB"].item() / 1024,
        ],
    ),
    Held(
        SPEED,
        r"judging ran at # of the rate .*? would reach #\.",
        lambda: [
            csv("benchmarks/judging.csv")["ratio"].item(),
            1 / (1 + reading_over_network()),
        ],
        2,
    ),
    Held(SPEED, "twice as many θ cost # %", lambda: [100 * growth("θ")[1] - 100]),
    Held(
        SPEED,
        "memory stays below # GiB",
        lambda: [math.ceil(10 * csv("reports/benchmarks/growth.csv")["memory, GiB"].max()) / 10],
        1,
    ),
    Held(
        SPEED,
        r"rest take # times .*? both cores took # times .*? few cores: # times as long",
        lambda: [
            beside_a_loop("one on all cores", "fair"),
            beside_a_loop("one on all cores", "slowdown"),
            beside_a_loop("side by side, as in a batch", "slowdown"),
        ],
        1,
    ),
    Held(
        SPEED,
        r"two networks took # s where one on both cores took #\. .*? alone it took # s",
        lambda: [
            beside_a_loop(trained, "alone, s")
            for trained in (
                "side by side, as in a batch",
                "one on all cores",
                "one on all cores, passive waiting",
            )
        ],
    ),
    Held(
        SPEED,
        r"packing took # s, the audits # s, .*? twice # s, votes and tables # s, the report # s",
        lambda: rehearsed("28,000 images, s"),
    ),
    Held(
        SPEED,
        r"more than # GiB beside",
        lambda: [max(rehearsed("28,000 images, memory, GiB"))],
        2,
    ),
    Held(
        SPEED,
        r"take # GiB of disk.*?packing took # times as long, training # and the votes #\.",
        lambda: [
            *rehearsed("28,000 images, disk, GiB", "packing"),
            *rehearsed("times as long", "packing", "training and scoring", "votes and tables"),
        ],
        1,
    ),
    # FFHQ and StyleGAN2.
    Held(
        README,
        r"of 64 px is right on # % \([^)]*\) and has .*? whole image's network on # % .*? patch of "
        "64 px is right on # %.",
        lambda: [
            100 * faces(size, rule, "validated")
            for size, rule in ((64, "grid"), (256, "whole"), (64, "none"))
        ],
        1,
    ),
    Held(
        README,
        r"has an AUC of # \([^)]*\), the whole image's network on [\d.]+ % \([^)]*\) and # \(",
        lambda: [faces(64, "grid", "auc"), faces(256, "whole", "auc")],
        2,
    ),
    Held(README, r"beats the whole image, by # points \(# to #\)", lambda: over_whole(64), 1),
    Held(
        FOUND,
        r"by # points at 128 px \(# to #, 92 % interval\) and # at 64 px \(# to #\)",
        lambda: less_than_half(128) + less_than_half(64),
        1,
    ),
    *(
        Held(
            document,
            "one answer for all is right on # %",
            lambda: [first(re.search("one answer for all is right on (.*?) %", page("faces"))[1])],
        )
        for document in (README, FOUND)
    ),
    Held(
        A3,
        "have an AUC #, # and # points above that of free ones at 128, 64 and 32 px",
        lambda: [aligned_over_free(size) for size in (128, 64, 32)],
        1,
    ),
    Held(
        A3,
        "of the # and # points that crops lose at 128 and 64 px, .*? brings back # and #",
        lambda: [
            *(100 * (faces(p, "grid", VALID) - faces(p, "crops", VALID)) for p in (128, 64)),
            *(100 * (faces(p, "crops", CHOSEN) - faces(p, "crops", VALID)) for p in (128, 64)),
        ],
        1,
    ),
    Held(
        A3,
        r"keeps its AUC of # \(#\); displaced down it falls from # to #, is back at # after 32 px, "
        "and down again, at #, after 48",
        lambda: [
            *(displaced(128, "across", distance) for distance in (0, 16)),
            *(displaced(128, "down", distance) for distance in (0, 16, 32, 48)),
        ],
        2,
    ),
    Held(
        A3,
        r"At 64 px it falls from # to # and is not back after 32 px \(#\), .*? whole patch \(#\)",
        lambda: [displaced(64, "down", distance) for distance in (0, 16, 32, 64)],
        2,
    ),
    # The paper's own network there.
    Held(
        README,
        "of 128 and 64 px fall to # and # %, from # and # % on the grid",
        lambda: [both_folds(size, rule) for rule in ("crops", "grid") for size in (128, 64)],
        1,
    ),
    Held(
        README,
        r"the paper, at its best epochs: # and # %",
        lambda: [paper_crops(128), paper_crops(64)],
        2,
    ),
    Held(FOUND, r"\| 256, whole \| #, # \|", lambda: xception(256, "whole"), 1),
    *(
        Held(
            FOUND,
            rf"\| {size} \| #, # \| #, # \| #, # \| #, # \|",
            lambda size=size: [
                *(n for rule in ("none", "grid", "crops") for n in xception(size, rule)),
                *xception(size, "confident", 0.6),
            ],
            1,
        )
        for size in (128, 64, 32)
    ),
    Held(
        FOUND,
        r"Confident patches \(θ = #\) vote # to # points better",
        lambda: [0.6, min(confident_gains()), max(confident_gains())],
        1,
    ),
    *(
        Held(
            FOUND,
            sentence,
            lambda cell=cell: [min(aucs_elsewhere(cell)), max(aucs_elsewhere(cell))],
            2,
        )
        for sentence, cell in (
            (r"ProGAN near it \(# to #\)", "celebahq-progan"),
            (r"MobileStyleGAN # to #\.", "ffhq-mobilestylegan"),
        )
    ),
    *(
        Held(
            FOUND,
            r"all are at chance \(AUC #\)",
            lambda end=end: [end(aucs_elsewhere("sneakers-stylegan2_ada"))],
            2,
        )
        for end in (min, max)
    ),
    Held(
        CARD,
        r"were right on # to # % in each fold, `test_resnet`'s on # to # %",
        lambda: [
            *(end(votes_and_wholes()) for end in (min, max)),
            *(end(small_networks()) for end in (min, max)),
        ],
    ),
    Held(CARD, "thresholds alone # of # photographs and # of # fakes were", by_thresholds_alone),
    Held(FOUND, "trained on # images of sneakers", lambda: [images_of_sneakers()]),
    Held(
        FOUND,
        r"right on # % \(AUC [\d.]+\), the vote over patches of 64 px on # % .*? on # %: they",
        lambda: [
            100 * sneakers(size, rule, "validated")
            for size, rule in ((256, "whole"), (64, "grid"), (64, "crops"))
        ],
        1,
    ),
    Held(
        FOUND,
        r"% \(AUC #\), the vote over patches of 64 px on [\d.]+ % \(#\)",
        lambda: [sneakers(256, "whole", "auc"), sneakers(64, "grid", "auc")],
        3,
    ),
    Held(FOUND, "ranks the images with an AUC of #", lambda: [blockiness()], 2),
    Held(
        FOUND,
        "near chance, with AUCs of # and #:",
        lambda: [
            sneakers(size, rule, "auc", "ffhq-stylegan2")
            for size, rule in ((256, "whole"), (64, "grid"))
        ],
        2,
    ),
    Held(
        FOUND,
        "on the # % that the whole image's network reaches",
        lambda: [100 * sneakers(256, "whole", "validated", "ffhq-stylegan2")],
        1,
    ),
    Held(
        FOUND,
        "of 128 and 64 px lose # and # points .*? at 32 px #",
        lambda: [both_folds(p, "grid") - both_folds(p, "crops") for p in (128, 64, 32)],
        1,
    ),
    Held(
        FOUND,
        r"worse than chance \(AUC #, from #\), and after 32 px, .*? back at #:",
        lambda: [displaced(128, "both", d, "faces_xception") for d in (16, 0, 32)],
        2,
    ),
    Held(
        A3,
        "to # % at 128 px and # % at 64 px, against # and # % on the grid. At 128 px",
        lambda: [both_folds(size, rule) for rule in ("crops", "grid") for size in (128, 64)],
        1,
    ),
    Held(
        A3,
        "the grid's AUC of # is # after 8 px, # after 16, .*? # after 32, and # again after 48",
        lambda: [displaced(128, "both", d, "faces_xception") for d in (0, 8, 16, 32, 48)],
        2,
    ),
    Held(
        A3,
        r"it falls from # to # after 16 px, and is at # after 32 and # after 64",
        lambda: [displaced(64, "both", d, "faces_xception") for d in (0, 16, 32, 64)],
        2,
    ),
    # Simulation.
    Held(
        FOUND,
        r"16 px beats that at 32 px by # points \(# to #\)",
        lambda: claim("plain", "C2", "In the vote"),
        1,
    ),
    Held(FOUND, "C#, C#, C# and C# are undecided", lambda: of_finding("plain", "undecided")[:-1]),
    Held(FOUND, "up to # times the steps", lambda: [max(steps("quirks")) / min(steps("quirks"))]),
    Held(
        FOUND,
        r"equal steps the whole image beats 16 px by # points \(# to #\)",
        lambda: claim("equal_steps", "C2", "… every patch size", sign=-1),
        1,
    ),
    Held(FOUND, "C# and C# are contradicted", lambda: of_finding("equal_steps", "contradicted")),
    Held(FOUND, r"\(C#, contradicted\)", lambda: of_finding("plain", "contradicted")),
    Held(
        FOUND,
        r"\(C6\) the whole image's AUC is # points above that of 32 px \(# to #\)",
        lambda: claim("plain", "C6", "Under another", "auc", sign=-1),
        1,
    ),
    Held(
        FOUND,
        "crops are right on # % of images at 32 px and # % at 16 px, the grid on # and # %",
        lambda: scrambled("quirks", "32", "16"),
    ),
    Held(
        A3,
        "are right on # % of images at 64 px and # % at 32 px, crops do not collapse: # and # %, "
        "and # and # % where",
        lambda: [
            *(crops(size, rule) for rule in ("grid", "crops") for size in (64, 32)),
            *(crops(size, "crops", "anywhere") for size in (64, 32)),
        ],
        1,
    ),
    Held(
        A3,
        "came near 90 %: # % at 64 px, .*? and # % at 32 px, crops # and # %",
        lambda: [scrambled("crops", "64", "32")[i] for i in (2, 3, 0, 1)],
    ),
    Held(
        FOUND,
        "crops lose # points at 64 px and # at 32 px",
        lambda: [crops(size, "grid") - crops(size, "crops") for size in (64, 32)],
        1,
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
        CARD,
        "were shrunk by #: a picture whose shorter side has less than # px, or more than #,",
        lambda: [shrunk(), 256 * shrunk() / FAR, 256 * shrunk() * FAR],
        1,
    ),
    Held(CARD, "have an AUC of # there", lambda: highlights()[:1], 2),
    Held(DATA, r"clipped highlights have # \(# to #\)", highlights, 2),
    Held(
        DATA,
        "An AUC of # or more whose interval stays above #",
        lambda: source("lib/audit/separation.py", r"WARN_AT, WARN_ABOVE = ([\d.]+), ([\d.]+)"),
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
        lambda: [parameter_count(PatchNet(Model(), seed=0))],
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
        f"Of {real['images']} photographs like those it learned from, the network that comes along "
        f"called {real['fake']} fake, of {fake['images']} StyleGAN2 faces {fake['real']} real, and "
        f"it left {left} of these {count} pictures open"
    ) in said("README.md")
