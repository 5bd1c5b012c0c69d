"""The benchmark: that it measures what it says, and what its files hold. No time is judged."""

import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks import demo_is_instructive, four_tables, limits, measuring, networks, plain, revote
from benchmarks.measuring import Row
from lib.networks.classifier import PatchNet
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import score
from lib.patches import grid_origins
from lib.study import paths, reading
from lib.study.schema import Model
from lib.voting import rules

CPU = torch.device("cpu")


def test_an_xception_does_what_study_md_counts():
    """The published counts for a 256-px image, in GFLOP, additions counted too."""
    counted = [round(networks.operations(size) / 1e9, 1) for size in bench.PATCH_SIZES]
    assert counted == [11.9, 11.8, 11.6, 11.3, 12.8]


def test_the_roofline_of_one_convolution_by_hand(monkeypatch):
    class One(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 1, stride=2)

        def margins(self, patches):
            return self.conv(patches.permute(0, 3, 1, 2).float())

    monkeypatch.setattr(networks, "network", One)
    monkeypatch.setattr(networks, "layers", networks.layers.__wrapped__)
    operations, values = 16 * 2 * 12 * 32**2, 16 * (3 * 64**2 + 4 * 32**2 + 12 / plain.BATCH)
    assert networks.layers(64) == [(operations, values)]
    assert networks.roofline(64, operations / 3, 1e12, 2) == pytest.approx(1 / 3)
    assert networks.roofline(64, 1e12, 2 * values / 5, 2) == pytest.approx(1 / 5)


def test_the_layers_do_what_the_network_does():
    for size in bench.PATCH_SIZES:
        assert sum(o for o, _ in networks.layers(size)) == networks.operations(size)


def test_the_plain_way_gives_the_same_margins():
    pictures, net = plain.random_pictures(2), plain.network().eval()
    plainly = plain.margins(net.backbone, pictures, 64, CPU)
    scorer = Scorer(net.to(memory_format=torch.channels_last), torch.float32)
    ours = score(scorer, torch.from_numpy(pictures.images), grid_origins(256, 64), 64)
    np.testing.assert_allclose(ours, plainly, rtol=1e-3, atol=1e-5)


def test_the_plain_way_works_in_one_other_process():
    with plain.apart() as elsewhere:
        first, second = elsewhere(os.getpid)(), elsewhere(os.getpid)()
        with pytest.raises(ValueError, match="lonely"):
            elsewhere(int, "lonely")()
    assert first == second != os.getpid()


def test_both_ways_to_the_tables_give_the_same_accuracies(monkeypatch):
    accuracies = []
    pictures = torch.from_numpy(plain.random_pictures(6).images)
    with torch.inference_mode():
        middle = plain.network().eval().margins(pictures[:, :128, :128].contiguous()).median()

    def undecided() -> PatchNet:
        """A network that judges about half of the patches fake."""
        net = PatchNet(Model(), seed=0)
        net.backbone.fc.bias.data[1] -= middle
        return net

    monkeypatch.setattr(four_tables, "network", undecided)
    monkeypatch.setattr(four_tables, "backbone", lambda device: undecided().backbone)

    def once(repeats, device, *ways):
        accuracies.extend(way() for way in ways)
        return [(1.0, 3.0)]

    monkeypatch.setattr(four_tables, "in_turn", once)
    row = four_tables.tables(128, 6, 1, CPU, torch.float32, functools.partial)
    assert (row.value, row.ratio) == (1, 3) and len(accuracies[0]) == len(accuracies[1]) == 8
    assert accuracies[0] == pytest.approx(accuracies[1]) and len(set(accuracies[0])) > 2


def test_a_row_compares_ways_taken_in_turn(monkeypatch):
    class Steady:
        device = CPU

        def rate(self) -> float:
            return 100.0

    def taken(repeats, device, limit, *ways, warm):
        assert warm
        for _ in range(2 * repeats):
            limit()
        spent = [(0, 2, 6, 3), (0, 1, 4, 1), (0, 4, 8, 5)]
        return [line[: 1 + len(ways)] for line in spent]

    monkeypatch.setattr(networks, "in_turn", taken)
    row = Row("scoring", 64, 0, "images/s")
    networks._compared(row, print, print, 8, 120, 3, Steady())
    assert (row.value, row.baseline, row.ratio) == (4, 8 / 6, 3)
    assert row.ceiling_share == 120 / 2 / 100 and row.over_eager is None
    networks._compared(row, print, print, 8, 120, 3, Steady(), eager=print)
    assert row.over_eager == 1.25


def test_a_warm_way_is_done_once_before_it_is_timed():
    done = []
    ways = [lambda name=name: done.append(name) for name in "ab"]
    spent = measuring.in_turn(2, CPU, *ways, warm=True)
    assert "".join(done) == "aabbaabb" and [len(line) for line in spent] == [2, 2]
    measuring.in_turn(1, CPU, *ways)
    assert "".join(done[8:]) == "ab"


def test_the_json_file_is_a_list_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    folder = tmp_path / "reports" / "benchmarks"
    folder.mkdir(parents=True)
    full = folder / f"{bench.machine(CPU)[0]}.json"
    full.write_text("the full table's")
    rows = [limits.bandwidth(CPU, 1)]
    rates = {"value": 4.0, "baseline": 2.0, "ratio": 2.0, "ceiling_share": 0.5, "memory": 1.5}
    for name in ("scoring", "training"):
        rows += [Row(name, size, unit="images/s", **rates) for size in bench.PATCH_SIZES]
    monkeypatch.setattr(bench, "measured", lambda device, quick: iter(rows))
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick", "--device", "cpu"])
    monkeypatch.setattr(bench.reading, "load", lambda name: STUDY)
    bench.main()
    assert full.read_text() == "the full table's"  # a quick one stands beside it
    file = full.with_name(f"{full.stem}-quick.json")
    assert {file.name, full.name} == {path.name for path in folder.glob("*.json")}
    kept = json.loads(file.read_text())
    keys = ["name", "patch_size", "value", "unit", "baseline", "ratio", "ceiling_share"]
    assert [list(row) for row in kept] == [keys] * 11
    assert kept[0]["name"] == "bandwidth" and kept[0]["value"] > 0 and kept[0]["ratio"] is None
    text = file.with_suffix(".md").read_text()
    assert "scoring" in text and "1.5" in text and "projected, not run" in text
    monkeypatch.setattr("sys.argv", ["benchmarks", "--device", "cpu"])
    bench.main()
    assert json.loads(full.read_text()) == kept


STUDY = reading.load("paper")


def test_the_protocols_hours_by_hand():
    rows = [Row(name, 256, 100.0, "images/s", 50.0) for name in ("training", "scoring")]
    study = STUDY.model_copy(update={"patch_sizes": [256]})
    counts = study.data.per_class
    cells = len(study.cells) - len(study.altered())
    images = 50 * (2 * counts.train + 2 * (cells * counts.test + counts.validation))
    table = bench.protocol(study, rows)
    assert table.loc[256].tolist() == pytest.approx([images / 100 / 3600, images / 50 / 3600])


def test_the_highest_memory_is_of_what_was_done_meanwhile():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the system does not let the mark be reset")
    with measuring.highest_memory(CPU) as highest:
        before = highest()
        block = np.ones(2**28, np.uint8)
        assert highest() - before > 0.2
        del block


def test_voting_anew_votes_by_every_rule_and_switch():
    before = os.environ.get("PATCHWISE_WORK")
    spent, memory = revote.measured(epochs=2, images=8, patches=16, resamples=5)
    assert os.environ.get("PATCHWISE_WORK") == before and memory > 0
    numbers = {part: count for part, (_, count) in spent.items()}
    confident = len(reading.load("paper").voting.thetas) * len(rules.READINGS)
    each = (numbers["patches, and votes of the grid"]) // (1 + len(rules.voting_on("grid")))
    shares = 2 * confident  # of patches that vote, and of images that have none
    voted = {part.partition(": ")[2]: count for part, count in numbers.items() if ": " in part}
    assert voted == {
        "plain": (confident + 1) * each + shares,
        "fallback_counts_fake": confident * each + shares,
        "last_patch_only": confident * (each + 1) + shares,  # and of images that are counted
        "even_crops_ties_wrong": each,
    }


def test_what_the_vote_adds_to_the_patches_by_hand(make_run, finish, monkeypatch):
    run = make_run(patch_size=8)
    monkeypatch.setattr(reading, "run", lambda *name: run)
    three_of_four = np.array([1, 1, 1, -1])
    z = np.zeros((2, 4, 4))
    z[1] = np.array([-1, -1, 1, 1])[:, None] * three_of_four
    finish(run, z, [0, 0, 1, 1], validation=[0.5, 0.9])
    rows = {row["measure"]: row["value"] for row in demo_is_instructive.votes(run.study)}
    assert rows == {"per-patch accuracy": 0.75, "vote minus per-patch": 0.25}
