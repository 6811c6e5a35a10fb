"""Processing script: copies its input, and leaves its arguments."""

import shutil
import sys
from pathlib import Path

output = Path("/opt/ml/processing/output")
shutil.copy("/opt/ml/processing/input/rows.csv", output / "rows.csv")
(output / "arguments").write_text(" ".join(sys.argv[1:]))
