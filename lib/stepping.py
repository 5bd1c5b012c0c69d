"""One optimisation step: patches are cut from the images, judged, and the network follows the loss.

Nothing here loads data: the images lie on the device as uint8, or, if they are too many for it, in
mapped memory, from which a batch is cut while the device still works on the one before.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lib.fast import for_training
from lib.models import PatchNet
from lib.patches import cut, grid_origins


class Stepper:
    """A network's training, a batch of grid patches at a time."""

    def __init__(
        self,
        network: PatchNet,
        images: Tensor,
        labels: Tensor,
        patch_size: int,
        precision: torch.dtype,
    ) -> None:
        """Prepares the network, on its device, and its optimizer, Adam.

        Args:
            network: its steps are made faster; what they compute stays the same.
            images: uint8 (N, S, S, 3), on the network's device or in the computer's memory.
            labels: int64 (N,), on any device.
            patch_size: p, px; divides S.
            precision: float32, or bfloat16 for all but the last layer.
        """
        self.network, self.patch_size, self.precision = network, patch_size, precision
        self.device = next(network.parameters()).device
        self.images, self.labels = images, labels.to(self.device)
        corners = grid_origins(images.shape[1], patch_size).astype(np.int64)
        self.corners = torch.from_numpy(corners).to(images.device)
        self.logits = for_training(network)
        self.optimizer = torch.optim.Adam(network.parameters(), fused=True)

    @property
    def patches(self) -> int:
        """How many grid patches the images have."""
        return len(self.images) * len(self.corners)

    def step(self, batch: np.ndarray, learning_rate: float) -> Tensor:
        """One step on grid patches.

        Args:
            batch: int64 (B,): patch k of image n is n · P + k.
            learning_rate: of this step.

        Returns:
            The mean loss before the step, float32 (), on the device.
        """
        at = torch.from_numpy(batch)
        if self.images.device == self.device:
            at = self._moved(at)
        image, patch = at // len(self.corners), at % len(self.corners)  # (B,), (B,)
        x = self._moved(cut(self.images, image, self.corners[patch], self.patch_size))
        y = self.labels[self._moved(image)]
        loss = cross_entropy(self.logits(x, self.precision), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()
        return loss.detach()

    def _moved(self, values: Tensor) -> Tensor:
        """To the device, without waiting for what it still does."""
        if values.device == self.device:
            return values
        return values.pin_memory().to(self.device, non_blocking=True)
