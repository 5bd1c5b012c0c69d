"""Simulated photographs and GAN images: a study that needs no download."""
