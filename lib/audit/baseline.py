"""How far one gets without any network: what a detector is to be judged beside, instead of chance.

On the images that networks are trained and validated on, the single number is picked that ranks
them best, with its direction and threshold, and the classifier of files is trained; both then
judge the networks' test images.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from lib.audit import file_properties, pixel_cues
from lib.data.packed import SPLITS, Packed
from lib.statistics import accuracy, bootstrap, ranking
from lib.study.schema import Bootstrap

MOST = 4_000  # images that are picked and trained on, spread over the packed ones
COLUMNS = ["by", "statistic", "value", "low", "high"]


def baseline(packed: Packed, settings: Bootstrap) -> pd.DataFrame:
    """Accuracy, TPR, TNR and AUC without a network, with `COLUMNS`; 95 % intervals over images.

    Where a study has folds each is judged by what the others tell. Empty where the cell is packed
    for testing alone.
    """
    labels = packed.manifest["label"].to_numpy(np.uint8)
    folds = sorted(packed.manifest["fold"].unique()) if "fold" in packed.manifest else [None]
    parts = []
    for fold in folds:
        test, *others = (packed.rows(split, fold) for split in SPLITS)
        fit = np.concatenate(others)  # of both classes in turn, so that some of them are of both
        parts.append((test, fit[np.linspace(0, len(fit) - 1, min(MOST, len(fit))).astype(int)]))
    if not all(len(fit) for _, fit in parts):
        return pd.DataFrame(columns=COLUMNS)
    measured, judged = np.unique(np.concatenate([rows for part in parts for rows in part])), []
    cues = pixel_cues.measure(packed.images, measured).set_index(measured)
    for test, fit in parts:
        best, scores = _best_cue(cues, labels, fit)
        judged.append({f"{best} alone": scores[test].to_numpy()})
        if file_properties.has_files(packed):
            files = file_properties.table(packed)
            fake = file_properties.predicted_by(files.iloc[fit], files.iloc[test], settings.seed)
            judged[-1]["the files alone, a classifier"] = fake - 0.5
    names = [", ".join(dict.fromkeys(name)) for name in zip(*judged, strict=True)]
    by_judge = zip(*(each.values() for each in judged), strict=True)
    truth, lines = labels[np.concatenate([test for test, _ in parts])], []
    resampled = bootstrap.resample(truth, settings.resamples, settings.seed)
    for name, scores in zip(names, map(np.concatenate, by_judge), strict=True):
        right = (scores >= 0) == truth.astype(bool)
        overall = bootstrap.estimated("accuracy", bootstrap.draws(right, None, resampled))
        auc = bootstrap.estimated("auc", ranking.auc(scores, truth, resampled))
        rates = accuracy.rates(right, truth, resampled)
        lines += [(name, *each[:4]) for each in (overall, auc, *rates)]
    return pd.DataFrame(lines, columns=COLUMNS)


def _best_cue(cues: pd.DataFrame, labels: np.ndarray, fit: np.ndarray) -> tuple[str, pd.Series]:
    """The number that ranks the images `fit`, int (M,), best, and how it judges all images.

    Of all it tells how far theirs lies on the fakes' side of the threshold that is best on `fit`.
    """
    known = cues.loc[fit]
    aucs = {cue: roc_auc_score(labels[fit], scores) for cue, scores in known.items()}
    best = max(aucs, key=lambda cue: abs(aucs[cue] - 0.5))
    way = 1 if aucs[best] >= 0.5 else -1
    seen = way * known[best].to_numpy()
    return best, way * cues[best] - accuracy.best_threshold(
        seen, labels[fit], float(np.median(seen))
    )
