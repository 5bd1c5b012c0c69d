"""Progress bars where a person watches: in a terminal and in JupyterLab, never in logs or tests."""

import os
import sys
from typing import Any

from tqdm.auto import tqdm


def bar(**options: Any) -> tqdm:
    """A tqdm bar, shown only where a person watches.

    A Jupyter server names its session in its kernels' environment; papermill, nbval and nbconvert
    start kernels without it.
    """
    watched = sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ
    return tqdm(disable=not watched, dynamic_ncols=True, **options)
