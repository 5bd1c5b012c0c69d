"""The statistics of the study: pure functions of arrays."""
