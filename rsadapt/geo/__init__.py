"""Pixels on the ground: grids, rasters, regions, statistics and maps; no torch."""
