"""SageMaker's built-in XGBoost algorithm, on the installed `xgboost`: a script that a job executes.

As a script it trains: channels `train` and `validation`, hyperparameters.json, one line of metrics
a round, the model in UBJSON at /opt/ml/model/xgboost-model. Loaded by `serving.py` its functions
`model_fn`, `input_fn`, `predict_fn` and `output_fn` answer like the algorithm's own container.
Imports nothing of the package.
"""

from __future__ import annotations

import difflib
import importlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from xgboost import Booster, DMatrix

_ROOT = Path(os.environ.get("CDAO_OPT_ML", "/opt/ml"))
_MODEL = "xgboost-model"
_EXTRA = "cdao-sdk[demo]"
_CHANNELS = ("train", "validation")
_INTEGERS = [
    "num_class", "num_round", "early_stopping_rounds", "max_bin", "max_depth", "max_leaves",
    "nthread", "num_parallel_tree", "refresh_leaf", "seed", "verbosity", "max_cat_threshold",
]  # fmt: skip
_FLOATS = [
    "aft_loss_distribution_scale", "alpha", "base_score", "colsample_bylevel", "colsample_bynode",
    "colsample_bytree", "eta", "gamma", "huber_slope", "lambda", "lambda_bias", "max_delta_step",
    "min_child_weight", "one_drop", "quantile_alpha", "rate_drop", "scale_pos_weight",
    "skip_drop", "subsample", "tweedie_variance_power",
]  # fmt: skip
_TEXTS = [
    "aft_loss_distribution", "booster", "eval_metric", "grow_policy", "interaction_constraints",
    "monotone_constraints", "normalize_type", "objective", "process_type", "sample_type",
    "tree_method", "updater", "_tuning_objective_metric",
]  # fmt: skip
# Known to the algorithm of some version, without a meaning in this one.
_IGNORED = [
    "deterministic_histogram", "dsplit", "prob_buffer_row", "save_model_on_termination",
    "single_precision_histogram", "sketch_eps", "use_dask_gpu_training", "csv_weights", "_kfold",
    "_num_cv_round",
]  # fmt: skip
# Metrics of the algorithm's that XGBoost itself lacks: scikit-learn's name and options.
_OWN_METRICS: dict[str, tuple[str, dict[str, str]]] = {
    "accuracy": ("accuracy_score", {}),
    "balanced_accuracy": ("balanced_accuracy_score", {}),
    "f1": ("f1_score", {"average": "macro"}),
    "f1_binary": ("f1_score", {"average": "binary"}),
    "f1_macro": ("f1_score", {"average": "macro"}),
    "mse": ("mean_squared_error", {}),
    "r2": ("r2_score", {}),
    "precision": ("precision_score", {"average": "binary"}),
    "precision_macro": ("precision_score", {"average": "macro"}),
    "precision_micro": ("precision_score", {"average": "micro"}),
    "recall": ("recall_score", {"average": "binary"}),
    "recall_macro": ("recall_score", {"average": "macro"}),
    "recall_micro": ("recall_score", {"average": "micro"}),
}
_REGRESSION = ("mse", "r2")


class UserError(Exception):
    """What the user can mend: the job's failure text."""


def train() -> None:
    """Train on the job's channels.

    Raises:
        UserError: hyperparameters, channels or data are not what the algorithm takes.
    """
    configuration = _ROOT / "input" / "config"
    given: dict[str, str] = json.loads((configuration / "hyperparameters.json").read_bytes())
    parameters = typed_hyperparameters(given)
    inputs: dict[str, dict[str, str]] = json.loads(
        (configuration / "inputdataconfig.json").read_bytes()
    )
    resource = json.loads((configuration / "resourceconfig.json").read_bytes())
    if len(resource["hosts"]) > 1:
        msg = "The embedded XGBoost trains on one host: set InstanceCount to 1"
        raise UserError(msg)
    _check_channels(inputs)
    data = [
        (_read_channel(name, inputs[name].get("ContentType")), name)
        for name in _CHANNELS
        if name in inputs
    ]
    booster = _fit(parameters, data)
    (_ROOT / "model" / _MODEL).write_bytes(booster.save_raw(raw_format="ubj"))


def typed_hyperparameters(given: dict[str, str]) -> dict[str, Any]:
    """Hyperparameters, which arrive as text, with their types; those without a meaning left out.

    Raises:
        UserError: one does not exist or has no such value, or num_round is missing.
    """
    known = [*_INTEGERS, *_FLOATS, *_TEXTS, *_IGNORED]
    problems: list[str] = []
    typed: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"Hyperparameter {name} does not exist{hint}")
        elif name == "csv_weights" and value != "0":
            problems.append("Hyperparameter csv_weights: the embedded XGBoost takes no weights")
        elif name not in _IGNORED:
            try:
                typed[name] = _typed(name, value)
            except ValueError:
                kind = "a whole number" if name in _INTEGERS else "a number"
                problems.append(f"Hyperparameter {name}: {value!r} is not {kind}")
    if "num_round" not in given:
        problems.append("Missing required hyperparameter: num_round")
    if problems:
        raise UserError("; ".join(problems))
    return typed


def model_fn(model_dir: str) -> Booster:
    """Load the model: /opt/ml/model/xgboost-model, or the only file there."""
    xgboost = _package("xgboost")
    path = Path(model_dir) / _MODEL
    if not path.is_file():
        files = [file for file in Path(model_dir).iterdir() if file.is_file()]
        if len(files) != 1:
            msg = f"The model holds no file {_MODEL}"
            raise UserError(msg)
        path = files[0]
    # By content, not by name: `xgboost-model` has no ending to tell the format.
    return xgboost.Booster(model_file=bytearray(path.read_bytes()))


def input_fn(body: bytes | str, content_type: str) -> np.ndarray | list[dict[int, float]]:
    """Records without a label, as CSV or libsvm."""
    text = body if isinstance(body, str) else body.decode()
    kind = _media_type(content_type)
    if kind == "text/csv":
        frame = _package("pandas").read_csv(io.StringIO(text), header=None)
        return _numbers(frame, "the records")
    if kind in ("text/libsvm", "text/x-libsvm"):
        return [_libsvm_record(line) for line in text.splitlines() if line.strip()]
    error = UserError(f"Content type {content_type} is not supported: use text/csv or text/libsvm")
    error.status_code = 415  # type: ignore[attr-defined] # how serving.py tells it from a crash
    raise error


def predict_fn(data: np.ndarray | list[dict[int, float]], model: Booster) -> np.ndarray:
    """Scores of the records, by the best round if training stopped early."""
    xgboost = _package("xgboost")
    matrix = xgboost.DMatrix(_dense(data, model.num_features()))
    if model.feature_names:  # a frame's; SageMaker's records have none
        matrix.feature_names = model.feature_names
    best = model.attr("best_iteration")
    rounds = (0, int(best) + 1) if best else (0, 0)
    return model.predict(matrix, iteration_range=rounds)


def output_fn(prediction: np.ndarray, accept: str) -> tuple[str, str]:
    """One score a line; a list of scores for each class where the objective gives that."""
    if _media_type(accept) == "application/json":
        scores = [{"score": score} for score in prediction.tolist()]
        return json.dumps({"predictions": scores}), "application/json"
    return "".join(f"{score}\n" for score in prediction.tolist()), "text/csv"


def _typed(name: str, value: str) -> object:
    if name in _INTEGERS:
        return int(value)
    if name in _FLOATS:
        return float(value)
    return value


def _check_channels(inputs: dict[str, dict[str, str]]) -> None:
    for name in inputs:
        if name not in _CHANNELS:
            msg = f"Extraneous channel found: {name}; XGBoost takes {_CHANNELS}"
            raise UserError(msg)
    if "train" not in inputs:
        msg = "Missing required channel: train"
        raise UserError(msg)


def _read_channel(name: str, content_type: str | None) -> DMatrix:
    xgboost = _package("xgboost")
    folder = _ROOT / "input" / "data" / name
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name[0] not in "._"
    )
    if not files:
        msg = f"Channel {name} holds no files"
        raise UserError(msg)
    kind = _media_type(content_type or "text/libsvm")
    if kind in ("text/libsvm", "text/x-libsvm"):
        return _read_libsvm(name, files)
    pandas = _package("pandas")
    if kind == "text/csv":
        frames = [_read_csv(path) for path in files]
    elif kind == "application/x-parquet":
        frames = [pandas.read_parquet(path) for path in files]
    else:
        msg = (
            f"Content type {content_type} of channel {name} is not supported: use text/csv, "
            "text/libsvm or application/x-parquet"
        )
        raise UserError(msg)
    for frame in frames:
        frame.columns = range(frame.shape[1])
    values = _numbers(pandas.concat(frames, ignore_index=True), f"channel {name}")
    if values.shape[1] < 2:
        msg = f"Channel {name} has {values.shape[1]} column: label first, then features"
        raise UserError(msg)
    return xgboost.DMatrix(values[:, 1:], label=values[:, 0])


def _read_csv(path: Path) -> Any:
    pandas = _package("pandas")
    try:
        return pandas.read_csv(path, header=None, low_memory=False)
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        msg = f"{path.name} is not CSV: {error}"
        raise UserError(msg) from error


def _numbers(frame: Any, what: str) -> np.ndarray:
    try:
        return frame.to_numpy(dtype="float32")
    except ValueError as error:
        msg = f"{what} must be numbers only, without a header line, label first: {error}"
        raise UserError(msg) from error


def _read_libsvm(name: str, files: list[Path]) -> DMatrix:
    labels: list[float] = []
    rows: list[dict[int, float]] = []
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                labels.append(float(line.split(None, 1)[0]))
                rows.append(_libsvm_record(line))
            except (ValueError, UserError) as error:
                where = f"channel {name}, {path.name} line {number}"
                msg = f"{where} is not libsvm ({error}); is it text/csv?"
                raise UserError(msg) from error
    width = 1 + max((index for row in rows for index in row), default=0)
    return _package("xgboost").DMatrix(_dense(rows, width), label=labels)


def _libsvm_record(line: str) -> dict[int, float]:
    record: dict[int, float] = {}
    for position, word in enumerate(line.split("#", 1)[0].split()):
        index, colon, value = word.partition(":")
        if colon:
            record[int(index)] = float(value)
        elif position > 0:
            msg = f"{word!r} is not index:value"
            raise UserError(msg)
    return record


def _dense(data: np.ndarray | list[dict[int, float]], width: int) -> Any:
    """Rows as XGBoost takes them; what a libsvm row does not name is missing, not zero."""
    if not isinstance(data, list):
        return data
    columns = [column for row in data for column in row]
    width = max([width, *(column + 1 for column in columns)])
    values = [value for row in data for value in row.values()]
    starts = [0]
    for row in data:
        starts.append(starts[-1] + len(row))
    return _package("scipy.sparse").csr_matrix((values, columns, starts), shape=(len(data), width))


def _fit(parameters: dict[str, Any], data: list[tuple[DMatrix, str]]) -> Booster:
    xgboost = _package("xgboost")
    rounds = parameters.pop("num_round")
    patience = parameters.pop("early_stopping_rounds", None)
    wanted = [name for name in parameters.pop("eval_metric", "").split(",") if name.strip()]
    tuned = parameters.pop("_tuning_objective_metric", "").partition(":")[2]
    wanted += [tuned] if tuned and tuned not in wanted else []
    own = [name for name in wanted if name in _OWN_METRICS]
    parameters["eval_metric"] = [name for name in wanted if name not in _OWN_METRICS]
    parameters["disable_default_eval_metric"] = bool(own) and not parameters["eval_metric"]

    class Report(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Booster, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            words = [
                f"{channel}-{metric}:{values[-1]:.5f}"
                for channel, metrics in evals_log.items()
                for metric, values in metrics.items()
            ]
            # `#011` is the tab of the algorithm's lines, as CloudWatch shows it.
            sys.stdout.write("#011".join([f"[{epoch}]", *words]) + "\n")
            sys.stdout.flush()
            return False

    try:
        return xgboost.train(
            parameters,
            data[0][0],
            num_boost_round=rounds,
            evals=data,
            early_stopping_rounds=patience,
            custom_metric=_own_metrics(own) if own else None,
            callbacks=[Report()],
            verbose_eval=False,
        )
    except (xgboost.core.XGBoostError, ValueError) as error:
        traceback.print_exc()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(lines[0] if lines else repr(error)) from error


def _own_metrics(
    names: list[str],
) -> Callable[[np.ndarray, DMatrix], list[tuple[str, float]]]:
    metrics = _package("sklearn.metrics")

    def evaluate(scores: np.ndarray, data: DMatrix) -> list[tuple[str, float]]:
        classes = scores.argmax(axis=1) if scores.ndim > 1 else scores
        if scores.ndim == 1 and ((scores >= 0) & (scores <= 1)).all():
            classes = (scores > 0.5).astype(int)
        found: list[tuple[str, float]] = []
        for name in names:
            function, options = _OWN_METRICS[name]
            predicted = scores if name in _REGRESSION else classes
            found.append((name, getattr(metrics, function)(data.get_label(), predicted, **options)))
        return found

    return evaluate


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _package(name: str) -> Any:
    """Import what the algorithm stands on; untyped, or too large to be imported for nothing."""
    # XGBoost imports scikit-learn where it is, for classes that are not used here; it takes longer
    # than all the rest together. https://github.com/dmlc/xgboost, python-package/xgboost/compat.py
    is_hidden = name == "xgboost" and "sklearn" not in sys.modules
    if is_hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment] # as Python's own rule has it
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        msg = f"The built-in XGBoost needs the package {package}: install {_EXTRA}"
        raise UserError(msg) from error
    finally:
        if is_hidden:
            del sys.modules["sklearn"]


def main() -> int:
    """Train; what the user can mend goes to /opt/ml/output/failure."""
    sys.path.pop(0)  # this folder, in which `import xgboost` would find this very file
    try:
        train()
    except UserError as error:
        (_ROOT / "output" / "failure").write_text(str(error), encoding="utf-8")
        sys.stderr.write(f"UserError: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
