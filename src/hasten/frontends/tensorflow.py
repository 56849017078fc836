"""TensorFlow models: SavedModel folders, frozen ``.pb`` graphs, live ``tf.function`` objects.

**Source:** TensorFlow 2.21 with tf2onnx 1.17, in a process of its own, give an ONNX graph that is
compared there with the model itself at two batch sizes: tf2onnx goes on after errors, and what it
then writes computes something else. Where TensorFlow is not installed OpenVINO reads the files: for
inference alone, and unverified.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hasten import plugin
from hasten.errors import BadInput, BadModel, HastenError
from hasten.frontends import _apart
from hasten.frontends._openvino import read as read_openvino
from hasten.frontends._tensorflow_graph import converted, opened, refuse_files
from hasten.frontends._torch_files import first_line
from hasten.plugin import Frontend, Source
from hasten.plugin.base import distribution
from hasten.plugin.checking import compared, computed, unverified
from hasten.types import Model

OPSET = 18
SAVED, FROZEN = "saved_model.pb", ".pb"
NEEDED = ("tensorflow>=2.16", "tf2onnx>=1.16", "onnxruntime>=1.17")
Run = Callable[..., list[Any]]


class TensorFlow(Frontend):
    """Gives a model in form ``"onnx"``, or ``"openvino"`` without TensorFlow."""

    requires = ("onnx>=1.17",)
    extra = "tensorflow"
    order = 26
    compared_with = "TensorFlow, where it is installed"

    def sniff(self, what: Any) -> bool:
        if isinstance(what, str | Path):
            path = Path(what)
            return (path / SAVED).is_file() or path.suffix.lower() == FROZEN
        loaded = sys.modules.get("tensorflow")
        return loaded is not None and (
            isinstance(what, loaded.Module) or hasattr(what, "get_concrete_function")
        )

    def describes(self, what: Any) -> bool:
        return isinstance(what, str | Path) or not hasattr(what, "get_concrete_function")

    def load(self, source: Source) -> Model:
        if not isinstance(source.what, str | Path):
            return self._live(source)
        if all(distribution(one) for one in NEEDED):
            return _apart.load(self.name, source)
        why = "TensorFlow is not installed, so nothing was compared with it"
        return unverified(read_openvino(source), self.name, why)

    def _live(self, source: Source) -> Model:
        """A function or module: saved, then loaded like a file."""
        import tensorflow

        with tempfile.TemporaryDirectory(prefix="hasten-tensorflow-") as folder:
            what = source.what
            if not isinstance(what, tensorflow.Module):
                holder = tensorflow.Module()
                holder.serve = what
                specs = [
                    tensorflow.TensorSpec(
                        [None if isinstance(one, str) else one for one in spec.shape], spec.dtype
                    )
                    for spec in source.examples
                ]
                if not specs and getattr(what, "input_signature", None) is None:
                    raise BadInput(
                        "Cannot tell the function's inputs. Give their shapes, such as "
                        "--shape x=batch,8, or the function an input_signature."
                    )
                concrete = what.get_concrete_function(*specs)
                tensorflow.saved_model.save(holder, folder, signatures=concrete)
            else:
                tensorflow.saved_model.save(what, folder)
            return _apart.load(self.name, replace(source, what=folder))

    def here(self, source: Source) -> Model:
        """The model, with TensorFlow in this process."""
        path = Path(str(source.what))
        if not source.trust:
            refuse_files(path)
        try:
            graph, inputs, outputs, run = opened(path, source)
        except HastenError:
            raise
        except Exception as error:
            raise BadModel(f"Cannot read model '{path}': {first_line(error)[:300]}.") from error
        proto = converted(graph, inputs, outputs)
        onnx: Any = plugin.frontends.get("onnx")
        model: Model = onnx.load(Source(proto, examples=source.examples))
        import tensorflow

        cases = computed(model.spec.inputs, run)
        return compared(model, self.name, f"TensorFlow {tensorflow.__version__}", cases)
