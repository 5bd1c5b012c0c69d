"""The forms in which layers are computed on a CPU: exact, and faster on maps of a few pixels.

Each is a class that one of torch's own layers may become, its parameters staying where they are.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

SMALL = 3
"""px: in training, depthwise convolutions on maps up to this side are sums of shifted products."""
MATRIX = 10
"""px: in training, pointwise convolutions of maps up to this side are matrix products; on larger
ones torch's own are as fast or faster."""

onednn = torch.ops.mkldnn


def rearrange(network: nn.Module) -> None:
    """Lets a network's convolutions and batch norms be computed by the forms for training."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = Normed
        elif type(module) is nn.Conv2d:
            module.__class__ = _form(module)


def restore(network: nn.Module) -> None:
    """Undoes `rearrange`."""
    for module in network.modules():
        if type(module) in (Matrix, Centred, Shifted, Normed):
            module.__class__ = type(module).__base__


def _form(conv: nn.Conv2d) -> type[nn.Conv2d]:
    if _is_pointwise(conv):
        return Matrix
    if _is_padded(conv) and conv.groups == 1:
        return Centred
    return Shifted if _is_depthwise(conv) else nn.Conv2d


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return (conv.kernel_size, conv.padding, conv.groups) == ((1, 1), (0, 0), 1)


def _is_padded(conv: nn.Conv2d) -> bool:
    """Whether it is 3 × 3 and padded by 1 with zeros."""
    shape = (conv.kernel_size, conv.padding, conv.dilation, conv.padding_mode)
    return shape == ((3, 3), (1, 1), (1, 1), "zeros")


def _is_depthwise(conv: nn.Conv2d) -> bool:
    """Whether it is 3 × 3, padded by 1, without stride, and of each channel alone."""
    alone = conv.groups == conv.in_channels == conv.out_channels
    return alone and _is_padded(conv) and conv.stride == (1, 1)


class Matrix(nn.Conv2d):
    """A pointwise convolution: of small maps as a matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, D, H/stride, W/stride), fast if channels are last in memory."""
        if max(x.shape[2:]) > MATRIX:
            return super().forward(x)
        last = _channels_last(x, self.stride)
        return functional.linear(last, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class Centred(nn.Conv2d):
    """A dense 3 × 3 convolution, padded by 1: of maps of one pixel its centre tap alone.

    Not only faster: oneDNN's gradient of such weights in bfloat16, with stride 2, is in part memory
    that was never written (torch 2.13.0).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, D, H/stride, W/stride)."""
        if max(x.shape[2:]) > 1:
            return super().forward(x)
        y = functional.linear(x.flatten(1), self.weight[:, :, 1, 1], self.bias)
        return y[:, :, None, None]


class Shifted(nn.Conv2d):
    """A depthwise 3 × 3 convolution, padded by 1: on small maps a sum of shifted products."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W), fast if channels are last in memory."""
        if max(x.shape[2:]) > SMALL:
            return super().forward(x)
        if max(x.shape[2:]) == 1:  # no other tap meets the map
            y = x * self.weight[:, 0, 1, 1].to(x.dtype)[:, None, None]
        else:
            taps = self.weight.flatten(1).t().to(x.dtype).contiguous()  # (9, C)
            y = ShiftedProducts.apply(x.permute(0, 2, 3, 1), taps).permute(0, 3, 1, 2)
        return y if self.bias is None else y + self.bias.to(x.dtype)[:, None, None]


CENTRE = 4
"""Of the taps of a 3 × 3 kernel, row by row."""


class ShiftedProducts(torch.autograd.Function):
    """A depthwise 3 × 3 convolution of maps with channels last, padded by 1, and its gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, taps: Tensor) -> Tensor:
        """x (N, H, W, C) and taps (9, C) → (N, H, W, C)."""
        ctx.save_for_backward(x, taps)
        y = x * taps[CENTRE]
        for tap, to, of in _shifts(*x.shape[1:3]):
            y[to].addcmul_(x[of], taps[tap])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of x and of the taps."""
        x, taps = ctx.saved_tensors
        of_x, of_taps = grad * taps[CENTRE], torch.zeros_like(taps)
        of_taps[CENTRE] = (grad * x).sum((0, 1, 2))
        for tap, to, of in _shifts(*x.shape[1:3]):
            of_x[of].addcmul_(grad[to], taps[tap])
            of_taps[tap] = (grad[to] * x[of]).sum((0, 1, 2))
        return of_x, of_taps


def _shifts(height: int, width: int) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
    """The taps beside the centre that meet a map: which, where to they add, and from where."""
    for tap in range(9):
        down, across = tap // 3 - 1, tap % 3 - 1
        if tap != CENTRE and abs(down) < height and abs(across) < width:
            yield (
                tap,
                (slice(None), _inside(-down, height), _inside(-across, width)),
                (slice(None), _inside(down, height), _inside(across, width)),
            )


def _inside(shift: int, length: int) -> slice:
    """The part of `length` pixels that stays inside after being moved back by `shift`."""
    return slice(max(0, shift), length + min(0, shift))


class Normed(nn.BatchNorm2d):
    """A batch norm whose gradients have channels last in memory, as its maps have.

    Without it, a gradient that comes from a map of one pixel, whose layout torch cannot tell, is
    taken for the other layout, for which torch's backward is seven times as slow.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        y = super().forward(x)
        if y.requires_grad:
            y.register_hook(_as_last)
        return y


class Packed(nn.Conv2d):
    """A convolution for scoring on a CPU, by oneDNN, its weights laid out beforehand.

    The operators are those that torch.compile makes of frozen convolutions; no compiler is needed.
    """

    after = "none"
    """What follows and is done with it: none or relu."""

    def pack(self) -> None:
        """Lays out the weights; later changes of them have no effect."""
        weight = self.weight.detach()
        if _is_pointwise(self):
            self.packed = onednn._reorder_linear_weight(weight.flatten(1))
            return
        how = (self.padding, self.stride, self.dilation, self.groups)
        self.packed = onednn._reorder_convolution_weight(weight, *how)
        if _is_depthwise(self):
            self.centre = weight[:, 0, 1, 1].contiguous()  # (C,)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, D, H', W'), fast if channels are last in memory."""
        x = x.to(self.weight.dtype)
        after = (self.after, [], "")
        if _is_pointwise(self):
            last = _channels_last(x, self.stride)
            y = onednn._linear_pointwise(last, self.packed, self.bias, *after)
            return y.permute(0, 3, 1, 2)
        if _is_depthwise(self) and max(x.shape[2:]) == 1:  # no other tap meets the map
            y = x * self.centre[:, None, None]
            y = y if self.bias is None else y + self.bias[:, None, None]
            return y.relu() if self.after == "relu" else y
        how = (self.padding, self.stride, self.dilation, self.groups)
        return onednn._convolution_pointwise(x, self.packed, self.bias, *how, *after)


def _channels_last(x: Tensor, stride: tuple[int, ...]) -> Tensor:
    """(N, C, H, W) → (N, H/stride, W/stride, C) as one block of memory.

    Of a view with gaps, torch makes a batch of products with a copy of the weights for each image.
    """
    down, across = stride
    return x.permute(0, 2, 3, 1)[:, ::down, ::across].contiguous()  # so its gradient is, too


def _as_last(x: Tensor) -> Tensor:
    """(N, C, H, W) with channels last in memory, told by the strides also if H = W = 1."""
    _, c, h, w = x.shape
    strides = (h * w * c, 1, w * c, c)
    return x if x.stride() == strides else x.new_empty_strided(x.shape, strides).copy_(x)
