"""Where images come from: sources, packing and the simulated demo set."""
