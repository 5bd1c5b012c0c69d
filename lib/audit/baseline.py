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

    Empty where the cell is packed for testing alone.
    """
    test, labels = packed.rows("test"), packed.manifest["label"].to_numpy(np.uint8)
    fit = np.concatenate([packed.rows(split) for split in SPLITS[1:]])
    if not len(fit):
        return pd.DataFrame(columns=COLUMNS)
    fit = fit[np.linspace(0, len(fit) - 1, min(MOST, len(fit))).astype(int)]  # of both classes
    known = pixel_cues.measure(packed.images, fit)
    aucs = {cue: roc_auc_score(labels[fit], scores) for cue, scores in known.items()}
    best = max(aucs, key=lambda cue: abs(aucs[cue] - 0.5))
    way = 1 if aucs[best] >= 0.5 else -1
    seen = way * known[best].to_numpy()
    shown = way * pixel_cues.measure(packed.images, test)[best].to_numpy()
    threshold = accuracy.best_threshold(seen, labels[fit], float(np.median(seen)))
    judges = {f"{best} alone": (shown, threshold)}
    if file_properties.has_files(packed):
        files = file_properties.table(packed)
        by_file = file_properties.predicted_by(files.iloc[fit], files.iloc[test], settings.seed)
        judges["the files alone, a classifier"] = (by_file, 0.5)
    resampled, lines = bootstrap.resample(labels[test], settings.resamples, settings.seed), []
    for name, (scores, threshold) in judges.items():
        right = (scores >= threshold) == labels[test].astype(bool)
        overall = bootstrap.estimated("accuracy", bootstrap.draws(right, None, resampled))
        auc = bootstrap.estimated("auc", ranking.auc(scores, labels[test], resampled))
        rates = accuracy.rates(right, labels[test], resampled)
        lines += [(name, *each[:4]) for each in (overall, auc, *rates)]
    return pd.DataFrame(lines, columns=COLUMNS)
