"""What the files of both classes are, and whether that alone tells the classes apart.

A network sees pixels only, but a file's format, quality and size say how its pixels were made:
classes that differ there differ in the traces of compression and resampling too.
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from lib.data import perturbations
from lib.data.packed import CLASSES, Packed
from lib.statistics.bootstrap import Estimate, estimated
from lib.study.schema import Altered

KINDS = ["format", "mode", "tables", "subsampling"]
NUMBERS = ["bytes", "bits", "quality", "progressive", "width", "height"]
RESIZED = ("enlarged", "left as they were", "shrunk")
MOST_VALUES = 8
FOLDS = 5
SAME_SIDE = 0.1  # median sides that differ by less are no other history


def table(packed: Packed) -> pd.DataFrame:
    """Every property of the files: the packed files' `files`, and the manifest's columns."""
    return packed.manifest[["label", "format", "width", "height"]].join(packed.files)


def has_files(packed: Packed) -> bool:
    """Whether all pictures are files; simulated ones are not."""
    return bool(packed.files["bytes"].notna().all())


def properties(packed: Packed) -> pd.DataFrame:
    """How many images of each class have which property, tidy.

    What no image has, such as the JPEG quality of PNGs, is left out. Of a property with many
    values the most frequent `MOST_VALUES` are listed. `share` is that of the class, in [0, 1].
    """
    label, rows = packed.manifest["label"], []
    totals = label.value_counts()
    for name, values in _texts(table(packed), packed.images.shape[1]).items():
        for (value, number), images in pd.crosstab(_ordered(values), label).stack().items():
            rows.append((CLASSES[number], name, value, images, images / totals[number]))
    return pd.DataFrame(rows, columns=["class", "property", "value", "images", "share"])


def _ordered(values: pd.Series) -> pd.Series:
    """The values as categories, the frequent first; rare ones beyond `MOST_VALUES` are one."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values
    kept = list(values.value_counts().index[:MOST_VALUES])
    if values.nunique() > len(kept):
        values, kept = values.where(values.isin(kept), "others"), [*kept, "others"]
    return values.astype(pd.CategoricalDtype(kept, ordered=True))


def _texts(files: pd.DataFrame, size: int) -> dict[str, pd.Series]:
    """The properties that any image has, each image's value as text."""
    texts = {
        "format": files["format"],
        "mode": files["mode"],
        "bits per channel": files["bits"].map("{:d}".format),
        "size, px": files["width"].astype(str) + " × " + files["height"].astype(str),
        "resized": pd.Series(_resized(files["side"], size), files.index),
    }
    if files["bytes"].nunique() > 1:
        texts["file size, bytes"] = _quarters(files["bytes"])
    jpeg = files["tables"] != ""
    if jpeg.any():
        quality = files["quality"].map("{:g}".format)
        quality = quality.where(files["quality"].notna(), "other tables")
        coding = files["progressive"].map({True: "progressive", False: "baseline"})
        columns = {"quality": quality, **files[["tables", "subsampling"]], "coding": coding}
        texts |= {f"JPEG {name}": values.where(jpeg, "no JPEG") for name, values in columns.items()}
    return texts


def _quarters(sizes: pd.Series) -> pd.Series:
    """Sizes as the quarter of all images that they fall into, from small to large."""
    edges = np.unique(np.nanquantile(sizes, [0, 0.25, 0.5, 0.75, 1], method="lower"))
    named = [f"{low:,.0f} to {high:,.0f}" for low, high in zip(edges, edges[1:], strict=False)]
    return pd.cut(sizes, edges, labels=named, include_lowest=True)


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `properties` as a table to read: a column per class, in per cent."""
    wide = rows.pivot(index=["property", "value"], columns="class", values="share")
    wide = wide.reindex(rows[["property", "value"]].drop_duplicates().itertuples(index=False))
    wide.index = pd.MultiIndex.from_tuples(wide.index, names=["property", "value"])
    return (100 * wide[list(CLASSES)]).round(1).rename_axis(columns=None)


def predictions(files: pd.DataFrame, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """P(fake) of each image by its file alone, from gradient-boosted trees that never saw it.

    Stratified cross-validation, in folds that `seed` fixes, of shallow trees on rows of `table`.
    The side of the square that was cut is left out: packing chose it, not the publisher.

    Returns:
        P(fake) float64 (N,) and the fold int64 (N,) of each image; None where a class has fewer
        than two images.
    """
    folds = min(FOLDS, *files["label"].value_counts().reindex([0, 1], fill_value=0))
    if folds < 2:
        return None
    predicted, fold = np.empty(len(files)), np.empty(len(files), np.int64)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (seen, held_out) in enumerate(splitter.split(files, files["label"])):
        predicted[held_out] = predicted_by(files.iloc[seen], files.iloc[held_out], seed)
        fold[held_out] = number
    return predicted, fold


def predicted_by(seen: pd.DataFrame, files: pd.DataFrame, seed: int) -> np.ndarray:
    """P(fake) of images, float64 (N,), by their files alone, from trees that saw others' files."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encode = make_column_transformer((one_hot, KINDS), remainder="passthrough")
    trees = HistGradientBoostingClassifier(
        max_iter=50, max_depth=3, min_samples_leaf=5, early_stopping=False, random_state=seed
    )
    model = make_pipeline(encode, trees).fit(_known(seen), seen["label"])
    return model.predict_proba(_known(files))[:, 1]


def _known(files: pd.DataFrame) -> pd.DataFrame:
    """What the trees are told, without gaps.

    A tree can part what is missing from what is there by any number that does not occur; the trees'
    own treatment of missing numbers fails where a column has no other.
    """
    return files[KINDS + NUMBERS].astype(dict.fromkeys(NUMBERS, float)).fillna(-1)


def auc_within_folds(
    scores: np.ndarray, folds: np.ndarray, labels: np.ndarray, resampled: np.ndarray
) -> Estimate:
    """The AUC over the pairs of a real and a fake of one fold, ties counting half.

    Each fold's trees differ a little, so that scores of two folds are never equal even where the
    files are; comparing them would hide a part of what separates the classes. Of scores float64,
    folds int and labels uint8, real = 0, fake = 1, each (N,); `resampled` is float32 (B, N), from
    `lib.statistics.bootstrap.resample`.
    """
    weights = np.vstack([np.ones(len(labels)), resampled])  # (1 + B, N)
    higher, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in np.unique(folds):
        real, fake = (np.flatnonzero((folds == fold) & (labels == label)) for label in (0, 1))
        steps = np.sign(scores[fake] - scores[real][:, None])  # (reals, fakes)
        higher += ((weights[:, real] @ (1 + steps) / 2) * weights[:, fake]).sum(axis=1)
        pairs += weights[:, real].sum(axis=1) * weights[:, fake].sum(axis=1)
    with np.errstate(invalid="ignore"):  # a resample of few images may have no pair
        return estimated("auc", higher / pairs)


def history(packed: Packed) -> list[str]:
    """In plain sentences: what was done to both classes, and how far each was resized."""
    recipe, size = packed.side["recipe"], packed.images.shape[1]
    if "test_images_of" in recipe:
        change = {key: recipe[key] for key in recipe if key not in ("test_images", "data")}
        how = perturbations.title(Altered(**change))
        images = f"the test images of {recipe['test_images_of']}, {how}"
        return [f"Both classes: {images}, in pixels; the files are that cell's."]
    data, quality = recipe["data"], recipe["data"].get("jpeg_quality")
    saved = f"saved as JPEG of quality {quality}" if quality else "not saved as JPEG"
    lines = [f"Both classes: crop {data['crop']}, resampled by {data['resample']}, {saved}."]
    labels, sides = packed.manifest["label"].to_numpy(), packed.files["side"].to_numpy()
    medians = [float(np.median(sides[labels == label])) for label in (0, 1)]
    for label, name in enumerate(CLASSES):
        kinds = _resized(sides[labels == label], size)
        counted = ", ".join(f"{np.count_nonzero(kinds == k):,} {k}" for k in RESIZED if k in kinds)
        lines.append(f"{name}: {counted} (median side {medians[label]:g} px, to {size} px).")
    if max(medians) > (1 + SAME_SIDE) * min(medians):
        real, fake = (f"{_resized(median, size)} ({median:g} px)" for median in medians)
        lines.append(
            f"The classes' histories differ: real pictures were mostly {real} and fakes {fake}. "
            "Enlarging blurs and shrinking sharpens, so resampling alone may tell them apart."
        )
    return lines


def _resized(sides: np.ndarray | float, size: int) -> np.ndarray:
    """Of sides, px, what resizing them to `size` did: values of `RESIZED`, in their shape."""
    return np.array(RESIZED)[1 + np.sign(np.asarray(sides) - size).astype(int)]
