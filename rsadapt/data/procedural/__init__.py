"""Imagery drawn from a seed: pairs of regions and of driving data sets, labelled to the pixel."""
