"""One network on several devices: a process for each, which takes its share of every batch.

Batch norm, loss and gradients are those of the whole batch, so that each process makes the step
that one alone would make, up to rounding, and to dropout. The first process alone writes.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lib.networks.classifier import pick_device
from lib.study.schema import Training

_launched = os.environ if "TORCHELASTIC_RUN_ID" in os.environ else {}
RANK, WORLD = int(_launched.get("RANK", 0)), int(_launched.get("WORLD_SIZE", 1))
"""Which of the processes this one is, from 0, and how many train the network."""
SHARE = slice(RANK, None, WORLD)
"""What is this process's, of the patches of a batch or of images."""


def launch(training: Training, given: Mapping[str, Any]) -> bool:
    """Trains in several processes, if there are several devices to use; returns whether it did.

    Each is `python -m lib train` with the options that are given, under torchrun, but for the page
    that this prints when one fails: a ChildProcessError says what went wrong.
    """
    on_gpus = pick_device(training.device).type == "cuda"
    count = min(training.devices, torch.cuda.device_count()) if on_gpus else training.devices
    if WORLD > 1 or count == 1:
        return False
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException, api, errors

    api.logger.setLevel(logging.CRITICAL)
    threads = str(max(1, torch.get_num_threads() // count))
    os.environ |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}  # Snakemake sets both
    options = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    with TemporaryDirectory() as logs:
        how = ["--standalone", "--local-addr=localhost", f"--nproc-per-node={count}"]
        how += [f"--log-dir={logs}", "--local-ranks-filter=0"]  # one speaks for all
        try:
            torchrun.run(torchrun.parse_args([*how, "-m", "lib", "train", *options]))
        except SignalException as stopped:
            sys.exit(128 + stopped.sigval)
        except errors.ChildFailedError as failed:
            raise ChildProcessError(_why(list(failed.failures.values()))) from None
    return True


def _why(failures: list[Any]) -> str:
    """What ended a training, of torch's failures: that one was killed, or else what one told."""
    told = [failure for failure in failures if "timestamp" in failure.error_file_data]
    killed = [failure for failure in failures if failure.exitcode not in (1, -SIGTERM)]
    if told and not killed:
        return min(told, key=lambda failure: failure.error_file_data["timestamp"]).message
    ended = (killed or failures)[0]
    return (
        f"process {ended.local_rank + 1} of this training was ended: {ended.message}. The others "
        "were ended with it. The same command goes on after the last finished epoch; if memory "
        "ran out, set training.devices lower"
    )


@contextmanager
def group() -> Iterator[None]:
    """Joins the other processes, if there are any; what goes wrong, `launch` will say."""
    if WORLD == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(RANK % torch.cuda.device_count())
    try:
        # They wait for the first, which may wait for another training of the same network.
        distributed.init_process_group(timeout=timedelta(days=1))
        yield
    except (Exception, KeyboardInterrupt) as error:
        known = type(error).__module__.startswith("lib.")
        message = str(error) if known else traceback.format_exc()
        told = json.dumps({"message": message, "timestamp": time.time()})
        Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(told, "utf-8")
        sys.exit(1)
    distributed.destroy_process_group()


def by_first(write: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function do nothing, and return None, in any process but the first."""
    return write if RANK == 0 else lambda *_, **__: None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock for all processes, which begin and end together."""
    with FileLock(path) if RANK == 0 else nullcontext():
        wait()
        yield
        wait()


def wait() -> None:
    """Until all processes are here."""
    if WORLD > 1:
        distributed.all_reduce(torch.zeros(()))


def joined(rows: np.ndarray, count: int) -> np.ndarray:
    """All `count` rows of a float32 array, of which each process has its share."""
    if WORLD == 1:
        return rows
    whole = torch.zeros(count, *rows.shape[1:])
    whole[SHARE] = torch.from_numpy(rows)
    distributed.all_reduce(whole)
    return whole.numpy()


def add_up(loss: Tensor, network: nn.Module) -> Tensor:
    """Makes a loss, which is returned, and a network's gradients the sums over all processes."""
    if WORLD > 1:
        parts = [loss, *(p.grad for p in network.parameters() if p.grad is not None)]
        whole = torch.cat([part.flatten() for part in parts])
        distributed.all_reduce(whole)
        for part, values in zip(parts, whole.split([p.numel() for p in parts]), strict=True):
            part.copy_(values.view_as(part))
    return loss


class _WholeBatch(TorchFunctionMode):
    """Within it, batch norm and cross entropy are those of the batch that all processes share.

    Functions are replaced, not layers: whatever network calls them, its layers stay what they are.
    """

    def __torch_function__(
        self, function: Callable, types: Any, given: tuple = (), named: dict | None = None
    ) -> Any:
        ours = {functional.batch_norm: _batch_norm, functional.cross_entropy: _cross_entropy}
        return ours.get(function, function)(*given, **(named or {}))


whole_batch = _WholeBatch if WORLD > 1 else nullcontext


def _cross_entropy(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    """This process's part of the mean: of the last batch it may have fewer patches, or none."""
    patches = _Sum.apply(logits.new_full((), len(labels)))
    return functional.cross_entropy(logits, labels, reduction="sum") / patches


def _batch_norm(x: Tensor, means: Tensor | None, variances: Tensor | None, **how: Any) -> Tensor:
    """As torch's, which over several processes has one for GPUs alone (2.13.0)."""
    if not how["training"]:
        return functional.batch_norm(x, means, variances, **how)
    wide, axes, shape = x.float(), (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
    each = wide.new_full((1,), x[:, 0].numel())
    count, total = _Sum.apply(torch.cat([each, wide.sum(axes)])).split((1, x.shape[1]))
    mean = total / count  # (C,)
    centred = wide - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / count
    if means is not None:
        means.lerp_(mean.detach(), how["momentum"])
        variances.lerp_((variance * count / (count - 1)).detach(), how["momentum"])
    scale = (variance + how["eps"]).rsqrt()
    y = centred * (scale if how["weight"] is None else scale * how["weight"]).view(shape)
    return (y if how["bias"] is None else y + how["bias"].view(shape)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of what all make of it."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        distributed.all_reduce(y := x.clone())
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad)
