"""Inference handlers."""

import json
from pathlib import Path


def model_fn(model_dir):
    """The model's numbers."""
    return json.loads(Path(model_dir, "model.json").read_text())


def predict_fn(data, model):
    """Each row's number and the model's depth."""
    return [model["depth"] + float(value) for value in data.ravel()]
