"""The same network, computed faster: exact rearrangements of what a backbone computes.

On a CPU, convolutions over maps of a few pixels, as small patches have them, cost many times what
their arithmetic does, in backward most of all. Here a pointwise (1 × 1) convolution of small maps
is a matrix product, and a depthwise 3 × 3 one a sum of shifted products. For scoring, batch norm is
folded into the convolutions. Parameters and their names stay timm's. Memory is asked of the
system once, not for every map.
"""

import copy
import ctypes
import platform
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.fx.experimental.optimization import fuse
from torch.nn import functional

from lib.models import FAKE, REAL, PatchNet, decide

SMALL = {"training": 3, "scoring": 1}
"""px: depthwise convolutions on maps up to this side are sums of shifted products. Forward alone,
torch's own are slower only where there is nothing but the centre."""
MATRIX = {"training": 10, "scoring": 2}
"""px: pointwise convolutions of maps up to this side are matrix products; on large maps torch's own
are no slower, and in training faster."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""glibc's numbers of two settings: unused memory kept, and how many blocks may come from mmap."""


class Scorer:
    """A network as it is now, for scoring alone."""

    def __init__(self, network: PatchNet, precision: torch.dtype) -> None:
        """Copies the network, which may then go on training.

        Args:
            network: on any device.
            precision: float32, or bfloat16 for all but the last layer.
        """
        self.quirks, self.precision = network.quirks, precision
        self.device = next(network.parameters()).device
        backbone = copy.deepcopy(network.backbone).eval().requires_grad_(False)
        _rearrange(backbone)  # torch knows what to fold into its own convolutions alone
        self.classifier = copy.deepcopy(backbone.get_classifier())
        self.features = _folded(_Features(backbone)).to(memory_format=torch.channels_last)
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(precision)  # else autocast would convert the weights for every batch
        if self.device.type == "cpu":
            keep_freed_memory()
            _rearrange(self.features, MatrixInScoring, ShiftedInScoring)

    def margins(self, patches: Tensor) -> Tensor:
        """The margins of patches, as `PatchNet.margins` has them up to rounding.

        Args:
            patches: uint8 (B, p, p, 3), RGB, on the network's device.

        Returns:
            float32 (B,).
        """
        logits = decide(self.features, self.classifier, patches, self.quirks, self.precision)
        return logits[:, FAKE] - logits[:, REAL]


def for_training(network: PatchNet) -> Callable[[Tensor, torch.dtype], Tensor]:
    """What gives training its logits, as `PatchNet.logits` does, with faster steps.

    On a CPU the network's convolutions are rearranged. On a GPU the network is compiled, which
    takes a minute or two at the first step and at the last, smaller batch; where it cannot be, for
    want of a C compiler, say, it stays as it is.
    """
    if next(network.parameters()).device.type == "cpu":
        keep_freed_memory()
        _rearrange(network.backbone, Matrix, Shifted)
        return network.logits
    torch._dynamo.config.suppress_errors = True
    return torch.compile(network.logits, dynamic=False)


def keep_freed_memory() -> None:
    """Keeps what this process frees for what it needs next, where the C library is glibc.

    glibc gives every large block back to the system, and the next map's memory comes from it anew,
    page by page, which took up to a tenth of scoring's time. See mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


class _Features(nn.Module):
    """All of a backbone but its last layer."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)


def _folded(features: nn.Module) -> nn.Module:
    """The same with batch norms folded into the convolutions before them, where torch can tell."""
    try:
        return fuse(features, inplace=True)
    except Exception:  # tracing runs the backbone's own code on symbols, which may fail in any way
        return features


class Matrix(nn.Conv2d):
    """A pointwise convolution: of small maps as a matrix product."""

    small = MATRIX["training"]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, D, H/stride, W/stride), fast if channels are last in memory."""
        if max(x.shape[2:]) > self.small:
            return super().forward(x)
        down, across = self.stride
        last = x[:, :, ::down, ::across].permute(0, 2, 3, 1)
        return functional.linear(last, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class MatrixInScoring(Matrix):
    """The same for scoring, where fewer maps are better so."""

    small = MATRIX["scoring"]


class Shifted(nn.Conv2d):
    """A depthwise 3 × 3 convolution, padded by 1: on small maps a sum of shifted products."""

    small = SMALL["training"]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W), fast if channels are last in memory."""
        if max(x.shape[2:]) > self.small:
            return super().forward(x)
        taps = self.weight.flatten(1).t().to(x.dtype)  # (9, C)
        if max(x.shape[2:]) == 1:
            y = x * taps[CENTRE, :, None, None]
        else:
            y = ShiftedProducts.apply(x.permute(0, 2, 3, 1), taps).permute(0, 3, 1, 2)
        return y if self.bias is None else y + self.bias.to(x.dtype)[:, None, None]


class ShiftedInScoring(Shifted):
    """The same for scoring, where fewer maps are better so."""

    small = SMALL["scoring"]


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


def _rearrange(
    network: nn.Module, matrix: type[nn.Conv2d] = nn.Conv2d, shifted: type[nn.Conv2d] = nn.Conv2d
) -> None:
    """Lets pointwise and depthwise 3 × 3 convolutions be computed by the given classes."""
    for module in network.modules():
        if type(module) not in (nn.Conv2d, Matrix, Shifted) or module.padding_mode != "zeros":
            continue
        depthwise = module.groups == module.in_channels == module.out_channels
        shape = module.kernel_size, module.padding
        if shape == ((1, 1), (0, 0)) and module.groups == 1:
            module.__class__ = matrix
        elif depthwise and shape == ((3, 3), (1, 1)) and module.stride == module.dilation == (1, 1):
            module.__class__ = shifted
