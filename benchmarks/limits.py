"""What the machine can do at most: matrix products and copies, measured there and then."""

from statistics import median

import torch

from benchmarks.measuring import Row, in_turn, seconds

COPIED = 2**28  # bytes
LARGEST, A_WHILE = 8192, 0.01  # rows and columns; seconds


class Ceiling:
    """Products of square matrices on a device, the fastest that it computes."""

    def __init__(self, device: torch.device, precision: torch.dtype) -> None:
        """Makes the matrices: as large as is needed for a product to take a while."""
        self.device, side = device, 256
        while True:
            side *= 2
            self.operations = 2 * side**3
            self.factors = [torch.randn(side, side, device=device).to(precision) for _ in range(2)]
            self.rate()
            if side == LARGEST or self.operations / self.rate() > A_WHILE:
                return

    def rate(self, repeats: int = 3) -> float:
        """Operations a second, each product counted as one multiplication and one addition."""
        first, second = self.factors
        return self.operations / median(
            seconds(lambda: first @ second, self.device) for _ in range(repeats)
        )


def ceiling(name: str, device: torch.device, precision: torch.dtype, repeats: int) -> Row:
    """A row: the matrix-product ceiling in one precision."""
    product = Ceiling(device, precision)
    rate = median(product.rate() for _ in range(repeats))
    return Row(name, None, rate / 1e9, "GFLOP/s")


def bandwidth(device: torch.device, repeats: int) -> Row:
    """A row: bytes read and written in a second by copying within the device's memory."""
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)  # its pages are there from now on
    spent = in_turn(repeats, device, lambda: target.copy_(source))
    return Row("bandwidth", None, 2 * COPIED / median(s for (s,) in spent) / 1e9, "GB/s")
