"""The lives' package, which ``benchmarks/lives.py`` uses too."""

import sys
from pathlib import Path

LIVES = str(Path(__file__).parent)

if LIVES not in sys.path:
    sys.path.insert(0, LIVES)
