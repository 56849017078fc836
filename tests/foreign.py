"""Small models of other frameworks, made by the frameworks themselves where these are installed.

Each maker writes into a folder and gives what ``Source`` takes. Keras needs its back end in the
environment before it is imported, so its files are made by a process of their own.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from caffe_files import caffemodel
from hasten.plugin import Source
from hasten.types import TensorSpec
from mxnet_files import params, symbol

KERAS = """
import sys
import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

def cnn():
    x = inputs = keras.Input((12, 12, 3), name="pictures")
    x = layers.Rescaling(1 / 64, offset=-1)(x)
    x = layers.Conv2D(8, 3, padding="same", strides=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Activation("swish")(x)
    x = layers.SeparableConv2D(12, 3, padding="same")(x)
    x = layers.MaxPooling2D()(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(x))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([np.abs(w) + 0.5 for w in layer.get_weights()])
    return model, rng.standard_normal((5, 12, 12, 3)).astype("float32")

def recurrent():
    inputs = keras.Input((7,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 8)(inputs)
    x = layers.LSTM(6, return_sequences=True)(x)
    x = layers.Bidirectional(layers.GRU(5))(x)
    return keras.Model(inputs, layers.Dense(3)(x)), rng.integers(0, 20, (5, 7)).astype("int32")

def attention():
    inputs = keras.Input((6, 8), name="x")
    x = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    x = layers.LayerNormalization()(x + inputs)
    x = layers.Dense(8, activation="gelu")(x)
    x = layers.Dense(2)(layers.Flatten()(x))
    return keras.Model(inputs, x), rng.standard_normal((5, 6, 8)).astype("float32")

def digits():
    model = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Rescaling(1 / 16), layers.Conv2D(16, 3, activation="relu"),
        layers.BatchNormalization(), layers.Dropout(0.1), layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ])
    return model, rng.integers(0, 17, (5, 8, 8, 1)).astype("float32")

def code():
    model = keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * 2)])
    return model, np.ones((2, 4), "float32")

for make in (cnn, recurrent, attention, digits, code):
    suffix = "h5" if make is recurrent else "keras"
    model, x = make()
    path = f"{sys.argv[1]}/{make.__name__}"
    model.save(f"{path}.{suffix}")
    np.savez(f"{path}.npz", x=x, y=np.asarray(model(x, training=False).detach()))
"""


@cache
def keras_files() -> Path:
    """Models saved by Keras, ``cnn.keras``, ``recurrent.h5``, ``attention.keras``,
    ``digits.keras``, ``code.keras``, each with an example (``cnn.npz``: ``x`` and ``y``)."""
    folder = Path(tempfile.mkdtemp(prefix="hasten-keras-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-c", KERAS, str(folder)],
        check=True,
        capture_output=True,
        env={**os.environ, "KERAS_BACKEND": "torch"},
    )
    return folder


def keras(folder: Path, name: str = "cnn.keras") -> Source:
    """A Keras model."""
    return Source(str(keras_files() / name))


TENSORFLOW = """
import sys
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

tf.random.set_seed(0)

class Net(tf.Module):
    def __init__(self):
        self.kernel = tf.Variable(tf.random.normal((3, 3, 3, 8)) * 0.2)
        self.weight = tf.Variable(tf.random.normal((8, 5)))

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.float32, name="x")])
    def __call__(self, x):
        y = tf.nn.gelu(tf.nn.conv2d(x, self.kernel, 2, "SAME"))
        return {"y": tf.nn.softmax(tf.reduce_mean(y, [1, 2]) @ self.weight)}

net, folder = Net(), sys.argv[1]
concrete = net.__call__.get_concrete_function()
tf.saved_model.save(net, f"{folder}/saved", signatures=concrete)
graph = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
with open(f"{folder}/frozen.pb", "wb") as file:
    file.write(graph.SerializeToString())
node = graph.node.add(name="written", op="WriteFile")
with open(f"{folder}/writes.pb", "wb") as file:
    file.write(graph.SerializeToString())
converter = tf.lite.TFLiteConverter.from_saved_model(f"{folder}/saved")
with open(f"{folder}/net.tflite", "wb") as file:
    file.write(converter.convert())
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: (
    [tf.random.normal((1, 16, 16, 3))] for _ in range(20)
)
with open(f"{folder}/int8.tflite", "wb") as file:
    file.write(converter.convert())
"""


def tensorflow(folder: Path) -> None:
    """``saved/``, ``frozen.pb``, ``writes.pb`` (which would write a file), ``net.tflite`` and
    ``int8.tflite``, of one network."""
    subprocess.run(
        [sys.executable, "-c", TENSORFLOW, str(folder)],
        check=True,
        capture_output=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )


JAX = """
import jax
import jax.numpy as jnp
import numpy as np

rng = np.random.default_rng(0)
first, second = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 8), (8, 3)))

def network(x):
    return jnp.tanh(x @ first) @ second

def make():
    return network, np.ones((2, 6), np.float32)

def bare():
    return network
"""


def jax(folder: Path) -> Source:
    """A function with its parameters bound."""
    (folder / "jax_net.py").write_text(JAX)
    return Source("jax:jax_net:make", paths=(str(folder),))


PYTENSOR = """
import numpy as np
import pytensor
import pytensor.tensor as pt

rng = np.random.default_rng(0)
first, second = (
    pytensor.shared(rng.standard_normal(shape).astype(np.float32)) for shape in ((6, 8), (8, 3))
)

def make():
    x = pt.matrix("x", dtype="float32")
    hidden = pt.tanh(x @ first)
    return [x], [pt.special.softmax(hidden @ second, axis=-1), hidden[:, 2:5].sum(axis=1)]

def loop():
    x = pt.tensor3("x", dtype="float32")
    w = pytensor.shared(np.eye(3, dtype=np.float32) * 0.5)
    states = pytensor.scan(
        lambda step, state: pt.tanh(step + state @ w),
        sequences=[x],
        outputs_info=[pt.zeros_like(x[0])],
        n_steps=4,
        return_updates=False,
    )
    return [x], [states[-1]]
"""


def pytensor(folder: Path) -> Source:
    """A graph with shared variables."""
    (folder / "pytensor_net.py").write_text(PYTENSOR)
    shape = TensorSpec("x", "float32", ("batch", 6))
    return Source("pytensor:pytensor_net:make", paths=(str(folder),), examples=(shape,))


def some(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


PROTOTXT = """
name: "small"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" lrn_param { local_size: 3 alpha: 0.1 } }
layer { name: "fc" type: "InnerProduct" bottom: "norm" top: "fc"
        inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


CAFFE_WEIGHTS = {
    "conv": [some(4, 3, 3, 3), some(4)],
    "bn": [some(4), np.abs(some(4)) + 0.5, np.array([1.0])],
    "scale": [some(4), some(4)],
    "fc": [some(5, 64), some(5)],
}


def caffe(folder: Path) -> Source:
    """A network with its weights."""
    (folder / "net.prototxt").write_text(PROTOTXT)
    (folder / "net.caffemodel").write_bytes(caffemodel(CAFFE_WEIGHTS))
    return Source(str(folder / "net.prototxt"))


MXNET_NODES: list[Any] = [
    ("null", "data", {}, []),
    ("null", "conv_weight", {}, []),
    ("null", "conv_bias", {}, []),
    ("Convolution", "conv", {"kernel": (3, 3), "num_filter": 4},
     ["data", "conv_weight", "conv_bias"]),
    ("Activation", "act", {"act_type": "relu"}, ["conv"]),
    ("Pooling", "pool", {"kernel": (1, 1), "global_pool": True, "pool_type": "avg"}, ["act"]),
    ("null", "fc_weight", {}, []),
    ("null", "fc_bias", {}, []),
    ("FullyConnected", "fc", {"num_hidden": 3}, ["pool", "fc_weight", "fc_bias"]),
]  # fmt: skip
MXNET_ARRAYS = {
    "arg:conv_weight": some(4, 3, 3, 3),
    "arg:conv_bias": some(4),
    "arg:fc_weight": some(3, 4),
    "arg:fc_bias": some(3),
}


def mxnet(folder: Path) -> Source:
    """A Gluon export."""
    (folder / "net-symbol.json").write_text(symbol(MXNET_NODES))
    (folder / "net-0000.params").write_bytes(params(MXNET_ARRAYS))
    shape = TensorSpec("data", "float32", ("batch", 3, 8, 8))
    return Source(str(folder / "net-symbol.json"), examples=(shape,))


def torchscript(folder: Path) -> Source:
    """A scripted module."""
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    )
    torch.jit.script(module.eval()).save(str(folder / "net.pt"))
    shape = TensorSpec("input", "float32", ("batch", 3, 8, 8))
    return Source(str(folder / "net.pt"), trust=True, examples=(shape,))


MAKERS: dict[str, Callable[[Path], Source]] = {
    "caffe": caffe,
    "jax": jax,
    "mxnet": mxnet,
    "pytensor": pytensor,
    "torchscript": torchscript,
}
NEEDED = {
    "jax": "jax2onnx",
    "pytensor": "pytensor",
}
"""The package that makes and reads a source, where it is not PyTorch alone."""
