"""A saved Keras model learns in Keras' own layers, and is kept as Keras keeps it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch")

import foreign

if importlib.util.find_spec("keras") is None:  # to import it would choose its back end
    pytest.skip("needs keras", allow_module_level=True)

LEARNS = """
import copy, json
import numpy as np
import hasten

run = hasten.train("digits.keras", "digits", epochs=12, learning_rate=5e-3, plan=False, out="run")
other = copy.deepcopy(run.model)
other.load_state_dict(run.model.state_dict())  # generators have other names in a copy

import keras
kept = keras.models.load_model("run/model.keras")
data = hasten.data.load("run")

inside = keras.Sequential([keras.layers.Dense(16, activation="relu"),
                           keras.layers.Dense(1, activation="sigmoid")])
keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 16), keras.layers.Flatten(),
                  inside]).save("two.keras")
digits = hasten.data.load("digits")
(stored,) = digits.inputs.values()
few = (np.asarray(digits.labels) < 2).nonzero()[0]
channels_last = np.moveaxis(stored, 1, -1)[few].astype(np.float32)
two = hasten.train("two.keras", (channels_last, np.asarray(digits.labels)[few]), epochs=10,
                   learning_rate=1e-2, plan=False)
(pictures,) = data.inputs.values()
test = data.splits["test"]
samples = np.moveaxis(np.asarray(pictures[test], np.float32), 1, -1)
shares = kept.predict(samples, verbose=0)
print(json.dumps({
    "value": run.value,
    "kept": float((shares.argmax(1) == np.asarray(data.labels)[test]).mean()),
    "shares": float(shares.sum(1).mean()),
    "shape": list(pictures.shape),
    "two": two.value,
    "ends": two.model.model.layers[-1].layers[-1].activation.__name__,
}))
"""


def ran(*command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """In a process of its own: Keras keeps the back end that it was imported with."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("KERAS_BACKEND", None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr
    return done


def test_it_learns_and_is_saved_back(workplace: Path) -> None:
    shutil.copy(foreign.keras_files() / "digits.keras", "digits.keras")
    found = json.loads(ran(sys.executable, "-c", LEARNS).stdout.splitlines()[-1])
    assert found["value"] > 0.9
    assert found["kept"] == pytest.approx(found["value"])
    assert found["shares"] == pytest.approx(1.0, abs=1e-5)  # it still ends with a softmax
    assert found["shape"] == [1797, 1, 8, 8]
    assert found["two"] > 0.95  # one sigmoid tells two classes
    assert found["ends"] == "sigmoid"


@pytest.mark.slow
def test_a_run_of_a_keras_model_goes_on_and_is_optimised(workplace: Path) -> None:
    shutil.copy(foreign.keras_files() / "digits.keras", "digits.keras")
    hasten = str(Path(sys.executable).with_name("hasten"))
    asked = ("digits.keras", "--data", "digits", "--epochs", "3", "--no-plan", "-o", "run")
    found = json.loads(ran(hasten, "train", *asked, "--json").stdout)
    inspected = json.loads(ran(hasten, "inspect", "run", "--json").stdout)
    assert inspected["history"][0]["against"] == "Keras"
    ran(hasten, "optimize", "run", "--dry-run")
    again = json.loads(ran(hasten, "train", "--resume", "-o", "run", "--json").stdout)
    assert again["test"]["value"] == found["test"]["value"]

    shutil.copy(foreign.keras_files() / "attention.keras", "series.keras")
    refused = ran(hasten, "train", "series.keras", "--data", "digits", "-o", "b", code=2)
    assert "samples of shape [1, 8, 8]: it takes [6, 8]" in refused.stderr
    missing = ran(hasten, "train", "none.keras", "--data", "digits", "-o", "b", code=2)
    assert "there is no such file" in missing.stderr
