"""Each form is the layer that it stands for, in both directions."""

import copy

import pytest
import torch
from torch import nn

from lib import forms


@pytest.mark.parametrize("side", [1, 2, 3, 4])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (forms.Matrix, {"kernel_size": 1}),
        (forms.Matrix, {"kernel_size": 1, "stride": 2}),
        (forms.Shifted, {"kernel_size": 3, "padding": 1, "groups": 6}),
        (forms.Centred, {"kernel_size": 3, "padding": 1}),
        (forms.Centred, {"kernel_size": 3, "padding": 1, "stride": 2}),
    ],
)
def test_each_form_is_the_convolution_in_both_directions(form, shape, bias, side):
    torch.manual_seed(side)
    out = 6 if "groups" in shape else 8
    plain = nn.Conv2d(6, out, bias=bias, dtype=torch.float64, **shape)
    other = copy.deepcopy(plain)
    other.__class__ = form
    x = torch.randn(5, 6, side, side + (side > 1), dtype=torch.float64)
    seen = []
    for conv in (plain, other):
        given = x.clone().requires_grad_()
        y = conv(given)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape))
        seen.append([y, given.grad, *(p.grad for p in conv.parameters())])
    for expected, found in zip(*seen, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


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
    packed.__class__ = forms.Packed
    packed.after = after
    packed.pack()
    x = torch.randn(5, 8, side, side).to(memory_format=torch.channels_last)
    expected = plain(x).relu() if after == "relu" else plain(x)
    torch.testing.assert_close(packed(x), expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_a_map_of_one_pixel_are_memory_that_was_written():
    """In bfloat16, with stride 2, torch's own are not, on CPUs that compute it natively."""
    torch.manual_seed(0)
    conv = nn.Conv2d(192, 96, 3, stride=2, padding=1, bias=False)
    conv.__class__ = forms.Centred
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
    )
    before = [type(module) for module in network]
    forms.rearrange(network)
    changed = [forms.Centred, forms.Normed, forms.Shifted, forms.Matrix, nn.Conv2d]
    assert [type(module) for module in network] == changed
    forms.restore(network)
    assert [type(module) for module in network] == before
