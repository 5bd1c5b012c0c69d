"""Each form is the layer that it stands for, in both directions."""

import copy

import pytest
import torch
from torch import nn

from lib.networks import cpu_layers

MAPS = [(1, 1), (1, 2), (2, 2), (2, 3), (3, 4), (4, 5)]


def in_both_directions(layer: nn.Module, form: type, size: tuple[int, int]) -> None:
    """That a layer and the form of it give the same map and the same gradients."""
    other = copy.deepcopy(layer)
    other.__class__ = form
    x = torch.randn(5, 6, *size, dtype=torch.float64)
    seen = []
    for way in (layer, other):
        given = x.clone().requires_grad_()
        y = way(given)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape))
        seen.append([y, given.grad, *(p.grad for p in way.parameters())])
    for expected, found in zip(*seen, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", MAPS, ids=str)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (cpu_layers.Matrix, {"kernel_size": 1}),
        (cpu_layers.Matrix, {"kernel_size": 1, "stride": 2}),
        (cpu_layers.Depthwise, {"kernel_size": 3, "padding": 1, "groups": 6}),
        (cpu_layers.Centred, {"kernel_size": 3, "padding": 1}),
        (cpu_layers.Centred, {"kernel_size": 3, "padding": 1, "stride": 2}),
    ],
)
def test_each_form_is_the_convolution_in_both_directions(form, shape, bias, size):
    torch.manual_seed(size[0])
    out = 6 if "groups" in shape else 8
    in_both_directions(nn.Conv2d(6, out, bias=bias, dtype=torch.float64, **shape), form, size)


@pytest.mark.parametrize("size", MAPS, ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_pool_of_one_pixel_is_the_pool_in_both_directions(stride, size):
    in_both_directions(nn.MaxPool2d(3, stride, 1), cpu_layers.Pooled, size)


def test_a_depthwise_convolution_takes_maps_in_the_precision_of_autocast_or_not():
    conv = nn.Conv2d(6, 6, 3, padding=1, groups=6)
    conv.__class__ = cpu_layers.Depthwise
    x, found = torch.randn(5, 6, 2, 2), []
    for precision in (torch.float32, torch.bfloat16):
        given = x.detach().clone().to(precision).requires_grad_()
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = conv(given)
        y.float().square().sum().backward()
        assert y.dtype == torch.bfloat16 and given.grad.dtype == precision
        found.append(conv.weight.grad.clone())
    torch.testing.assert_close(*found, rtol=0.05, atol=0.05)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.parametrize("after", ["none", "relu"])
@pytest.mark.parametrize("side", [1, 2, 5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        {"kernel_size": 1},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 1, "groups": 2},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "groups": 8},
        {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 8},
    ],
)
def test_a_packed_convolution_is_the_convolution(shape, bias, side, after):
    torch.manual_seed(side)
    plain = nn.Conv2d(8, 8, bias=bias, **shape).requires_grad_(False)
    packed = copy.deepcopy(plain)
    packed.__class__ = cpu_layers.Packed
    packed.after = after
    packed.pack()
    x = torch.randn(5, 8, side, side).to(memory_format=torch.channels_last)
    expected = plain(x).relu() if after == "relu" else plain(x)
    torch.testing.assert_close(packed(x), expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_a_map_of_one_pixel_are_memory_that_was_written():
    """In bfloat16, with stride 2, torch's own are not, on CPUs that compute it natively."""
    torch.manual_seed(0)
    conv = nn.Conv2d(192, 96, 3, stride=2, padding=1, bias=False)
    conv.__class__ = cpu_layers.Centred
    x = torch.randn(32, 192, 1, 1).to(memory_format=torch.channels_last)
    found = []
    for value in (1e3, 1e6):
        junk = [torch.full((1000 * k,), value) for k in range(1, 40)]
        del junk
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = conv(x)
        y.float().square().sum().backward()
        found.append(conv.weight.grad.clone())
    assert torch.equal(*found)
    assert found[0][:, :, 1, 1].abs().max() > 0
    found[0][:, :, 1, 1] = 0
    assert not found[0].any()


def test_a_rearranged_network_is_restored():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 8, 1),
        nn.Conv2d(8, 8, 3),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(2),
    )
    before = [type(module) for module in network]
    cpu_layers.rearrange(network)
    changed = [
        cpu_layers.Centred,
        cpu_layers.Normed,
        cpu_layers.Depthwise,
        cpu_layers.Matrix,
        nn.Conv2d,
    ]
    changed += [cpu_layers.Pooled, nn.MaxPool2d]
    assert [type(module) for module in network] == changed
    cpu_layers.restore(network)
    assert [type(module) for module in network] == before
