"""The door as a module: `python -m rsadapt`, and `torchrun -m rsadapt`."""

from __future__ import annotations

from rsadapt.cli import main

if __name__ == "__main__":
    main()
