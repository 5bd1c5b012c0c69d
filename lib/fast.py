"""The same network, computed faster: exact rearrangements of what a backbone computes.

On a CPU, convolutions over maps of a few pixels, as small patches have them, cost many times what
their arithmetic does, in backward most of all: for training, layers take the forms of `lib.forms`.
For scoring, batch norm is folded into the convolutions, a ReLU after one is part of it, and weights
lie as oneDNN wants them from the start, not anew for every batch. Parameters and their names stay
timm's. Memory is asked of the system once, not for every map.
"""

import copy
import ctypes
import platform
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse

from lib.forms import Packed, rearrange, restore
from lib.models import FAKE, REAL, PatchNet, decide

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
        restore(backbone)  # torch knows what to fold into its own convolutions alone
        self.classifier = copy.deepcopy(backbone.get_classifier())
        self.features = _folded(_Features(backbone)).to(memory_format=torch.channels_last)
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(precision)  # else autocast would convert the weights for every batch
        if self.device.type == "cpu":
            keep_freed_memory()
            if torch.backends.mkldnn.is_available():
                _pack(self.features)

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

    On a CPU its layers are rearranged. On a GPU the network is compiled, which takes a minute or
    two at the first step and at the last, smaller batch; where it cannot be, for want of a C
    compiler, say, it stays as it is.
    """
    if next(network.parameters()).device.type == "cpu":
        keep_freed_memory()
        rearrange(network.backbone)
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


def _pack(features: nn.Module) -> None:
    """Packs a folded backbone's convolutions, each with the ReLU that alone follows it."""
    for module in features.modules():
        named = isinstance(getattr(module, "padding", None), str)  # same or valid
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not named:
            module.__class__ = Packed
            module.pack()
    if isinstance(features, GraphModule):
        _join_relus(features)


def _join_relus(features: GraphModule) -> None:
    """Makes a ReLU part of the packed convolution before it, if nothing else uses that one."""
    modules = dict(features.named_modules())
    calls = [node for node in features.graph.nodes if node.op == "call_module"]
    times = Counter(node.target for node in calls)
    for node in [call for call in calls if type(modules[call.target]) is nn.ReLU]:
        before = node.args[0]
        if before not in calls or type(modules[before.target]) is not Packed:
            continue
        if times[before.target] == len(before.users) == 1:
            modules[before.target].after = "relu"
            node.replace_all_uses_with(before)
            features.graph.erase_node(node)
    features.recompile()
