"""A network's folder: what is missing, altered or no network is refused in a sentence."""

import hashlib
import json

import numpy as np
import pytest
from judge_helpers import card
from safetensors.numpy import save_file

from lib.judge import card as cards
from lib.judge import runs
from lib.judge.errors import NetworkError


@pytest.fixture
def folder(tmp_path):
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / cards.WEIGHTS)
    weights = hashlib.sha256((tmp_path / cards.WEIGHTS).read_bytes()).hexdigest()
    (tmp_path / cards.CARD).write_text(card(weights=weights).model_dump_json(indent=1), "utf-8")
    return tmp_path


def altered(folder, change) -> None:
    content = json.loads((folder / cards.CARD).read_text("utf-8"))
    change(content)
    (folder / cards.CARD).write_text(json.dumps(content), "utf-8")


def test_a_card_is_read_as_it_was_written(folder):
    read = cards.read(folder)
    assert read == card(weights=read.weights) and read.thresholds == card().thresholds


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / cards.CARD).unlink(), "network.json: cannot be read: No such file"),
        (lambda f: (f / cards.CARD).write_text("{"), "network.json: no network's file: it: "),
        (lambda f: (f / cards.CARD).write_bytes(b"\xff\xfe"), "no network's file: it: not UTF-8"),
        (lambda f: altered(f, lambda c: c.pop("scores")), "no network's file: scores: Field req"),
        (lambda f: altered(f, lambda c: c.update(alpha=0.2)), "network.json: was altered since"),
        (lambda f: (f / cards.WEIGHTS).unlink(), "network.safetensors: the weights are missing"),
        (lambda f: (f / cards.WEIGHTS).write_bytes(b"x"), "are other weights than network.json"),
    ],
)
def test_what_is_no_network_any_more_is_refused(folder, harm, message):
    harm(folder)
    with pytest.raises(NetworkError, match=message):
        runs.load(folder)


def test_weights_of_another_backbone_are_refused(folder):
    network = runs.load(folder)
    with pytest.raises(NetworkError, match="no weights of test_resnet"):
        network.margins(np.zeros((1, 64, 64, 3), np.uint8))


def test_a_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(NetworkError, match="holds no network: neither network.json"):
        runs.load(tmp_path)


def test_the_networks_that_come_along_judge():
    network = runs.load(runs.DEFAULT)
    z = network.margins(np.zeros((2, 256, 256, 3), np.uint8))
    assert z.shape == (2, 16) and np.isfinite(z).all()
    matched = network.card.measured[0]
    assert matched.cell == network.card.train and matched.kept_real and matched.flips
    assert sum(count for *_, count in network.card.reliability) == sum(
        counts.images for counts in (matched.real, matched.fake)
    )
