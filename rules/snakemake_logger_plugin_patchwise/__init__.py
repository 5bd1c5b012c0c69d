"""What `make study` shows, in place of Snakemake's own messages.

Snakemake finds it by its name: `snakemake --logger patchwise`, with this folder in PYTHONPATH. A
line for each job that is done; in a terminal also, at the bottom, what runs, how many jobs are left
and about how long they take; at the end what was wrong, in the words of the job that failed.
"""

import json
import logging
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from lib.__main__ import ERRORS
from lib.progress import bar
from lib.study import paths

OURS = {error.__name__ for error in ERRORS}
TOLD = ("pack", "train", "judged")  # whose log ends with what came out
TARGET = "all_packed"  # no job, but a name for several
EPOCH = "epoch "  # begins what training says of each epoch


class LogHandler(LogHandlerBase):
    """Follows the jobs of one call of Snakemake."""

    writes_to_stream, writes_to_file = True, False
    has_filter, has_formatter, needs_rulegraph = True, True, False

    def __post_init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        self.jobs: dict[int, SimpleNamespace] = {}
        self.running: dict[int, SimpleNamespace] = {}
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failed: set[str] = set()
        self.wrong: dict[int, str] = {}
        self.errors: list[str] = []
        self.line, self.total, self.side_by_side = None, 0, 1
        self.closed = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one event; what else is an error comes last, if no job has failed."""
        follow = {
            LogEvent.RUN_INFO: self._begin,
            LogEvent.JOB_INFO: self._job,
            LogEvent.JOB_FINISHED: self._done,
            LogEvent.JOB_ERROR: self._failed,
        }.get(getattr(record, "event", None))
        if follow:
            follow(record)
        elif record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())
        elif record.levelno == logging.WARNING and not self.failed:
            self._write(record.getMessage())

    def close(self) -> None:
        """Says at last what was wrong, each once."""
        if self.line is not None and not self.closed.is_set():
            self.closed.set()
            self.line.close()
        for sentence in dict.fromkeys(self.wrong.values() or self.errors):
            print(f"\n{sentence}", file=sys.stderr)
        self.wrong, self.errors = {}, []
        super().close()

    def _begin(self, record: logging.LogRecord) -> None:
        if self.line is None:
            self.waiting.update(record.stats)
            self.waiting.subtract(
                total=self.waiting["total"], **{TARGET: record.stats.get(TARGET, 0)}
            )
            self.total = self.waiting.total()
            self.line = bar(bar_format="{desc}", leave=False)
            threading.Thread(target=self._refresh, daemon=True).start()

    def _job(self, record: logging.LogRecord) -> None:
        if record.rule_name == TARGET:
            return
        job = SimpleNamespace(
            rule=record.rule_name, name=_name(record), logs=record.log, begun=time.monotonic()
        )
        if record.jobid not in self.jobs:
            self.waiting[job.rule] -= 1
        self.jobs[record.jobid] = self.running[record.jobid] = job
        self.side_by_side = max(self.side_by_side, len(self.running))

    def _done(self, record: logging.LogRecord) -> None:
        if self.wrong.pop(record.job_id, None) is not None:  # of an earlier try
            self.errors.clear()
        if job := self.running.pop(record.job_id, None):
            took = time.monotonic() - job.begun
            self.seconds[job.rule].append(took)
            done = sum(map(len, self.seconds.values()))
            said = _last_line(job.logs).rpartition(" · ")[2].partition(", in ")[0]
            said *= job.rule in TOLD
            what = f"{job.name} · {_duration(took)}" + (f" · {said}" if said else "")
            self._write(f"{done:>{len(str(self.total))}} of {self.total} · {what}")

    def _failed(self, record: logging.LogRecord) -> None:
        if job := self.running.pop(record.jobid, None):
            if job.name not in self.failed:  # and not its further tries
                self._write(f"failed · {job.name}")
            self.failed.add(job.name)
            self.wrong[record.jobid] = _sentence(job.logs) or (
                f"{job.name} was ended without a word, as by a kill or for want of memory. The "
                "same command goes on from here."
            )

    def _write(self, text: str) -> None:
        (print if self.line is None else self.line.write)(text, file=sys.stderr)

    def _refresh(self) -> None:
        while not self.closed.wait(1):
            jobs = list(self.running.values())
            shown = "; ".join(f"{job.name} {_epoch(job)}".strip() for job in jobs)
            left = f"{len(jobs) + self.waiting.total()} left{self._time_left(jobs)}"
            self.line.set_description_str(f"{left} · {shown}")

    def _time_left(self, jobs: list[SimpleNamespace]) -> str:
        """About how long what is left takes, as its like took; nothing before that can be said.

        Of training an epoch is enough, of notebooks any other.
        """
        now, took = time.monotonic(), {kind: list(all_) for kind, all_ in self.seconds.items()}
        for job in jobs:
            if epoch := re.match(rf"{EPOCH}(\d+) of (\d+)", _epoch(job)):
                took.setdefault("train", []).append(
                    (now - job.begun) * int(epoch[2]) / int(epoch[1])
                )
        mean = {kind: sum(all_) / len(all_) for kind, all_ in took.items()}
        others = [seconds for kind, seconds in mean.items() if kind not in ("pack", "train")]
        kinds = {*(job.rule for job in jobs), *(+self.waiting)} - mean.keys()
        if not mean or "train" in kinds or (kinds and not others):
            return ""
        mean |= dict.fromkeys(kinds, sum(others) / max(len(others), 1))
        total = sum(mean[kind] * count for kind, count in (+self.waiting).items())
        total += sum(max(mean[job.rule] - (now - job.begun), 0) for job in jobs)
        return f", about {_duration(total / self.side_by_side)}"


def _name(record: logging.LogRecord) -> str:
    """A job's rule and what it works on, such as `train faces-gan 64 px, seed 1`."""
    given = dict(record.wildcards)
    parts = [given.get(key, "") for key in ("cell", "train", "test") if given.get(key)]
    if given.get("variant", "plain") != "plain":
        parts.append(given["variant"])
    if "size" in given:
        parts.append(f"{int(given['size'])} px, seed {given['seed']}")
    return " ".join([record.rule_name, *parts])


def _epoch(job: SimpleNamespace) -> str:
    """Of a training job the last epoch and its loss."""
    return _last_line(job.logs, EPOCH).partition(",")[0]


def _last_line(logs: list[str], begins: str = "") -> str:
    """The last line that a job wrote into its log, of those that begin so."""
    lines = _text(logs).replace("\r", "\n").splitlines()
    return next((line for line in reversed(lines) if line.strip() and line.startswith(begins)), "")


def _sentence(logs: list[str]) -> str:
    """What a failed job says: its notebook's error, or the end of its log, and where it lies."""
    for path in logs:
        if path.endswith(".ipynb") and Path(path).is_file():
            cells = json.loads(Path(path).read_text("utf-8"))["cells"]
            for output in (output for cell in cells for output in cell.get("outputs", [])):
                if output["output_type"] == "error":
                    if output["ename"] in OURS:
                        return output["evalue"]
                    return f"{output['ename']}: {output['evalue']}\nThe notebook: {path}"
    lines = [line for line in _text(logs).splitlines() if not line.startswith(EPOCH)]
    if any("No space left on device" in line for line in lines):
        return paths.FULL
    if "KeyboardInterrupt" in lines:
        return "Interrupted. The same command goes on from here."
    ended = any(line.startswith("Traceback") for line in lines)
    return "\n".join([*lines[-4:], *(f"The log: {log}" for log in logs if ended)])


def _text(logs: list[str]) -> str:
    """What a job has said so far; beside an executed notebook lies what papermill said."""
    path = Path(logs[0] + ".log" * logs[0].endswith(".ipynb")) if logs else None
    return path.read_text("utf-8", errors="replace") if path and path.is_file() else ""


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return (
        f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours} h"
    )
