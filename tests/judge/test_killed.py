"""A call that is killed while it judges: the next one goes on, and ends as one call would have."""

import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

from lib.__main__ import main
from lib.judge.judging import BATCH
from lib.study import paths


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A batch of pictures and some more, each a smooth picture of its own."""
    folder, rng = tmp_path_factory.mktemp("album"), np.random.default_rng(0)
    for number in range(BATCH + 8):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        small.resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    return folder


def arguments(album, out) -> list[str]:
    return ["judge", str(album), "--out", str(out)]


def results(out) -> tuple[pd.DataFrame, np.ndarray]:
    return pd.read_csv(out / "judged.csv"), load_file(out / "margins.safetensors")["margins"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_call_goes_on(album, tmp_path, capsys):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert main(arguments(album, whole)) == 0
    first, command = out / "parts" / "001-000000.parquet", [sys.executable, "-m", "lib"]
    killed = subprocess.Popen(
        [*command, *arguments(album, out)], cwd=paths.ROOT, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while not first.exists() and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL and not (out / "judged.csv").exists()
    kept = first.stat()

    capsys.readouterr()
    assert main(arguments(album, out)) == 0
    assert capsys.readouterr().out.count(".png: ") == 8
    assert first.stat().st_mtime_ns == kept.st_mtime_ns
    (table, margins), (expected, at_once) = results(out), results(whole)
    pd.testing.assert_frame_equal(table, expected)
    np.testing.assert_array_equal(margins, at_once)
