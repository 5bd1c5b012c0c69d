"""From margins to verdicts."""
