"""The kernel of a batch's notebooks, which ends if the batch is killed, and papermill with it.

ipykernel watches papermill alone, and not while it starts. The Snakefile sets BATCH, and by
JUPYTER_PATH has this one taken.
"""

import os
import signal
import sys
import threading
import time

PARENT, BATCH = int(os.environ["JPY_PARENT_PID"]), int(os.environ["BATCH"])


def watch() -> None:
    """Waits until one of the two is gone, and ends what is left."""
    while os.getppid() == PARENT and runs(BATCH):
        time.sleep(1)
    if os.getppid() == PARENT:
        os.kill(PARENT, signal.SIGTERM)
    os._exit(1)


def runs(process: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


if __name__ == "__main__":
    threading.Thread(target=watch, daemon=True).start()
    del sys.path[0]  # this folder
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
