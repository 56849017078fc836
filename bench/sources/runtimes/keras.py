"""Keras on its first back end. **Source:** ``keras.Model.predict_on_batch``, which compiles."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"


def prepare(files, samples):
    import keras

    model = keras.models.load_model(files[0], compile=False)

    def run(arrays):
        found = model.predict_on_batch(
            list(arrays.values()) if len(arrays) > 1 else arrays[next(iter(arrays))]
        )
        return found if isinstance(found, list) else [found]

    return run
