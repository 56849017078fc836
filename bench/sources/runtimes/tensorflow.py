"""Frozen graphs in TensorFlow. **Source:** ``tf.compat.v1.wrap_function`` of TensorFlow 2."""

import numpy as np
import tensorflow as tf


def prepare(files, samples):
    named = [name.partition(":")[0] for name in samples]
    graph = tf.compat.v1.GraphDef()
    with open(files[0], "rb") as file:
        graph.ParseFromString(file.read())
    taken = {name.partition(":")[0] for node in graph.node for name in node.input}
    ends = [node.name for node in graph.node if node.name not in taken and node.op != "NoOp"]
    flags = [n.name for n in graph.node if n.op == "Placeholder" and n.name not in named]
    ends = [name for name in ends if name not in flags]
    whole = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
    inputs = [whole.graph.get_tensor_by_name(name + ":0") for name in (*named, *flags)]
    pruned = whole.prune(inputs, [whole.graph.get_tensor_by_name(name + ":0") for name in ends])
    fixed = [tf.zeros([], whole.graph.get_tensor_by_name(name + ":0").dtype) for name in flags]

    def run(arrays):
        return [np.asarray(one) for one in pruned(*map(tf.constant, arrays.values()), *fixed)]

    return run
