"""Training script: counts rows, and leaves a model with the code that serves it."""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int)
depth = parser.parse_args().depth
rows = Path(os.environ["SM_CHANNEL_TRAIN"], "rows.csv").read_text().split()
sys.stdout.write(f"rows {len(rows)}\nscore: 0.5;\n")
model_dir = Path(os.environ["SM_MODEL_DIR"])
(model_dir / "model.json").write_text(json.dumps({"depth": depth, "rows": len(rows)}))
(model_dir / "code").mkdir()
shutil.copy(Path(__file__).with_name("infer.py"), model_dir / "code")
