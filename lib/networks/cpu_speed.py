"""The same network, computed faster: exact rearrangements of what a backbone computes.

On a CPU, convolutions over maps of a few pixels, as small patches have them, cost many times what
their arithmetic does, in backward most of all: for training, layers take the forms of `cpu_layers`.
For scoring, batch norm is folded into the convolutions, a ReLU after one is part of it, and weights
lie as oneDNN wants them from the start, not anew for every batch. Parameters and their names stay
timm's. Memory is asked of the system once, not for every map.
"""

import copy
import ctypes
import platform
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse

from lib.networks.classifier import FAKE, REAL, PatchNet, decide, network_input
from lib.networks.cpu_layers import Packed, rearrange, restore
from lib.networks.own_network import OwnNetwork

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""glibc's numbers of two settings: unused memory kept, and how many blocks may come from mmap."""


class Scorer:
    """A network as it is now, for scoring alone."""

    def __init__(self, network: PatchNet, precision: torch.dtype) -> None:
        """Copies the network, which may then go on training; its last layer is in float32."""
        self.quirks, self.precision = network.quirks, precision
        self.device = next(network.parameters()).device
        self.features = copy.deepcopy(network).eval().requires_grad_(False)
        restore(self.features)  # torch knows what to fold into its own convolutions alone
        self.classifier = copy.deepcopy(self.features.backbone.get_classifier())
        if self.device.type == "cpu":
            keep_freed_memory()
        if not isinstance(network.backbone, OwnNetwork):
            self.features = _faster(self.features, precision)

    def margins(self, patches: Tensor) -> Tensor:
        """As `PatchNet.margins` up to rounding; the patches lie on the network's device."""
        x = network_input(patches, self.quirks)
        logits = decide(self.features, self.classifier, x, self.precision)
        return logits[:, FAKE] - logits[:, REAL]


def for_training(network: PatchNet) -> Callable[[Tensor, torch.dtype], Tensor]:
    """What gives training its logits, as `PatchNet.logits` does; on a CPU with faster layers."""
    on_cpu = next(network.parameters()).device.type == "cpu"
    if on_cpu and not isinstance(network.backbone, OwnNetwork):
        keep_freed_memory()
        rearrange(network.backbone)
    return network.logits


def keep_freed_memory() -> None:
    """Keeps what this process frees for what it needs next, where the C library is glibc.

    glibc gives every large block back to the system, and the next map's memory comes from it anew,
    page by page, which took up to a tenth of scoring's time. See mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def _faster(features: nn.Module, precision: torch.dtype) -> nn.Module:
    """The same, folded and packed; what is given is not to be used any more."""
    on_cpu = next(features.parameters()).device.type == "cpu"
    with suppress(Exception):  # tracing runs the backbone's code on symbols, which may fail anyhow
        features = fuse(features, inplace=True)  # batch norms into the convolutions before them
    for module in features.to(memory_format=torch.channels_last).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(precision)  # else autocast would convert the weights for every batch
    if on_cpu and torch.backends.mkldnn.is_available() and _packs(precision):
        _pack(features)
    return features


def _packs(precision: torch.dtype) -> bool:
    """Whether oneDNN packs weights of this precision; bfloat16 only where the CPU has AVX-512."""
    return precision != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


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
        packed = before in calls and type(modules[before.target]) is Packed
        if packed and times[before.target] == len(before.users) == 1:
            modules[before.target].after = "relu"
            node.replace_all_uses_with(before)
            features.graph.erase_node(node)
    features.recompile()
