"""The patch classifier: a timm backbone or one's own, and the margin it gives every patch.

Xception: F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017
(timm's `legacy_xception`, 20.8 million parameters with two classes).
"""

import importlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from joblib import cpu_count
from safetensors.torch import load_file
from torch import Tensor, nn

from lib import margins
from lib.networks.own_network import OwnNetwork
from lib.study import files
from lib.study.errors import shown
from lib.study.own_code import is_own
from lib.study.quirks import Quirks
from lib.study.schema import Model, ParameterError

REAL, FAKE = 0, 1
# Of a container that has a share of the cores, torch knows only the cores.
torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))
_declared: list[torch.library.Library] = []  # kept, or the schemas would be withdrawn


def import_timm() -> ModuleType:
    """Imports timm also where torchvision was built for another torch than the installed one.

    torchvision's compiled operators then do not load, and its import fails because two of them,
    which are not used here, are unknown. Declaring them, only then, lets it go on.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    return importlib.import_module("timm")


class PatchNet(nn.Module):
    """A backbone with two classes, real and fake, that gives each patch its margin.

    The backbone may run in bfloat16; its last layer and the margin are float32, since bfloat16
    logits tie in bulk.
    """

    def __init__(
        self, model: Model, *, seed: int, patch_size: int = 32, quirks: Quirks | None = None
    ) -> None:
        """Builds the backbone from `seed`; a network of one's own is tried at `patch_size`, px.

        Raises:
            ParameterError: for a name that timm does not know, a network of one's own that does not
                give what it must, or what such a network or a quirk cannot be combined with.
        """
        super().__init__()
        self.quirks = quirks or Quirks()
        own, dense = is_own(model.name), self.quirks.dense_xception
        if model.pretrained and (own or dense):
            key = "model.pretrained" if own else "quirks.dense_xception"
            raise ParameterError(f"{key}: there are no pretrained weights of it")
        if own and dense:
            why = f"{model.name} is no name of timm's, as it must be, such as legacy_xception"
            raise ParameterError(f"quirks.dense_xception: {why}")
        import_timm()  # first, since a network of one's own may import it and torchvision, too
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if own:
                shape, drawn = (4, patch_size, patch_size, 3), torch.Generator().manual_seed(0)
                patches = torch.randint(0, 256, shape, dtype=torch.uint8, generator=drawn)
                self.backbone = OwnNetwork(model.name, network_input(patches, self.quirks))
            else:
                self.backbone = _of_timm(model)
            if dense:
                _make_dense(self.backbone, model)
        if not own:  # convolutions are fastest so
            self.to(memory_format=torch.channels_last)

    @property
    def in_float32(self) -> bool:
        """Whether all of it must be computed in float32; see `OwnNetwork`."""
        return getattr(self.backbone, "in_float32", False)

    def load(self, path: Path) -> "PatchNet":
        """Reads the backbone's weights, such as a finished run's best or last; returns itself."""
        with files.reading(path, margins.anew(path)):
            self.backbone.load_state_dict(load_file(path))
        return self

    def logits(self, patches: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """Class logits, float32 (B, 2), real and fake, of patches, uint8 (B, p, p, 3) RGB."""
        x, last = network_input(patches, self.quirks), self.backbone.get_classifier()
        return decide(self.forward, last, x, precision)

    def forward(self, x: Tensor) -> Tensor:
        """float32 (B, 3, p, p), see `network_input` → (B, F), what the last layer is given."""
        return self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)

    def margins(self, patches: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """The margins z = logit(fake) − logit(real) of patches, float32 (B,); see `logits`."""
        logits = self.logits(patches, precision)
        return logits[:, FAKE] - logits[:, REAL]


def _of_timm(model: Model) -> nn.Module:
    timm = import_timm()
    if not timm.is_model(model.name):
        close = ", ".join(timm.list_models(f"*{model.name.split('_')[0]}*")[:5])
        raise ParameterError(
            f"model.name: timm knows no {model.name!r}{close and f'; names like it: {close}'}; "
            "a network of your own is named module:attribute, such as my_nets:Tiny"
        )
    if model.pretrained:
        _go_without_network()
    try:
        return timm.create_model(model.name, pretrained=model.pretrained, num_classes=2)
    except Exception as error:  # whatever a download stumbles over
        if not model.pretrained:
            raise
        raise ParameterError(
            f"model.pretrained: the weights of {model.name} cannot be had: {shown(str(error))}. "
            "They come over the network, once; without it set model.pretrained to false"
        ) from None


def _go_without_network() -> None:
    """Where their host cannot be reached, has weights taken from those downloaded before alone.

    timm's downloader would try for a minute.
    """
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT)
    if "https" not in getproxies():
        try:
            socket.create_connection((host.hostname, host.port or 443), timeout=5).close()
        except OSError:
            constants.HF_HUB_OFFLINE = True


def decide(
    features: Callable[[Tensor], Tensor], last: nn.Module, x: Tensor, precision: torch.dtype
) -> Tensor:
    """Class logits of a network's input, from its two parts; see `PatchNet.logits`."""
    with torch.autocast(x.device.type, dtype=precision, enabled=precision != torch.float32):
        x = features(x)
    with torch.autocast(x.device.type, enabled=False):
        return last(x.float())


def network_input(patches: Tensor, quirks: Quirks) -> Tensor:
    """What a network is shown of patches, uint8 (B, p, p, 3) in 0 to 255, RGB.

    The quirk `bgr_raw_values` turns the channels round and leaves the values as they are;
    `scrambled_layout` then reads the bytes of (p, p, 3) as (3, p, p).

    Returns:
        float32 (B, 3, p, p), in −1 to 1 (Xception's own range in timm) or in 0 to 255; channels
        last in memory unless scrambled.
    """
    if quirks.bgr_raw_values:
        patches = patches.flip(-1)
    shape = len(patches), 3, *patches.shape[1:3]
    x = patches.reshape(shape) if quirks.scrambled_layout else patches.permute(0, 3, 1, 2)
    return x.to(torch.float32) if quirks.bgr_raw_values else x.to(torch.float32) / 127.5 - 1


def _make_dense(backbone: nn.Module, model: Model) -> None:
    """Makes grouped convolutions dense ones of the same shape, in torch's initialisation.

    It is what a missing `groups=` does: 181,572,002 parameters instead of legacy_xception's
    20,811,050. (The released network has 186,760,650: it differs in some more details.)
    """
    layers = [layer for parent in backbone.modules() for layer in parent.children()]
    grouped = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    if not grouped:
        why = "no depthwise convolutions to make dense; set model.name to legacy_xception"
        raise ParameterError(f"quirks.dense_xception: {model.name} has {why}")
    for conv in grouped:
        shape = (conv.out_channels, conv.in_channels, *conv.kernel_size)
        conv.groups, conv.weight = 1, nn.Parameter(torch.empty(shape))
        conv.reset_parameters()


def parameter_count(network: nn.Module) -> int:
    """How many trainable numbers a network has."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def pick_device(wanted: str) -> torch.device:
    """The device to run on: `auto` takes a CUDA GPU if there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        why = "torch sees no CUDA GPU; use auto or cpu"
        raise ParameterError(f"training.device: got 'cuda', but {why}")
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(automatic if wanted == "auto" else wanted)


def describe(device: torch.device) -> str:
    """The device in words: a GPU's name, or the number of CPU threads."""
    cpu = f"CPU, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu


def pick_precision(wanted: str, device: torch.device) -> str:
    """`fp32` or `bf16`: with `auto`, bf16 where the device computes it natively."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
