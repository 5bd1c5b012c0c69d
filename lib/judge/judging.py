"""Judges pictures, batch by batch: what each batch gave is kept, so that a killed call goes on."""

import hashlib
import io
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import save_file

from lib.data import faces
from lib.data.packing.workers import Outcome, Workers
from lib.judge import flags
from lib.judge.errors import OutError
from lib.judge.network import Network
from lib.judge.pictures import Pictures
from lib.progress import bar
from lib.statistics.abstention import CANNOT_TELL, VERDICTS, verdicts
from lib.study import paths
from lib.study.files import read_table
from lib.voting import rules

BATCH = 32
THUMBNAIL = 192  # px
FACE_SHARE = 0.8
"""Where so large a share of the training images shows a face that dlib finds, a picture must."""
BETWEEN = "its score is between those of photographs and of fakes"
COLUMNS = ["picture", "verdict", "why", "probability", "patches", "flags", "flips"]
COLUMNS += ["width", "height", "format"]
PIXELS = ["margins", "thumbnail"]  # beside them, of what is judged


def folder_for(network: Network, pictures: Sequence[Path]) -> Path:
    """Where results lie if nothing is said: the same for the same paths, network and checks."""
    told = [network.card.digest, str(asks_for_faces(network))]
    told += [f"{path}\n{path.resolve()}" for path in pictures]
    name = hashlib.sha256("\n".join(told).encode()).hexdigest()[:6]
    return paths.work() / "reports" / "judged" / f"{pictures[0].resolve().stem}-{name}"


def judge(
    network: Network,
    given: Sequence[Pictures],
    out: Path,
    *,
    add: bool = False,
    part: int = 1,
    parts: int = 1,
) -> Iterator[dict[str, Any]]:
    """Judges what `out` does not hold yet; gives a row for each picture as it is judged.

    With `parts`, only every so many pictures, from the `part`-th on: several processes that share
    `out` then judge a part each. A picture that was written since it was judged is judged anew.

    Raises:
        OutError: if `out` was made with another network or, without `add`, of other pictures.
        PackingError: if a process that read pictures died; what was judged is kept.
    """
    _claim(network, out)
    judged_at = _times(out)
    done, asked = set(judged_at), {name for pictures in given for name in pictures.shown}
    if not add and done - asked:
        raise OutError(
            f"{out}: holds {len(done - asked)} other pictures' results, such as "
            f"{min(done - asked)}. Name another folder with --out, add to them with --add, or "
            "remove it to begin anew"
        )
    todo, place = [], count()
    for pictures in given:
        mine = [pair for pair in pictures.pairs if next(place) % parts == part - 1]
        todo.append(
            {
                name: shown
                for name, shown in mine
                if shown not in done or pictures.written(name) > judged_at[shown]
            }
        )
    rest, begun = sum(map(len, todo)), time.time_ns()
    files = (out / "parts" / f"{part:03d}-{n:06d}.parquet" for n in count())
    new = (path for path in files if not path.exists())
    with (
        readers(network, given, rest) as workers,
        bar(total=rest, desc="judged", unit=" pictures") as progress,
    ):
        for label, shown in enumerate(todo):
            outcomes = workers.outcomes(label, list(shown))
            while batch := [(shown[name], outcome) for name, outcome in islice(outcomes, BATCH)]:
                rows = judged(network, batch)
                paths.write_whole(next(new), partial(_write, pd.DataFrame(rows), begun))
                progress.update(len(rows))
                yield from rows


def readers(network: Network, given: Sequence[Pictures], expected: int) -> Workers:
    """What reads, prepares and looks over about so many pictures for a network."""
    note = partial(_note, for_faces=asks_for_faces(network))
    settings = [pictures.source for pictures in given]
    return Workers(settings, network.card.preparation, expected, note=note)


def judged(network: Network, batch: Sequence[tuple[str, Outcome]]) -> list[dict[str, Any]]:
    """A row for each picture of a batch: `COLUMNS`, the rules' scores, `margins`, `thumbnail`."""
    usable = [(name, outcome) for name, outcome in batch if outcome.pixels is not None]
    rows = {}
    if usable:
        images = np.stack([outcome.pixels for _, outcome in usable])
        z = network.margins(images)
        scores = network.scores(z)
        said = verdicts(scores, network.card.thresholds)
        stated = network.probability(scores)
        votes = {rule.name: rule.score(z) for rule in rules.voting_on(network.patches)}
        strange = flagged(network, pd.DataFrame([o.facts for _, o in usable]))
        given = np.array([not each.far for each in strange]) & (said != CANNOT_TELL)
        flips = network.flipped(images, said, given)
        for i, (name, outcome) in enumerate(usable):
            changed = [how for how, turned in flips.items() if turned[i]]
            verdict, why = _verdict(VERDICTS[said[i]], strange[i], changed)
            rows[name] = {
                **{"picture": name, "verdict": verdict, "why": why},
                # Of what is unlike all that it was calibrated on, P(fake) says nothing.
                "probability": np.nan if strange[i].far else stated[i],
                **{rule: score[i] for rule, score in votes.items()},
                **{"patches": z.shape[1], "flags": "; ".join(strange[i].texts)},
                **{"flips": "; ".join(changed), "margins": z[i]},
                **{key: outcome.facts[key] for key in ("width", "height", "format", "thumbnail")},
            }
    empty = {"verdict": VERDICTS[2], "patches": 0, "flags": "", "flips": ""}
    for name, outcome in batch:
        if outcome.pixels is None:
            rows[name] = {"picture": name, **empty, "why": f"unusable: {outcome.reason}"}
    return [rows[name] for name, _ in batch]


def flagged(network: Network, files: pd.DataFrame) -> list[flags.Flags]:
    """In what pictures, a row each of facts and what was seen, differ from training images."""
    card, each = network.card, []
    numbers = flags.numbers(files, card.preparation.image_size)
    looks = zip(files["face"], files["format"] == "JPEG", numbers.iterrows(), strict=True)
    for face, is_jpeg, (_, row) in looks:
        found = flags.flags(row, card.ranges, all_jpeg=card.all_jpeg, is_jpeg=is_jpeg)
        each.append(found if face else flags.Flags([*found.texts, flags.NO_FACE], True))
    return each


def asks_for_faces(network: Network) -> bool:
    """Whether pictures without a face are told: it learned from faces, and dlib is here."""
    try:
        faces.detector()
    except faces.MissingExtra:
        return False
    return (network.card.with_faces or 0) >= FACE_SHARE


def finish(network: Network, out: Path) -> pd.DataFrame:
    """Joins what `out` holds: writes `judged.csv` and `margins.safetensors`; gives the table."""
    table = read(out).sort_values("picture").reset_index(drop=True)
    scores = [name for name in table.columns if name in rules.RULES]
    table = table[[*COLUMNS[:4], *scores, *COLUMNS[4:]]]
    paths.write_whole(out / "judged.csv", lambda p: table.to_csv(p, index=False))
    z = np.full((len(table), len(network.origins)), np.nan, np.float32)  # of unusable ones
    known = read(out, ["picture", "margins"]).dropna().set_index("picture")["margins"]
    where = table["picture"].isin(known.index)
    if len(known):
        z[where] = np.stack(known[table.loc[where, "picture"]])
    tensors = {"margins": z, "origins": network.origins}
    paths.write_whole(out / "margins.safetensors", lambda p: save_file(tensors, p))
    return table


def read(out: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """What is judged so far, of a picture the latest; by default without margins and thumbnails."""
    parts = []
    for path in _parts(out):
        part = read_table(path)
        wanted = columns or dict.fromkeys([*COLUMNS, *part.columns.drop(PIXELS, errors="ignore")])
        parts.append(part.reindex(columns=list(wanted)))
    empty = pd.DataFrame(columns=columns or COLUMNS)
    table = pd.concat(parts, ignore_index=True) if parts else empty
    return table.drop_duplicates("picture", keep="last", ignore_index=True)


def _parts(out: Path) -> list[Path]:
    """The files of `out`, a batch each, from the earliest to the latest."""
    return sorted((out / "parts").glob("[0-9]*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def _write(rows: pd.DataFrame, begun: int, path: Path) -> None:
    """Writes a batch, as of when reading began, ns: what changes from then on is judged anew."""
    rows.to_parquet(path, index=False)
    os.utime(path, ns=(begun, begun))


def _times(out: Path) -> dict[str, int]:
    """When each picture was judged, ns."""
    return {
        name: path.stat().st_mtime_ns
        for path in _parts(out)
        for name in read_table(path, columns=["picture"])["picture"]
    }


def _claim(network: Network, out: Path) -> None:
    """Marks `out` as this network's; raises OutError if it is another's."""
    path = out / "network.json"
    if path.is_file():
        if path.read_text("utf-8") != network.card.model_dump_json(indent=1):
            raise OutError(f"{out}: was judged by another network. Name another folder with --out")
        return
    if out.is_dir() and any(out.glob("[!.]*")):  # a hidden one may be what a kill left of this
        raise OutError(f"{out}: holds other files. Name an empty or new folder with --out")
    card = network.card.model_dump_json(indent=1)
    paths.write_whole(path, lambda p: p.write_text(card, "utf-8"))


def _verdict(said: str, strange: flags.Flags, flips: Sequence[str]) -> tuple[str, str]:
    """The verdict that is given, and why none is; empty where one is."""
    if strange.far:
        return VERDICTS[2], f"too far from the training pictures: {'; '.join(strange.texts)}"
    if said == VERDICTS[2]:
        return said, BETWEEN
    if flips:
        return VERDICTS[2], f"{said}, but not any more when {', '.join(flips)}"
    return said, ""


def _note(image: np.ndarray, *, for_faces: bool) -> dict[str, Any]:
    """What is noted of a prepared image beside its file's facts."""
    return {**flags.seen(image, for_faces=for_faces), "thumbnail": _thumbnail(image)}


def _thumbnail(image: np.ndarray) -> bytes:
    """The prepared picture, small, as WebP."""
    picture, memory = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    picture.save(memory, "WEBP", quality=80)
    return memory.getvalue()
