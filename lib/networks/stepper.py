"""The steps of a training: from a batch's patches to the network's next weights."""

import torch
from torch import Tensor, dtype
from torch.nn.functional import cross_entropy

from lib.networks import devices
from lib.networks.batches import Batch
from lib.networks.classifier import PatchNet
from lib.networks.cpu_speed import for_training
from lib.networks.own_network import OwnNetwork
from lib.networks.replayed import Replayed
from lib.patches import cut


class Stepper:
    """A network's training, a batch of patches at a time."""

    def __init__(
        self, network: PatchNet, images: Tensor, labels: Tensor, patch_size: int, precision: dtype
    ) -> None:
        """Prepares a network, whose steps are made faster, and its optimizer, Adam.

        The images are uint8 (N, S, S, 3), on the network's device or in the computer's memory, the
        labels int64 (N,); `precision` is float32, or bfloat16 for all but the last layer.
        """
        self.network, self.patch_size, self.precision = network, patch_size, precision
        self.device = next(network.parameters()).device
        self.images, self.labels = images, labels.to(self.device)
        self.logits = for_training(network)
        replayed = self.device.type == "cuda" and not isinstance(network.backbone, OwnNetwork)
        rate = torch.tensor(1e-3, device=self.device) if replayed else 1e-3
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=rate, fused=True, capturable=replayed
        )
        self.update = Replayed(self._update) if replayed else self._update

    def step(self, batch: Batch, learning_rate: float) -> Tensor:
        """One step; returns the mean loss before it, float32 (), on the device."""
        batch = Batch(*(part[devices.SHARE] for part in batch))
        index, origins = map(torch.from_numpy, batch[:2])
        if self.images.device == self.device:
            index, origins = self._moved(index), self._moved(origins)
        x = self._moved(cut(self.images, index, origins, self.patch_size))  # (B, p, p, 3)
        y = self.labels[self._moved(index)]
        if batch.mirrored.any():
            mirrored = self._moved(torch.from_numpy(batch.mirrored))
            x = torch.where(mirrored[:, None, None, None], x.flip(2), x)
        (group,) = self.optimizer.param_groups
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(learning_rate)  # which a replayed step reads
        else:
            group["lr"] = learning_rate
        return self.update(x, y)

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        """One step on patches, uint8 (B, p, p, 3), and their labels, int64 (B,); its loss."""
        with devices.whole_batch():
            loss = cross_entropy(self.logits(x, self.precision), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        loss = devices.add_up(loss.detach(), self.network)
        self.optimizer.step()
        return loss

    def _moved(self, values: Tensor) -> Tensor:
        """To the device, without waiting for what it still does."""
        if values.device == self.device:
            return values
        return values.pin_memory().to(self.device, non_blocking=True)
