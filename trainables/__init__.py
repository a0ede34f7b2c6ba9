"""The worker: data, networks, the training loop, and the one function that Ray Tune calls."""
