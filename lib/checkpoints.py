"""A training's state on disk, as safetensors: the backbone's timm state and the optimizer's."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib.models import PatchNet

NETWORK = "network.safetensors"
OPTIMIZER = "optimizer.safetensors"


def save(folder: Path, network: PatchNet, optimizer: torch.optim.Optimizer) -> None:
    """Writes both states into `folder`."""
    save_file(_plain(network.backbone.state_dict()), folder / NETWORK)
    state = optimizer.state_dict()["state"]
    named = {f"{k}.{name}": value for k, of in state.items() for name, value in of.items()}
    save_file(_plain(named), folder / OPTIMIZER)


def restore(folder: Path, network: PatchNet, optimizer: torch.optim.Optimizer) -> None:
    """Reads both states back into a network and its optimizer, bit for bit."""
    network.backbone.load_state_dict(load_file(folder / NETWORK))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(folder / OPTIMIZER).items():
        number, name = key.split(".")
        like = parameters[int(number)]
        if value.shape == like.shape:  # in the parameter's own memory format
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def load_network(path: Path, network: PatchNet) -> PatchNet:
    """Reads the backbone's weights from a finished run's best or last file."""
    network.backbone.load_state_dict(load_file(path))
    return network


def drop(folder: Path, *, network: bool) -> None:
    """Removes a folder's optimizer state, and its network if asked to."""
    (folder / OPTIMIZER).unlink(missing_ok=True)
    if network:
        (folder / NETWORK).unlink(missing_ok=True)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, as safetensors stores them."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
