"""From a folder of images that nobody has seen to an answer of the served model, in three commands; `-s` prints their seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.conftest import free_port
from tests.test_run import ask
from trainables.data import load_image

ROOT = Path(__file__).parent.parent
SHAPES = {"ring": "ellipse", "box": "rectangle"}


def picture(shape: str, generator: np.random.Generator) -> Image.Image:
    """Return a colour image of 40x32 with one outline somewhere on noise."""
    image = Image.fromarray(generator.integers(0, 90, (32, 40, 3), np.uint8))
    x, y, side = (int(generator.integers(low, high)) for low, high in ((1, 18), (1, 12), (14, 19)))
    getattr(ImageDraw.Draw(image), SHAPES[shape])([x, y, x + side, y + side], outline=(230, 220, 200), width=3)
    return image


@pytest.mark.slow
def test_three_commands_from_a_folder_to_a_served_model(tmp_path):
    generator = np.random.default_rng(0)
    for shape in SHAPES:
        (tmp_path / "gaskets" / shape).mkdir(parents=True)
        for number in range(100):
            picture(shape, generator).save(tmp_path / "gaskets" / shape / f"{number:03}.jpg", quality=90)
    store = f"sqlite:///{tmp_path / 'results' / 'mlflow.db'}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": store, "MLFLOW_REGISTRY_URI": store,
                   "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

    def timed(*command: str) -> str:
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        print(f"{time.monotonic() - began:6.1f} s  {' '.join(command)}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    timed("search", "init", "gaskets")
    outcome = json.loads(timed("search", "run", "gaskets.yaml", "--trials", "6", "--minutes", "30", "--json"))
    assert outcome["test"] > 0.8 and outcome["registered"] == "models:/gaskets@champion"

    port, began = free_port(), time.monotonic()
    serve = ["mlflow", "models", "serve", "-m", outcome["registered"], "--env-manager", "local", "--port", str(port)]
    with subprocess.Popen([sys.executable, "-m", *serve], env=environment, start_new_session=True, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as server:
        try:
            picture("ring", np.random.default_rng(77)).save(tmp_path / "new.jpg")
            pixels, _ = load_image(tmp_path / "new.jpg", outcome["config"]["image_size"], 3)
            body = json.dumps({"inputs": (pixels[None] / np.float32(255)).tolist()}).encode()
            [answer] = ask(server, f"http://127.0.0.1:{port}/invocations", body)["predictions"]
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    print(f"{time.monotonic() - began:6.1f} s  {' '.join(serve)}, and its first answer")
    assert ["box", "ring"][int(np.argmax(answer))] == "ring"
