"""The faster forms: held to the plain network, forward and backward, in both precisions."""

import copy
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.functional import cross_entropy

from lib.networks import classifier, cpu_layers, cpu_speed
from lib.study.quirks import Quirks
from lib.study.schema import Model

XCEPTION, SMALL = Model(name="legacy_xception"), Model(name="test_resnet")


def drawn(count: int, size: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


def used(model: Model, **kwargs) -> classifier.PatchNet:
    """A network whose batch norms have seen something, so that folding them is no identity."""
    network = classifier.PatchNet(model, seed=0, **kwargs).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (module.bias.data, module.running_mean):
                values.uniform_(-0.1, 0.1, generator=generator)
    return network.eval()


class Branched(nn.Module):
    """Two convolutions whose ReLUs may and may not be part of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = self.relus[0](x) + x  # used beside its ReLU
        return self.relus[1](self.second(x))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_a_relu_becomes_part_of_a_convolution_that_nothing_else_uses():
    network = torch.fx.symbolic_trace(Branched().eval().requires_grad_(False))
    x = torch.randn(2, 4, 6, 6)
    expected = network(x)
    cpu_speed._pack(network)
    assert network.first.after == "none" and network.second.after == "relu"
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("patch_size", [16, 32])
def test_the_gradients_of_a_training_step_are_the_plain_networks(patch_size):
    """In double precision, so that only the arithmetic's order is left to differ."""
    plain = used(XCEPTION).train().double()
    other = copy.deepcopy(plain)
    cpu_speed.for_training(other)
    x = classifier.network_input(drawn(6, patch_size), Quirks()).double()
    y = torch.tensor([0, 1] * 3)
    for network in (plain, other):
        cross_entropy(network.backbone(x), y).backward()
    classes = {type(module) for module in other.modules()}
    assert {cpu_layers.Matrix, cpu_layers.Depthwise, cpu_layers.Normed} <= classes
    pairs = list(zip(plain.named_parameters(), other.parameters(), strict=True))
    largest = max(expected.grad.abs().max() for (_, expected), _ in pairs)
    for (name, expected), found in pairs:  # a bias before a batch norm has none but rounding
        scale = max(expected.grad.abs().max(), 1e-6 * largest)
        assert (found.grad - expected.grad).abs().max() <= 1e-9 * scale, name


@pytest.mark.parametrize("patch_size", [16, 32])
def test_bfloat16_gradients_are_as_far_from_exact_as_the_plain_networks(patch_size):
    """Summed over all weights; single gradients may be nothing but rounding."""
    exact, plain = used(XCEPTION).train(), used(XCEPTION).train()
    other = used(XCEPTION).train()
    cpu_speed.for_training(other)
    x, y = drawn(16, patch_size), torch.tensor([0, 1] * 8)
    cross_entropy(exact.logits(x), y).backward()
    for network in (plain, other):
        cross_entropy(network.logits(x, torch.bfloat16), y).backward()
    far = [
        sum((p.grad - q.grad).square().sum() for p, q in parameters).sqrt()
        for parameters in (
            list(zip(network.parameters(), exact.parameters(), strict=True))
            for network in (plain, other)
        )
    ]
    assert far[1] < 1.2 * far[0]


@pytest.mark.parametrize("patch_size", [16, 32])
def test_all_gradients_have_channels_last(patch_size):
    """Else a batch norm's backward falls back to a form that takes several times as long."""
    network = used(XCEPTION).train()
    cpu_speed.for_training(network)
    seen = []

    def watch(module: nn.Module, x: tuple[torch.Tensor], y: torch.Tensor) -> None:
        y.register_hook(lambda grad: seen.append((grad.shape, grad.stride())))

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(watch)
    logits = network.logits(drawn(4, patch_size), torch.bfloat16)
    cross_entropy(logits, torch.tensor([0, 1] * 2)).backward()
    assert len(seen) == 40
    for (_, c, h, w), strides in seen:
        assert strides == (h * w * c, 1, w * c, c)


def test_a_training_network_keeps_timms_state():
    network = classifier.PatchNet(XCEPTION, seed=0)
    names = {name: value.shape for name, value in network.backbone.state_dict().items()}
    cpu_speed.for_training(network)
    found = {name: value.shape for name, value in network.backbone.state_dict().items()}
    timms = classifier.import_timm().create_model("legacy_xception", num_classes=2).state_dict()
    assert found == names == {name: value.shape for name, value in timms.items()}


@pytest.mark.parametrize("model", [XCEPTION, SMALL], ids=lambda model: model.name)
@pytest.mark.parametrize("patch_size", [16, 32, 64])
def test_margins_are_those_of_the_plain_network(model, patch_size):
    network = used(model)
    trained = copy.deepcopy(network)
    cpu_speed.for_training(trained)
    patches = drawn(24, patch_size)
    with torch.inference_mode():
        expected = network.margins(patches)
        for one in (network, trained):
            found = cpu_speed.Scorer(one, torch.float32).margins(patches)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.std())


@pytest.mark.parametrize("model", [XCEPTION, SMALL], ids=lambda model: model.name)
@pytest.mark.parametrize("patch_size", [16, 32, 64])
def test_bfloat16_margins_are_within_its_rounding_of_the_plain_networks(model, patch_size):
    """By batch norm's own statistics, as after training, so that margins differ between patches.

    Over several networks: of one the two errors are a draw each, and differ by up to a factor of 2.
    """
    far = torch.zeros(2)
    for seed in range(6):
        network, patches = classifier.PatchNet(model, seed=seed), drawn(32, patch_size, seed)
        network.to(memory_format=torch.channels_last).train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # the patches' own after one pass
        with torch.no_grad():
            network.margins(patches)
        network.eval()
        with torch.inference_mode():
            exact = network.margins(patches)
            plain = network.margins(patches, torch.bfloat16)
            found = cpu_speed.Scorer(network, torch.bfloat16).margins(patches)
        far += torch.stack([(z - exact).square().mean() for z in (found, plain)])
    assert far[0] < 1.5 * far[1]


def test_no_batch_norm_is_left_in_an_xceptions_scorer():
    scorer = cpu_speed.Scorer(classifier.PatchNet(XCEPTION, seed=0), torch.float32)
    assert not [m for m in scorer.features.modules() if isinstance(m, nn.BatchNorm2d)]


def easy(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches of 16 px and their labels: the fakes' noise is in part smooth."""
    generator, labels = np.random.default_rng(seed), np.arange(count) % 2
    noise = generator.uniform(0, 255, (count, 16, 16, 3))
    coarse = generator.uniform(0, 255, (count, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    share = (0.5 * labels + generator.uniform(-0.1, 0.1, count))[:, None, None, None]
    mixed = (1 - share) * noise + share * coarse
    return torch.from_numpy(mixed.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)


def test_bfloat16_margins_of_a_trained_network_judge_as_the_plain_ones():
    network = classifier.PatchNet(XCEPTION, seed=0).to(memory_format=torch.channels_last).train()
    cpu_speed.for_training(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
    for step in range(120):  # with fewer, more margins lie where bfloat16 alone turns verdicts
        x, y = easy(32, step)
        optimizer.zero_grad()
        cross_entropy(network.logits(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        for step in range(30):  # batch norm's statistics catch up with the weights
            network.logits(easy(32, 200 + step)[0])
    x, y = easy(1000, 1000)
    with torch.inference_mode():
        plain = network.eval().margins(x).numpy()
        found = cpu_speed.Scorer(network, torch.bfloat16).margins(x)
    assert found.dtype == torch.float32 and len(found.unique()) > 900
    spread, error = plain.std(), np.abs(found.numpy() - plain)
    assert roc_auc_score(y, plain) > 0.9  # it learnt something
    assert error.mean() < 2**-6 * spread and error.max() < 2**-3 * spread
    tie = np.median(plain)  # after so few steps all margins may be shifted alike
    assert ((found.numpy() > tie) == (plain > tie)).mean() >= 0.999
    assert roc_auc_score(y, found) == pytest.approx(roc_auc_score(y, plain), abs=1e-3)


def test_a_backbone_that_cannot_be_traced_is_scored_as_it_is():
    network = classifier.PatchNet(Model(name="test_vit"), seed=0).eval()
    patches = drawn(4, 160)
    with pytest.raises(torch.fx.proxy.TraceError):
        torch.fx.symbolic_trace(network.backbone)
    with torch.inference_mode():
        found = cpu_speed.Scorer(network, torch.float32).margins(patches)
        torch.testing.assert_close(found, network.margins(patches))


def test_a_scorer_is_a_copy():
    network = used(SMALL).train()
    scorer, patches = cpu_speed.Scorer(network, torch.float32), drawn(8, 32)
    before = scorer.margins(patches)
    assert network.training
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(scorer.margins(patches), before)


def test_quirks_are_scored_too():
    on = Quirks(dense_xception=True, bgr_raw_values=True)
    network, patches = used(XCEPTION, quirks=on), drawn(4, 16)
    with torch.inference_mode():
        found = cpu_speed.Scorer(network, torch.float32).margins(patches)
        expected = network.margins(patches)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told so")
def test_a_batch_uses_the_memory_of_the_last():
    """In a process of its own; one that gives its maps back asks for 40,000 pages at each batch."""
    code = """
from resource import RUSAGE_SELF, getrusage
import torch
from lib.networks import classifier, cpu_speed
from lib.study.schema import Model
scorer = cpu_speed.Scorer(classifier.PatchNet(Model(name="test_resnet"), seed=0), torch.float32)
patches = torch.zeros((2048, 32, 32, 3), dtype=torch.uint8)
for _ in range(4):
    before = getrusage(RUSAGE_SELF).ru_minflt
    scorer.margins(patches)
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4000
