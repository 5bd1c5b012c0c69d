"""One optimisation step: the patches it is told, the loss it tells, the weights it leaves."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lib import models, patches
from lib.settings import Model
from lib.stepping import Stepper

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1, 1])


def stepper(precision: torch.dtype = torch.float32) -> Stepper:
    network = models.PatchNet(Model(name="test_resnet"), seed=0)
    network.to(memory_format=torch.channels_last).train()
    images, labels = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)
    return Stepper(network, images, labels, 16, precision)


def test_a_step_is_adams_on_the_patches_of_the_batch():
    steps, batch = stepper(), np.array([0, 7, 13, 18])
    assert steps.patches == 20
    network = models.PatchNet(Model(name="test_resnet"), seed=0).train()
    optimizer = torch.optim.Adam(network.parameters())
    grids = [patches.cut(IMAGES, np.full(4, n), patches.grid_origins(32, 16), 16) for n in range(5)]
    x = torch.from_numpy(np.concatenate(grids)[batch])
    y = torch.from_numpy(LABELS[batch // 4])
    for rate in (1e-4, 1e-2):
        optimizer.param_groups[0]["lr"] = rate
        loss = cross_entropy(network.logits(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found = steps.step(batch, rate)
        torch.testing.assert_close(found, loss.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        steps.network.backbone.fc.weight, network.backbone.fc.weight, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loss_falls(precision):
    steps, batch = stepper(precision), np.arange(20)
    losses = [steps.step(batch, 1e-3) for _ in range(15)]
    assert losses[0].dtype == torch.float32 and losses[0].ndim == 0
    assert losses[-1] < losses[0] / 2
