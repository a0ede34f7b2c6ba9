"""What Ray, MLflow and Optuna are told before they are imported: no telemetry, no chatter, no needless writing."""

from __future__ import annotations

import os

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of the space file stay what they are
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the CSV, JSON and TensorBoard writers
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a report without the metric ends that trial, not the search
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `search.interrupt` owns the signals
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Ray's own snapshots are not what a search is resumed from
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it prints the password that stands in the URL
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


def configure() -> None:
    """Set each environment variable of `SETTINGS` that the user has not set."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
