"""The forms in which layers are computed on a CPU: exact, and faster on maps of a few pixels.

Each is a class that one of torch's own layers may become, its parameters staying where they are.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

SIDE, CENTRE = 3, 4
"""Of the kernels that have forms here, px, and their middle tap, counted row by row."""
MATRIX = 10
"""px: in training, pointwise convolutions of maps up to this side are matrix products; on larger
ones torch's own are as fast or faster."""

onednn, gradients = torch.ops.mkldnn, torch.ops.aten.convolution_backward


def rearrange(network: nn.Module) -> None:
    """Lets a network's layers be computed by the forms for training."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = Normed
        elif type(module) is nn.MaxPool2d:
            shape = (module.kernel_size, module.padding, module.dilation, module.return_indices)
            module.__class__ = Pooled if shape == (SIDE, 1, 1, False) else nn.MaxPool2d
        elif type(module) is nn.Conv2d:
            module.__class__ = _form(module)


def restore(network: nn.Module) -> None:
    """Undoes `rearrange`."""
    for module in network.modules():
        if type(module) in (Matrix, Centred, Depthwise, Normed, Pooled):
            module.__class__ = type(module).__base__


def _form(conv: nn.Conv2d) -> type[nn.Conv2d]:
    if _is_pointwise(conv):
        return Matrix
    if _is_padded(conv) and conv.groups == 1:
        return Centred
    return Depthwise if _is_depthwise(conv) else nn.Conv2d


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return (conv.kernel_size, conv.padding, conv.groups) == ((1, 1), (0, 0), 1)


def _is_padded(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.padding, conv.dilation, conv.padding_mode)
    return shape == ((3, 3), (1, 1), (1, 1), "zeros")


def _is_depthwise(conv: nn.Conv2d) -> bool:
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
        y = functional.linear(x.flatten(1), self.weight.flatten(2)[..., CENTRE], self.bias)
        return y[:, :, None, None]


class Depthwise(nn.Conv2d):
    """A depthwise 3 × 3 convolution, padded by 1: on small maps with gradients of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W), fast if channels are last in memory."""
        if min(x.shape[2:]) >= SIDE:
            return super().forward(x)
        if max(x.shape[2:]) == 1:  # no other tap meets the map
            y = x * self.weight.flatten(1)[:, CENTRE].to(x.dtype)[:, None, None]
        else:
            y = SmallDepthwise.apply(x, self.weight)
        return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None]


class SmallDepthwise(torch.autograd.Function):
    """A depthwise 3 × 3 convolution, padded by 1, of maps below 3 px, and its gradients.

    For such maps oneDNN has but a general kernel for the weights' gradient, which in bfloat16 takes
    40 times as long as that for maps of 3 px (torch 2.13.0). Zeros around a map change no gradient.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        """x (N, C, H, W) and weight (C, 1, 3, 3) → (N, C, H, W)."""
        y = functional.conv2d(x, weight, padding=1, groups=len(weight))
        ctx.save_for_backward(x.to(y.dtype), weight.to(y.dtype))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of x and of the weight."""
        x, weight = ctx.saved_tensors
        how = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], len(weight))
        of_x = gradients(grad, x, weight, *how, [True, False, False])[0]
        zeros = [z for length in (x.shape[3], x.shape[2]) for z in (0, max(0, SIDE - length))]
        wide = [functional.pad(map_, zeros) for map_ in (grad, x)]
        return of_x, gradients(*wide, weight, *how, [False, True, False])[1]


class Pooled(nn.MaxPool2d):
    """A largest value of 3 × 3, padded by 1: of a map of one pixel that pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H/stride, W/stride)."""
        return x if max(x.shape[2:]) == 1 else super().forward(x)


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
        self.how = (self.padding, self.stride, self.dilation, self.groups)
        self.packed = onednn._reorder_convolution_weight(weight, *self.how)
        if _is_depthwise(self):
            self.centre = weight.flatten(1)[:, CENTRE].contiguous()  # (C,)

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
        return onednn._convolution_pointwise(x, self.packed, self.bias, *self.how, *after)


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
