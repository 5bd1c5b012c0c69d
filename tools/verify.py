"""Holds a study that was made anew to the numbers and findings that were kept of it.

python tools/verify.py demo          (or, which makes it anew as well: make verify STUDY=demo)

Other processors give other last digits, and so other networks. A number is the mean over the
seeds, or folds, with an interval over networks and images (`lib.results.pooled`); it is as it was
if each of the two lies within the other's. The study is verified if at most 5 % of the numbers are
not as they were, since so many would not be by chance, and no finding turned: one that is undecided
in one of the two has too little to go by there, and does not speak against the other. Of a study of
one seed the intervals know the images and not the networks: a processor of another kind does not
verify it.
"""

import sys

import pandas as pd

from lib.results import tables
from lib.results.pooled import KEYS, pooled
from lib.study import paths, reading

NUMBERS = ["value", "low", "high"]
FINDING = ["train", "variant", "claim", "says", "measure"]
BY_CHANCE = 0.05
JUDGED = {"supported", "contradicted", "undecided"}


def numbers(kept: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Both tables' numbers that have intervals, side by side, and whether each is `as_kept`.

    What one of them lacks has no numbers of it, and is not as kept.
    """
    told = {"kept": kept, "made": made}
    sides = [
        table.dropna(subset=["low", "high"]).set_index(KEYS)[NUMBERS].add_suffix(f"_{name}")
        for name, table in told.items()
    ]
    both = sides[0].join(sides[1], how="outer")
    both["as_kept"] = both["value_made"].between(both["low_kept"], both["high_kept"])
    both["as_kept"] &= both["value_kept"].between(both["low_made"], both["high_made"])
    both["as_kept"] |= both["value_kept"] == both["value_made"]  # which bias may put outside both
    return both


def findings(kept: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """The findings on claims, and on parts of them, that are not as they were.

    `line` says each in words; `turned` is False where it is undecided, in one of the two alone.
    """
    sides = [table.assign(says=table["says"].astype(object).fillna("")) for table in (kept, made)]
    sides = [table.set_index(FINDING)["finding"] for table in sides]
    both = pd.concat(sides, axis=1, keys=("kept", "made")).fillna("missing")
    both = both[both["kept"] != both["made"]]
    lines = [
        f"{claim} {says or 'as a whole'}, by {measure}, {train}, {variant}: {was} kept, {now} here"
        for (train, variant, claim, says, measure), was, now in both.itertuples()
    ]
    turned = [not {"undecided"} < {was, now} <= JUDGED for _, was, now in both.itertuples()]
    return pd.DataFrame({"line": lines, "turned": turned}).astype({"turned": bool})


def main() -> int:
    """Prints what is not as it was, and the verdict; returns the exit status."""
    study = sys.argv[1]
    folder = paths.ROOT / "reports" / "kept" / study
    new = paths.report(study).with_name("claims.csv")
    for file, command in ((folder / "tables.csv", "keep"), (new, "study")):
        if not file.is_file():
            print(f"{file}: is not there; make {command} STUDY={study} makes it", file=sys.stderr)
            return 1
    parameters = reading.load(study)
    made, left_out = tables.read(parameters)
    for line in left_out:
        print(f"left out, made with other parameters: {line}")
    kept = pd.read_csv(folder / "tables.csv", dtype=tables.TEXT | tables.WHOLE_NUMBERS)
    both = numbers(pooled(parameters, kept), pooled(parameters, made))
    for key, row in both[~both["as_kept"]].iterrows():
        named = " · ".join(str(part) for part in key if pd.notna(part) and part != "")
        was, now = (_said(row, side) for side in ("kept", "made"))
        print(f"{named}: {was} kept, {now} here")
    changed = findings(pd.read_csv(folder / "claims.csv"), pd.read_csv(new))
    for line, turned in changed.itertuples(index=False):
        print(f"finding {'turned' if turned else 'changed'}: {line}")
    others, turned = int((~both["as_kept"]).sum()), int(changed["turned"].sum())
    verified = others <= BY_CHANCE * len(both) and not turned
    alike = f"{len(both) - others} of {len(both)} numbers lie within both intervals"
    said = "verified" if verified else "NOT verified"
    print(f"{said}: {alike}, {len(changed)} findings changed, {turned} of them turned")
    if not verified and kept["seed"].nunique() == 1:
        print("Its intervals, of one seed, know no other networks; other processors train others")
    return 0 if verified else 1


def _said(row: pd.Series, side: str) -> str:
    value, low, high = (row[f"{name}_{side}"] for name in NUMBERS)
    return "missing" if pd.isna(value) else f"{value:.4g} [{low:.4g}, {high:.4g}]"


if __name__ == "__main__":
    sys.exit(main())
