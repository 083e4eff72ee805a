"""The command line: options in, one call of a verb, results and errors out."""

from rsadapt.cli import data, learning, maps
from rsadapt.cli.door import app, main

__all__ = ["app", "data", "learning", "main", "maps"]
