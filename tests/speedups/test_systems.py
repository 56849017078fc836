"""Speed-ups of the system: what they choose from, and what they leave as it was."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten import plugin  # noqa: E402
from hasten.errors import Unsupported  # noqa: E402
from hasten.plugin import Setup  # noqa: E402
from hasten.training import losses, optimizers  # noqa: E402
from hasten.training.loop import Trainer  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402

TARGET = {"isa": ["avx512_bf16"]}


def samples() -> Samples:
    x = np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
    return Samples((x,), (None,), (x[:, 0] > 0).astype(np.int64), np.arange(64))


def setup(**changed: Any) -> Setup:
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "module": torch.nn.Sequential(
            torch.nn.Linear(6, 16, bias=False),
            torch.nn.BatchNorm1d(16),
            torch.nn.ReLU(),
            torch.nn.Linear(16, 2),
        ),
        "loss": losses.cross_entropy(),
        "optimizer": optimizers.optimizer("sgd", 0.1),
        "schedule": optimizers.constant,
        "epochs": 4,
        "batch": 16,
        "feed": "resident",
        **changed,
    }
    return Setup(**given)


def used(name: str, made: Setup, **options: Any) -> Setup:
    return plugin.speedups.get(name)(made, TARGET, options)


def spaces(name: str, made: Setup, **target: Any) -> list[dict[str, Any]]:
    space = plugin.speedups.get(name).space(made, {**TARGET, **target})
    return [dict(options) for options in space]


# --- threads --------------------------------------------------------------------------------------


def test_fewer_threads_are_chosen_from() -> None:
    assert spaces("fewer_threads", setup(threads=8)) == [{"count": 4}, {"count": 2}, {"count": 1}]
    assert spaces("fewer_threads", setup(threads=1)) == []


def test_threads_of_the_user_are_left_alone() -> None:
    with pytest.raises(Unsupported, match="2 threads were asked for"):
        used("fewer_threads", setup(threads=2, fixed=frozenset({"threads"})))


# --- kept_memory ----------------------------------------------------------------------------------


FAULTS = """
import resource
import torch
from hasten.speedups.kept_memory import kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.empty(96 << 20, dtype=torch.uint8).fill_(1)  # glibc maps as much anew each time
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
with kept():
    # Python's own small objects may nibble at a freed block, so that the next one is fetched anew.
    print(min(faults() for _ in range(6)))
print(faults())
"""


def test_memory_is_kept_between_steps_and_given_back_at_the_end() -> None:
    assert used("kept_memory", setup()).states
    # In a process of its own: where a thread once ran out of memory, glibc maps for it ever after.
    told = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    ).stdout
    before, held, after = map(int, told.split())
    assert before > 1000
    assert held < before / 10
    assert after > 0.5 * before


def test_a_gpu_keeps_its_memory_by_itself() -> None:
    with pytest.raises(Unsupported, match="keeps a GPU's memory by itself"):
        used("kept_memory", setup(device="cuda"))


# --- batch_size -----------------------------------------------------------------------------------


def test_batches_are_tried_while_enough_steps_are_left() -> None:
    many = setup(batch=64, samples=50_000, epochs=8)
    assert spaces("batch_size", many) == [{"factor": 0.5}, {"factor": 2.0}]
    assert spaces("batch_size", many, kind="gpu")[2:] == [{"factor": 4.0}]
    assert spaces("batch_size", setup(batch=256, samples=5_200, epochs=8)) == [{"factor": 0.5}]
    assert spaces("batch_size", setup(batch=256, samples=1_000, epochs=8)) == []


def test_the_batch_of_the_user_is_left_alone() -> None:
    with pytest.raises(Unsupported, match="a batch of 16 was asked for"):
        used("batch_size", setup(fixed=frozenset({"batch"})))


@pytest.mark.parametrize(("name", "times"), [("sgd", 4.0), ("adam", 2.0), ("adamw", 2.0)])
def test_the_learning_rate_goes_with_the_batch(name: str, times: float) -> None:
    made = used("batch_size", setup(optimizer=optimizers.optimizer(name, 0.1)), factor=4.0)
    assert made.batch == 64
    rates = {group["lr"] for group in made.optimizer(made.module).param_groups}
    assert rates == {0.1 * times}


# --- optimisers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fused_optimizer", "foreach_optimizer"])
def test_what_cannot_be_fused_says_so(name: str) -> None:
    made = replace(used(name, setup()), optimizer=used(name, used("muon", setup())).optimizer)
    with pytest.raises(Unsupported, match=r"MuonAndOthers has no"):
        made.optimizer(made.module)


@pytest.mark.parametrize("rule", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("names", [("fused_optimizer",), ("fused_optimizer", "foreach_optimizer")])
def test_other_forms_of_an_optimizer_compute_the_same(rule: str, names: tuple[str, ...]) -> None:
    plain = fast = setup(optimizer=optimizers.optimizer(rule, 0.05, weight_decay=0.1))
    for name in names:
        fast = used(name, fast)
    one, two = (Trainer(made, samples(), 0) for made in (plain, fast))
    for trainer in (one, two):
        for _ in trainer.epoch():
            pass
    group = two.optimizer.param_groups[0]
    assert group[names[-1].partition("_")[0]] is True
    for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


# --- bf16_weights ---------------------------------------------------------------------------------


def test_normalisations_and_masters_stay_in_float32() -> None:
    trainer = Trainer(used("bf16_weights", setup()), samples(), 0)
    kinds = {name: value.dtype for name, value in trainer.module.named_parameters()}
    assert kinds["0.weight"] == kinds["3.bias"] == torch.bfloat16
    assert kinds["1.weight"] == torch.float32
    next(trainer.epoch())
    state = trainer.state()[0]
    masters = [value for name, value in state.items() if name.endswith("/master")]
    assert {value.dtype for value in masters} == {torch.float32}
    buffers = [v for name, v in state.items() if "momentum_buffer" in name]
    assert {value.dtype for value in buffers} == {torch.float32}


def test_steps_too_small_for_bfloat16_are_not_lost() -> None:
    """One step of 2**-12 of a weight is rounded away; 64 of them are not."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    made = setup(
        module=layer,
        loss=lambda outputs, targets: -outputs.float().mean(),
        optimizer=lambda module: torch.optim.SGD(module.parameters(), lr=2**-12),
        epochs=16,
    )
    ones = Samples((np.ones((64, 1), np.float32),), (None,), np.zeros(64, np.int64), np.arange(64))
    trainer = Trainer(used("bf16_weights", made), ones, 0)
    for _ in trainer.epoch():
        pass
    assert trainer.module.weight.item() == 1.0
    while trainer.done < trainer.total:
        for _ in trainer.epoch():
            pass
    assert trainer.module.weight.item() == 1 + 64 * 2**-12


# --- gradient_checkpointing -----------------------------------------------------------------------


def test_fewer_activations_are_kept() -> None:
    layers = [part for _ in range(8) for part in (torch.nn.Linear(6, 6), torch.nn.Sigmoid())]
    deep = torch.nn.Sequential(*layers, torch.nn.Linear(6, 2))
    kept = []
    for made in (setup(module=deep), used("gradient_checkpointing", setup(module=deep))):
        trainer, seen = Trainer(made, samples(), 0), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=seen: (s.append(t), t)[1], id):
            trainer.module(samples().batch(np.arange(16))[0][0])
        kept.append(len(seen))
    assert kept[1] < 0.6 * kept[0]


def test_what_has_no_chain_cannot_be_recomputed() -> None:
    with pytest.raises(Unsupported, match="no chain of layers"):
        used("gradient_checkpointing", setup(module=torch.nn.Linear(6, 2)))
    with pytest.raises(Unsupported, match="in use already"):
        used("gradient_checkpointing", used("gradient_checkpointing", setup()))


def test_a_list_of_blocks_is_recomputed_block_by_block() -> None:
    class Blocks(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = torch.nn.ModuleList(torch.nn.Linear(6, 6) for _ in range(3))
            self.head = torch.nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                x = torch.relu(block(x))
            return self.head(x)

    torch.manual_seed(0)
    plain = setup(module=Blocks())
    one, two = (
        Trainer(plain, samples(), 0),
        Trainer(used("gradient_checkpointing", plain), samples(), 0),
    )
    for trainer in (one, two):
        for _ in trainer.epoch():
            pass
    for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True):
        assert torch.equal(a, b)
