"""How far one gets without any network: what a detector is to be judged beside, instead of chance.

On the images that networks are trained and validated on, the single number is picked that ranks
them best, with its direction and threshold, and the classifier of files is trained; both then
judge the networks' test images.
"""

import numpy as np
import pandas as pd

from lib.audit import file_properties, pixel_cues
from lib.data.packed import Packed
from lib.statistics import accuracy, bootstrap, ranking
from lib.study.schema import Bootstrap

COLUMNS = ["by", "statistic", "value", "low", "high"]


def baseline(packed: Packed, settings: Bootstrap) -> pd.DataFrame:
    """Accuracy, TPR, TNR and AUC without a network, with `COLUMNS`; 95 % intervals over images.

    Empty where the cell is packed for testing alone.
    """
    test, every = packed.rows("test"), np.arange(len(packed.manifest))
    fit, labels = np.setdiff1d(every, test), packed.manifest["label"].to_numpy(np.uint8)
    if not len(fit):
        return pd.DataFrame(columns=COLUMNS)
    resampled = bootstrap.resample(labels[test], settings.resamples, settings.seed)
    cues, nothing = pixel_cues.measure(packed.images, every), np.empty((0, len(fit)), np.float32)
    aucs = {cue: ranking.auc(v.to_numpy()[fit], labels[fit], nothing)[0] for cue, v in cues.items()}
    best = max(aucs, key=lambda cue: abs(aucs[cue] - 0.5))
    scores = {f"{best} alone": cues[best].to_numpy() * (1 if aucs[best] >= 0.5 else -1)}
    if file_properties.has_files(packed):
        files = file_properties.table(packed)
        by_file = np.full(len(every), 0.5)
        by_file[test] = file_properties.predicted_by(
            files.iloc[fit], files.iloc[test], settings.seed
        )
        scores["the files alone, a classifier"] = by_file
    lines = []
    for name, score in scores.items():
        threshold = 0.5
        if name.startswith(best):
            middle = float(np.median(score[fit]))
            threshold = accuracy.best_threshold(score[fit], labels[fit], middle)
        right = (score[test] >= threshold) == labels[test].astype(bool)
        overall = bootstrap.estimated("accuracy", bootstrap.draws(right, None, resampled))
        rates = accuracy.rates(right, labels[test], resampled)
        auc = bootstrap.estimated("auc", ranking.auc(score[test], labels[test], resampled))
        lines += [(name, *each[:4]) for each in (overall, auc, *rates)]
    return pd.DataFrame(lines, columns=COLUMNS)
