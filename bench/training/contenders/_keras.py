"""The same network in Keras, with ``fit`` as its documentation has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.training.contenders import Answers
from bench.training.rows import Job


def cnn(shape: tuple[int, ...], classes: int, widths: list[int], depth: int) -> Any:
    """The ``cnn`` recipe's network: ``hasten.nets.cnn`` layer by layer, channels last."""
    import keras

    layers = [keras.Input((*shape[1:], shape[0]))]

    def convolution(width: int) -> None:
        layers.append(
            keras.layers.Conv2D(
                width, 3, padding="same", use_bias=False, kernel_initializer="he_uniform"
            )
        )
        # Keras counts what stays of the running mean, PyTorch what is new: 0.9 is 0.1.
        layers.append(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
        layers.append(keras.layers.ReLU())

    convolution(widths[0])
    for width in widths[1:]:
        layers.append(keras.layers.MaxPooling2D())
        for _ in range(depth):
            convolution(width)
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes)]
    return keras.Sequential(layers)


def train(job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
    """``compile`` and ``fit`` with the recipe's optimiser and a schedule that rises and falls."""
    import keras

    from hasten import recipes

    keras.utils.set_random_seed(job.seed)
    numbers = job.numbers()
    x, y = job.part("train")
    scale, shift = (np.asarray(value, np.float32) for value in job.affine())

    def ready(stored: np.ndarray) -> np.ndarray:
        return np.moveaxis(stored.astype(np.float32) * scale + shift, 1, -1)

    options = recipes.named(job.row.recipe).options
    model = cnn(x.shape[1:], int(y.max()) + 1, options["widths"], options["depth"])
    steps = int(job.epochs) * (len(x) // numbers["batch"])
    rate = keras.optimizers.schedules.CosineDecay(
        numbers["learning_rate"] / 25,
        decay_steps=round(0.8 * steps),
        warmup_target=numbers["learning_rate"],
        warmup_steps=round(0.2 * steps),
    )
    model.compile(
        keras.optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=numbers["weight_decay"]
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def answer(stored: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(ready(stored), batch_size=512, verbose=0)).argmax(1)

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            job.begins()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if watch is not None:
                watch(epoch + 1, answer)

    model.fit(
        ready(x),
        y,
        batch_size=numbers["batch"],
        epochs=int(job.epochs),
        verbose=0,
        callbacks=[Watch()],
    )
    return answer
