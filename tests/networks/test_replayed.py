"""Replayed steps against the same steps as written; needs a CUDA GPU."""

import numpy as np
import pytest
import torch

from lib.networks.batches import Batch, Batches
from lib.networks.classifier import PatchNet
from lib.networks.stepper import Stepper
from lib.study.schema import Model, Training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def losses(*, replayed):
    """Of twelve steps, of which the sixth has a smaller batch and the last two learn nothing."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8))
    net = PatchNet(Model(name="test_resnet"), seed=0).to("cuda").train()
    stepper = Stepper(net, images.to("cuda"), torch.arange(8) % 2, 16, torch.bfloat16)
    if not replayed:
        stepper.update = stepper._update
    made = Batches(Training(batch_size=32, flips=True), 0, 64, 16)
    made.keep(np.arange(8), np.arange(8) % 2)
    batches = [batch for epoch in range(3) for batch, _ in made.of(epoch)]
    batches[5] = Batch(*(part[:7] for part in batches[5]))
    rates = [1e-3] * 10 + [0.0] * 2
    found = [stepper.step(*given).item() for given in zip(batches, rates, strict=True)]
    before = [parameter.clone() for parameter in net.parameters()]
    stepper.step(batches[0], 0.0)
    assert all(torch.equal(*pair) for pair in zip(before, net.parameters(), strict=True))
    assert (getattr(stepper.update, "graph", None) is not None) == replayed
    return found


def test_replayed_steps_are_the_steps_as_written():
    assert losses(replayed=True) == losses(replayed=False)
