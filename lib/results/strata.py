"""Which groups of pictures are easy and which are hard, where their names tell of groups."""

import pandas as pd
from sklearn.metrics import roc_auc_score

from lib.data import packed
from lib.data.packed import CLASSES
from lib.results.accuracies import Family
from lib.results.pooled import over_seeds
from lib.voting import verdicts

KEYS = ["class", "stratum"]


def by_stratum(family: Family, size: int) -> pd.DataFrame:
    """How well the networks of one patch size judge each group of `data.strata`: a row each.

    `class`, `stratum`, `images`, of all folds; `right`, the share of them that the vote over the
    grid judges rightly, or the network of whole images; `auc`, of its images against all of the
    other class, by the mean margin. The last two are means over the seeds; `low` and `high` are the
    AUC's, where there are several.
    """
    whole = size == family.study.data.image_size
    voted, ranked, experiment = ("whole", "whole", 1) if whole else ("grid", "mean_margin", 2)
    names = packed.load(family.study, family.train).manifest["image_id"]
    strata = names.str.partition("/")[2].map(family.study.data.stratum)
    lines = []
    for seed in family.seeds:
        every = verdicts.read(family.run(size, seed), experiment)
        right = every[every["rule"] == voted].eval("fake == label").to_numpy(bool)
        rows = every[every["rule"] == ranked]
        labels, groups = rows["label"].to_numpy(), strata.iloc[rows["image_index"]].to_numpy()
        for label, stratum in sorted(set(zip(labels, groups, strict=True))):
            own = (labels == label) & (groups == stratum)
            against = own | (labels != label)
            auc = roc_auc_score(labels[against], rows["score"][against])
            lines.append((CLASSES[label], stratum, own.sum(), right[own].mean(), auc))
    each = pd.DataFrame(lines, columns=[*KEYS, "images", "right", "auc"])
    images = "sum" if family.study.data.folds else "first"
    counted = each.groupby(KEYS, sort=False).agg({"images": images, "right": "mean"})
    aucs = over_seeds(each, KEYS, "auc").rename(columns={"value": "auc"})
    return counted.join(aucs[["auc", "low", "high"]]).reset_index()
