"""What may be wrong with a network or a folder for results; needs no torch."""


class NetworkError(RuntimeError):
    """A folder holds no network that can judge pictures; the message says why."""


class OutError(RuntimeError):
    """The folder for results holds other results; the message says what to do."""
