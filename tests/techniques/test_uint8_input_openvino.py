"""Normalisation folded into the graph equals normalising outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("openvino")

from hasten.errors import Unsupported
from hasten.plugin import engines, forms, techniques
from hasten.types import Model, Normalisation, Use, Workload
from openvino_zoo import cnn, feeds, transformer

FOLD = techniques.get("uint8_input_openvino")
ENGINE = engines.get("openvino")
NORMALISE = Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def declared() -> Model:
    model = cnn()
    return replace(model, spec=replace(model.spec, normalisation={"image": NORMALISE}))


def folded(model: Model) -> Model:
    return FOLD(model, {}, Use("uint8_input_openvino"))


def answer(model: Model, image: np.ndarray, precision: str = "f32") -> np.ndarray:
    workload = Workload(batch=len(image))
    with ENGINE(model, workload, Use.of("openvino", precision=precision)) as runner:
        return runner.run(runner.bind({"image": image}))["y"].copy()


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)


@pytest.mark.parametrize("batch", [1, 5])
def test_folding_equals_normalising_outside(stored: np.ndarray, batch: int) -> None:
    model, image = declared(), stored[:batch]
    np.testing.assert_allclose(
        answer(folded(model), image), answer(model, NORMALISE(image)), rtol=1e-5, atol=1e-6
    )


def test_it_works_on_a_quantised_model(stored: np.ndarray) -> None:
    pytest.importorskip("nncf")
    model = declared()
    calibration = {"image": NORMALISE(np.repeat(stored, 4, 0))}
    made = techniques.get("int8_openvino")(model, calibration, Use("int8_openvino"))
    wanted = answer(made, NORMALISE(stored))
    np.testing.assert_allclose(answer(folded(made), stored), wanted, atol=1e-3 * np.ptp(wanted))


def test_the_new_model_takes_bytes_under_the_same_name() -> None:
    model = declared()
    made = folded(model)
    assert [tensor.dtype for tensor in made.spec.inputs] == ["uint8"]
    assert made.spec.normalisation == model.spec.normalisation
    assert made.traits == model.traits | {"uint8-input"}
    port = made.handle.inputs[0]
    assert (port.any_name, port.element_type.to_string()) == ("image", "u8")
    assert model.handle.inputs[0].element_type.to_string() == "f32"


def test_layers_keep_their_names(stored: np.ndarray) -> None:
    model, form = declared(), forms.get("openvino")
    before = form.layers(model.handle, {"image": NORMALISE(stored)})
    after = form.layers(folded(model).handle, {"image": stored})
    assert list(before) == list(after)
    for name, wanted in before.items():
        np.testing.assert_allclose(after[name], wanted, rtol=1e-4, atol=1e-5)


def test_only_declared_inputs_change() -> None:
    model = transformer()
    scaled = Normalisation(0.5, (1.0,), (2.0,), axis=3)
    spec = replace(model.spec, normalisation={"mask": scaled})
    made = folded(replace(model, spec=spec))
    assert [tensor.dtype for tensor in made.spec.inputs] == ["int64", "uint8"]
    feed = feeds(model, 2)
    mask = np.random.default_rng(0).integers(0, 9, feed["mask"].shape, dtype=np.uint8)
    answers = []
    for each, given in ((model, scaled(mask)), (made, mask)):
        with ENGINE(each, Workload(batch=2), Use("openvino")) as runner:
            answers.append(runner.run(runner.bind({**feed, "mask": given}))["logits"].copy())
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-5)


def test_it_needs_a_declared_normalisation() -> None:
    with pytest.raises(Unsupported, match="declare no normalisation"):
        folded(cnn())


def test_it_is_not_done_twice() -> None:
    with pytest.raises(Unsupported, match="not for a model with uint8-input"):
        folded(folded(declared()))
