"""The patch classifier: how it is trained, how it scores, and how both are fast on a CPU."""
