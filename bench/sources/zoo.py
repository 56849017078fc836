"""MXNet's networks with random weights, exported by MXNet itself in an environment of its own.

MXNet 1.9.1 is its last release; it needs NumPy 1.23, so it cannot live beside the rest.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hasten.errors import BadInput
from hasten.search.store import cache_folder

PACKAGES = ("mxnet==1.9.1", "numpy==1.23.5")
EXPORT = """
import sys
import numpy as np
np.bool = np.bool_
import mxnet as mx
from mxnet.gluon import nn, rnn
from mxnet.gluon.model_zoo import vision

folder = sys.argv[1]
mx.random.seed(0)
np.random.seed(0)

def export(name, network, shape):
    network.initialize(mx.init.Xavier())
    network.hybridize()
    network(mx.nd.random.uniform(shape=shape))
    network.export(folder + "/" + name)

cnn = nn.HybridSequential()
cnn.add(nn.Conv2D(32, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"), nn.MaxPool2D(),
        nn.Conv2D(64, 3, padding=1), nn.BatchNorm(), nn.LeakyReLU(0.1), nn.GlobalAvgPool2D(),
        nn.Dense(10))
export("cnn", cnn, (1, 3, 32, 32))

class Sequences(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.cells = rnn.LSTM(64, bidirectional=True, layout="NTC")
        self.head = nn.Dense(10)
    def hybrid_forward(self, F, x):
        return self.head(F.slice_axis(self.cells(x), axis=1, begin=-1, end=None))

export("bilstm", Sequences(), (1, 32, 64))
export("resnet18", vision.resnet18_v1(), (1, 3, 224, 224))
export("mobilenetv2", vision.mobilenet_v2_1_0(), (1, 3, 224, 224))
export("squeezenet", vision.squeezenet1_1(), (1, 3, 224, 224))

data = mx.sym.Variable("data")
net = mx.sym.FullyConnected(mx.sym.Flatten(data), num_hidden=128, name="fc1")
net = mx.sym.FullyConnected(mx.sym.Activation(net, act_type="relu"), num_hidden=10, name="fc2")
module = mx.mod.Module(mx.sym.softmax(net, name="out"), label_names=None)
module.bind(data_shapes=[("data", (1, 1, 28, 28))], for_training=False)
module.init_params(mx.init.Xavier())
module.save_checkpoint(folder + "/mlp", 0)
"""


def python() -> Path:
    """An interpreter that has MXNet; made with pip where it is not there yet. Its NumPy has no
    packages for Python 3.12 and later."""
    folder = cache_folder() / "environments" / "mxnet"
    found = folder / "bin" / "python"
    if not (folder / "ready").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], "make an environment")
        _run([str(found), "-m", "pip", "install", "--quiet", *PACKAGES], "install MXNet")
        (folder / "ready").touch()
    return found


def path(name: str) -> Path:
    """One of the exported files."""
    folder = cache_folder() / "assets" / "mxnet"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run([str(python()), "-c", EXPORT, str(folder)], "export MXNet's networks")
    return folder / name


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BadInput(f"Cannot {what} with {Path(sys.executable).name}: {said[-1][:300]}.")
