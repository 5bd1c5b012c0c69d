"""A network of one's own in timm's two parts, tried with a few patches before it is trained.

It is an `nn.Module` that maps float32 (B, 3, p, p) to logits (B, 2) of real and fake, or to
features (B, F) or (B, F, h, w), which get a last layer here. It is computed as it is written: the
forms of `cpu_speed` do not suit everything that can be written.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lib.study import own_code
from lib.study.schema import ParameterError

MAKES = "name a class of nn.Module, or a function that makes one, without arguments"
GIVES = "allowed: (B, 2) logits of real and fake, or features (B, F) or (B, F, h, w)"


class OwnNetwork(nn.Module):
    """A network of one's own, with those of a timm model's methods that are used here."""

    def __init__(self, name: str, shown: Tensor) -> None:
        """Makes the network that a study calls `name`, see `own_code`, and tries it.

        What it is shown is float32 (B, 3, p, p), as `classifier.network_input` gives it. Raises
        ParameterError for what is no such network, naming what it gives and what is allowed.
        """
        super().__init__()
        make, given = own_code.load(name), f"given float32 {tuple(shown.shape)} it"
        with own_code.blamed(name, f"cannot be made ({MAKES})"):
            self.body, self.last = make(), nn.Identity()
            if not isinstance(self.body, nn.Module):
                raise TypeError(f"it makes a {type(self.body).__name__}")
        with own_code.blamed(name, f"{given} fails"), torch.no_grad():
            y = self.eval().forward_features(shown)
        if problem := _problem(y, len(shown)):
            raise ParameterError(f"model.name: {name}: {given} gives {problem}")
        self.are_maps = y.ndim == 4
        if self.are_maps or y.shape[1] != 2:
            self.last = nn.Linear(y.shape[1], 2)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise ParameterError(f"model.name: {name}: it has no parameters to train")
        with own_code.blamed(name, "cannot be trained and copied"):
            tried = copy.deepcopy(self).train()
            logits = tried.last(tried.forward_head(tried.forward_features(shown)))
            cross_entropy(logits, torch.arange(len(shown)) % 2).backward()
            copy.deepcopy(tried)  # it is scored as a copy, also after a step
        self.train()

    @property
    def in_float32(self) -> bool:
        """Whether all of it must be: its logits are its own, and bfloat16 ones tie in bulk."""
        return type(self.last) is nn.Identity

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, p, p) → what comes before pooling and the last layer."""
        return self.body(x.contiguous())  # channels first in memory, or `view` fails

    def forward_head(self, x: Tensor, pre_logits: bool = True) -> Tensor:
        """(B, F) or (B, F, h, w) → (B, F), what the last layer is given."""
        return x.mean((2, 3)) if self.are_maps else x

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.last


def _problem(y: object, batch: int) -> str:
    if not isinstance(y, Tensor):
        return f"a {type(y).__name__}; {GIVES}"
    if not y.is_floating_point() or y.ndim not in (2, 4) or len(y) != batch or not y.numel():
        return f"{y.dtype} {tuple(y.shape)}; {GIVES}, where B is {batch}"
    return "" if y.isfinite().all() else "numbers that are not finite"
