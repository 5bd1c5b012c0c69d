"""The patch classifier: any timm backbone, and the margin it gives every patch.

Xception: F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017
(timm's `legacy_xception`, 20.8 million parameters with two classes).
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from lib.settings import Model, ParameterError, Quirks

REAL, FAKE = 0, 1
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
    """A timm backbone with two classes, real and fake, that gives each patch its margin.

    The backbone may run in bfloat16; its last layer and the margin are float32, since bfloat16
    logits tie in bulk.
    """

    def __init__(self, model: Model, *, seed: int, quirks: Quirks | None = None) -> None:
        """Builds the backbone, its initialisation fixed by `seed`.

        Args:
            model: the backbone.
            seed: of the initialisation.
            quirks: the released code's that are to be reproduced; none by default.

        Raises:
            ParameterError: for a name that timm does not know, or a backbone that the quirk
                `dense_xception` cannot change.
        """
        super().__init__()
        self.quirks = quirks or Quirks()
        timm = import_timm()
        if not timm.is_model(model.name):
            close = timm.list_models(f"*{model.name.split('_')[0]}*")[:5]
            raise ParameterError(
                f"model.name: timm knows no {model.name!r}"
                + (f"; names like it: {', '.join(close)}" if close else "")
            )
        if self.quirks.dense_xception and model.pretrained:
            raise ParameterError("quirks.dense_xception: there are no pretrained weights of it")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = timm.create_model(
                model.name, pretrained=model.pretrained, num_classes=2
            )
            if self.quirks.dense_xception:
                _make_dense(self.backbone, model)

    def logits(self, patches: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """Class logits of patches.

        Args:
            patches: uint8 (B, p, p, 3), RGB.
            precision: float32, or bfloat16 for autocast in all but the last layer.

        Returns:
            float32 (B, 2): real, fake.
        """
        return decide(
            self._features, self.backbone.get_classifier(), patches, self.quirks, precision
        )

    def _features(self, x: Tensor) -> Tensor:
        return self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)

    def margins(self, patches: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """The margins z = logit(fake) − logit(real) of patches, float32 (B,); see `logits`."""
        logits = self.logits(patches, precision)
        return logits[:, FAKE] - logits[:, REAL]


def decide(
    features: Callable[[Tensor], Tensor],
    classifier: nn.Module,
    patches: Tensor,
    quirks: Quirks,
    precision: torch.dtype,
) -> Tensor:
    """Class logits of patches, from a backbone in its two parts; see `PatchNet.logits`."""
    device = patches.device.type
    x = network_input(patches, quirks)
    with torch.autocast(device, dtype=precision, enabled=precision != torch.float32):
        x = features(x)
    with torch.autocast(device, enabled=False):
        return classifier(x.float())


def network_input(patches: Tensor, quirks: Quirks) -> Tensor:
    """What a network is shown of patches.

    Args:
        patches: uint8 (B, p, p, 3) in 0 to 255, RGB.
        quirks: `bgr_raw_values` turns the channels round and leaves the values as they are;
            `scrambled_layout` then reads the bytes of (p, p, 3) as (3, p, p).

    Returns:
        float32 (B, 3, p, p), in −1 to 1 (Xception's own range in timm) or in 0 to 255; channels
        last in memory unless scrambled.
    """
    if quirks.bgr_raw_values:
        patches = patches.flip(-1)
    if quirks.scrambled_layout:
        x = patches.reshape(len(patches), 3, *patches.shape[1:3])
    else:
        x = patches.permute(0, 3, 1, 2)
    return x.to(torch.float32) if quirks.bgr_raw_values else x.to(torch.float32) / 127.5 - 1


def _make_dense(backbone: nn.Module, model: Model) -> None:
    """Replaces grouped convolutions by dense ones of the same shape, in torch's initialisation.

    It is what a missing `groups=` does: 181,572,002 parameters instead of legacy_xception's
    20,811,050. (The released network has 186,760,650: it differs in some more details.)
    """
    grouped = [
        (parent, name, child)
        for parent in backbone.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Conv2d) and child.groups > 1
    ]
    if not grouped:
        raise ParameterError(
            f"quirks.dense_xception: {model.name} has no depthwise convolutions to make dense; "
            "set model.name to legacy_xception"
        )
    for parent, name, depthwise in grouped:
        shape = {key: getattr(depthwise, key) for key in ("kernel_size", "stride", "padding")}
        dense = nn.Conv2d(
            depthwise.in_channels,
            depthwise.out_channels,
            **shape,
            dilation=depthwise.dilation,
            bias=depthwise.bias is not None,
        )
        setattr(parent, name, dense)


def parameter_count(network: nn.Module) -> int:
    """How many trainable numbers a network has."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def pick_device(wanted: str) -> torch.device:
    """The device to run on: `auto` takes a CUDA GPU if there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ParameterError(
            "training.device: got 'cuda', but torch sees no CUDA GPU; use auto or cpu"
        )
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(automatic if wanted == "auto" else wanted)


def pick_precision(wanted: str, device: torch.device) -> str:
    """`fp32` or `bf16`: with `auto`, bf16 where the device computes it natively."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
