"""The patch classifier: any timm backbone, and the margin it gives every patch.

Xception: F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017
(timm's `legacy_xception`, 20.8 million parameters with two classes).
"""

import importlib
import sys
from types import ModuleType

import torch
from torch import Tensor, nn

from lib.study import Model

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

    def __init__(self, model: Model, *, seed: int) -> None:
        """Builds the backbone, its initialisation fixed by `seed`.

        Raises:
            ValueError: for a name that timm does not know.
        """
        super().__init__()
        timm = import_timm()
        if not timm.is_model(model.name):
            close = timm.list_models(f"*{model.name.split('_')[0]}*")[:5]
            raise ValueError(
                f"model.name: timm knows no {model.name!r}"
                + (f"; names like it: {', '.join(close)}" if close else "")
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = timm.create_model(
                model.name, pretrained=model.pretrained, num_classes=2
            )

    def logits(self, patches: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """Class logits of patches.

        Args:
            patches: uint8 (B, p, p, 3), RGB.
            precision: float32, or bfloat16 for autocast in all but the last layer.

        Returns:
            float32 (B, 2): real, fake.
        """
        device = patches.device.type
        x = normalise(patches)
        with torch.autocast(device, dtype=precision, enabled=precision != torch.float32):
            x = self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)
        with torch.autocast(device, enabled=False):
            return self.backbone.get_classifier()(x.float())

    def margins(self, patches: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """The margins z = logit(fake) − logit(real) of patches, float32 (B,); see `logits`."""
        logits = self.logits(patches, precision)
        return logits[:, FAKE] - logits[:, REAL]


def normalise(patches: Tensor) -> Tensor:
    """uint8 (B, p, p, 3) in 0 to 255 to float32 (B, 3, p, p) in −1 to 1, channels last in memory.

    The range is Xception's own in timm.
    """
    return patches.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def parameter_count(network: nn.Module) -> int:
    """How many trainable numbers a network has."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def pick_device(wanted: str) -> torch.device:
    """The device to run on: `auto` takes a CUDA GPU if there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("training.device: got 'cuda', but torch sees no CUDA GPU; use auto or cpu")
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
