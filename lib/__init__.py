"""Patch-wise detection of GAN images: patching, scoring, voting and the statistics of the study."""
