"""What `make study` shows of its jobs, from what Snakemake tells its logger."""

import json
import logging
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from notebook_helpers import ROOT
from snakemake_interface_logger_plugins.common import LogEvent

NAME = "snakemake_logger_plugin_patchwise"


@pytest.fixture
def shown(monkeypatch):
    """The handler, and a clock that stands still unless it is moved."""
    spec = spec_from_file_location(NAME, ROOT / "rules" / NAME / "__init__.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    handler = module.LogHandler(None, None)
    handler.clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: handler.clock[0])
    return handler


def tell(handler, event: LogEvent | None = None, level=logging.INFO, message="", **values) -> None:
    record = logging.LogRecord("snakemake", level, "", 0, message, (), None)
    vars(record).update(values | ({"event": event} if event else {}))
    handler.emit(record)


def begin(handler, job: int, rule: str, log: Path | str = "none.log", **wildcards: str) -> None:
    given = {"rule_name": rule, "wildcards": wildcards, "log": [str(log)]}
    tell(handler, LogEvent.JOB_INFO, jobid=job, **given)


def train(handler, job: int, log: Path) -> None:
    begin(handler, job, "train", log, train="faces-gan", variant="plain", size="064", seed="1")


def left(handler) -> str:
    return handler._time_left(list(handler.running.values()))


def test_a_line_a_job_with_its_time_and_what_came_out(shown, tmp_path, capsys):
    log = tmp_path / "train.log"
    log.write_text(
        "Faces\nepoch 1 of 2: loss 0.700, 50.0 %\nFaces · 91.0 % judged rightly, in results/x\n"
    )
    tell(shown, LogEvent.RUN_INFO, stats={"train": 1, "report": 1, "total": 2})
    train(shown, 5, log)
    shown.clock[0] = 200
    tell(shown, LogEvent.JOB_FINISHED, job_id=5)
    begin(shown, 6, "report", tmp_path / "06_report.ipynb")
    tell(shown, LogEvent.JOB_FINISHED, job_id=6)
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2 · train faces-gan 64 px, seed 1 · 3 min · 91.0 % judged rightly",
        "2 of 2 · report · 0 s",
    ]


def test_the_time_left_is_that_of_the_like(shown, tmp_path):
    log = tmp_path / "train.log"
    tell(shown, LogEvent.RUN_INFO, stats={"all_packed": 1, "train": 3, "report": 1, "total": 5})
    train(shown, 1, log)
    assert left(shown) == ""  # nobody can know
    log.write_text("epoch 1 of 10: loss 0.700, 50.0 %\n")
    shown.clock[0] = 60
    assert left(shown) == ""  # no notebook has been seen
    begin(shown, 2, "audit")
    shown.clock[0] = 70
    tell(shown, LogEvent.JOB_FINISHED, job_id=2)
    # Ten times 70 s, less the 70 that are gone, twice 700 s more, and a report like the
    # audit, 10 s; two ran side by side.
    assert left(shown) == f", about {round((630 + 1400 + 10) / 2 / 60)} min"


def notebook(path: Path, name: str, value: str) -> Path:
    error = {"output_type": "error", "ename": name, "evalue": value, "traceback": []}
    path.write_text(json.dumps({"cells": [{"source": []}, {"outputs": [error]}]}))
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [("RunError", "it is so"), ("ValueError", "ValueError: it is so\nThe notebook: {path}")],
)
def test_a_notebooks_error_comes_last_and_once(shown, tmp_path, capsys, name, said):
    tell(shown, LogEvent.RUN_INFO, stats={"audit": 2, "total": 2})
    for job in (1, 2):
        path = notebook(tmp_path / "00_data.ipynb", name, "it is so")
        begin(shown, job, "audit", path, cell="faces-gan")
        tell(shown, LogEvent.ERROR, logging.ERROR, "RuleException: CalledProcessError")
        tell(shown, LogEvent.JOB_ERROR, logging.ERROR, "Error in rule audit", jobid=job)
    tell(shown, None, logging.ERROR, "WorkflowError: At least one job failed.")
    shown.close()
    shown.close()
    failed = "failed · audit faces-gan\n"  # the second was a further try
    assert capsys.readouterr().err == f"{failed}\n{said.format(path=path)}\n"


def test_a_traceback_is_cut_and_its_log_named(shown, tmp_path, capsys):
    log = tmp_path / "train.log"
    log.write_text("Traceback (most recent call last):\n" + "  File x\n" * 50 + "KeyError: 3\n")
    tell(shown, LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    train(shown, 1, log)
    tell(shown, LogEvent.JOB_ERROR, logging.ERROR, "Error in rule train", jobid=1)
    shown.close()
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == ["KeyError: 3", f"The log: {log}"] and len(said) == 7


def test_an_interrupt_is_no_error(shown, tmp_path, capsys):
    log = tmp_path / "train.log"
    log.write_text("Traceback (most recent call last):\n  File x\nKeyboardInterrupt\n")
    tell(shown, LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    train(shown, 1, log)
    tell(shown, LogEvent.JOB_ERROR, logging.ERROR, "Error in rule train", jobid=1)
    shown.close()
    assert capsys.readouterr().err.endswith("\nInterrupted. The same command goes on from here.\n")


def test_what_was_killed_and_tried_again_is_no_error(shown, tmp_path, capsys):
    tell(shown, LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    (tmp_path / "train.log").touch()
    train(shown, 1, tmp_path / "train.log")
    tell(shown, LogEvent.ERROR, logging.ERROR, "RuleException: exit status 137")
    tell(shown, LogEvent.JOB_ERROR, logging.ERROR, "Error in rule train", jobid=1)
    failed = "failed · train faces-gan 64 px, seed 1"
    assert capsys.readouterr().err.splitlines() == [failed]
    train(shown, 1, tmp_path / "train.log")
    tell(shown, LogEvent.JOB_FINISHED, job_id=1)
    shown.close()
    assert capsys.readouterr().err == "1 of 1 · train faces-gan 64 px, seed 1 · 0 s\n"


def test_what_was_killed_at_last_is_said(shown, tmp_path, capsys):
    tell(shown, LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    train(shown, 1, tmp_path / "train.log")
    tell(shown, LogEvent.JOB_ERROR, logging.ERROR, "Error in rule train", jobid=1)
    shown.close()
    assert "seed 1 was ended without a word" in capsys.readouterr().err


def test_what_snakemake_itself_finds_wrong_is_said(shown, capsys):
    tell(shown, None, logging.INFO, "Building DAG of jobs...")
    tell(shown, LogEvent.ERROR, logging.ERROR, "MissingInputException: no such file")
    shown.close()
    assert capsys.readouterr().err == "\nMissingInputException: no such file\n"


def test_it_says_nothing_where_nothing_is_done(shown, capsys):
    tell(shown, None, logging.INFO, "Nothing to be done")
    shown.close()
    assert capsys.readouterr().err == "" and NAME not in sys.modules
