"""Sample flows as a user's own modules, and a stand-in in front of the server that can refuse."""

from __future__ import annotations

import sys
from pathlib import Path

FLOWS = Path(__file__).parent / "flows"

# Jobs import the flows' modules: they hold nothing but what a user's file would.
if str(FLOWS) not in sys.path:
    sys.path.insert(0, str(FLOWS))
