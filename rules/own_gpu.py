"""Which GPUs this machine has, and some of them for a command.

    python rules/own_gpu.py 0,1 1 python -m lib train …

The command sees so many GPUs of the list alone, which no other command run so on this machine has.
What holds each is a lock on a file, which ends with the command, however that ends. Of an empty
list none is chosen: the command sees what it would have seen.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import takewhile


def gpus() -> list[str]:
    """The GPUs that may be used: those in CUDA_VISIBLE_DEVICES, or all that nvidia-smi lists."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:  # what follows -1 is not seen
        return list(takewhile(lambda name: name not in ("", "-1"), given.split(",")))
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))]


def take(names: Sequence[str], count: int) -> list[str]:
    """The first so many GPUs that are free, or become so; this process holds them."""
    while True:
        held: dict[str, int] = {}
        for name in names:
            if len(held) == count:
                break
            path = f"{tempfile.gettempdir()}/patchwise-{os.getuid()}-gpu-{name}.lock"
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            held[name] = lock
        if len(held) == count:
            for lock in held.values():
                os.set_inheritable(lock, True)  # by the command, which takes this process's place
            return list(held)
        for lock in held.values():  # rather than wait with some for others that wait for these
            os.close(lock)
        time.sleep(1)


if __name__ == "__main__":
    names = sys.argv[1].split(",") if sys.argv[1] else []
    if names:
        count = min(int(sys.argv[2]), len(names))
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(take(names, count))
    os.execvp(sys.argv[3], sys.argv[3:])
