"""The driver: one space file in, one registered model out. Read `search.run` first."""

from search import libraries

libraries.configure()  # before anything here imports Ray, MLflow or Optuna, which read it once
