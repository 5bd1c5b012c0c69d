"""What is reached without a network, on the networks' own test images."""

from dataclasses import replace

import numpy as np
from audit_helpers import cell, jpeg_cell, picture

from lib.audit.baseline import COLUMNS, baseline
from lib.statistics.bootstrap import Estimate
from lib.study.schema import Bootstrap

FEW = Bootstrap(resamples=200)


def numbers(found, by: str) -> dict[str, float]:
    rows = found[found["by"].str.startswith(by)]
    return dict(zip(rows["statistic"], rows["value"], strict=True))


def brightened(test_brighter: int):
    """Pictures of which those of one class are brighter: of the fakes, but in the test split."""
    labels, splits = [0, 1] * 20, ["test"] * 20 + ["train"] * 14 + ["validation"] * 6
    images = np.stack([picture(n) for n in range(40)]) // 2
    for n, (label, split) in enumerate(zip(labels, splits, strict=True)):
        if label == (test_brighter if split == "test" else 1):
            images[n] += 60
    return cell(images, labels, splits)


def test_the_number_that_ranks_the_training_images_best_judges_the_test_images():
    found = baseline(brightened(1), FEW)
    assert list(found.columns) == COLUMNS and len(Estimate._fields) == 5
    assert numbers(found, "mean brightness") == {"accuracy": 1, "auc": 1, "tpr": 1, "tnr": 1}


def test_the_test_images_have_no_part_in_the_choice():
    """There the fakes are the darker ones, so the direction that was learned is wrong."""
    assert numbers(baseline(brightened(0), FEW), "mean brightness")["auc"] == 0


def test_files_are_judged_by_a_classifier_that_saw_other_files():
    packed = jpeg_cell((80, 60))
    packed.manifest["split"] = np.where(np.arange(80) % 4 == 0, "test", "train")
    assert numbers(baseline(packed, FEW), "the files")["accuracy"] == 1


def test_cells_that_are_only_tested_on_have_none():
    assert baseline(cell(np.stack([picture(0), picture(1)]), [0, 1]), FEW).empty


def test_each_fold_is_judged_by_the_others():
    """In the first fold fakes are the darker ones, which the other two do not know."""
    packed = brightened(1)
    fold = np.arange(40) // 2 % 3
    packed = replace(packed, manifest=packed.manifest.assign(fold=fold, part=np.arange(40) // 6))
    packed.images[fold == 0] = 255 - packed.images[fold == 0]
    found = numbers(baseline(packed, FEW), "mean brightness")
    assert found["accuracy"] < (fold > 0).mean() + 0.05
    assert len(baseline(packed, FEW)["by"].unique()) == 1
