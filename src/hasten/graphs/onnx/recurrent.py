"""RNN, GRU and LSTM: by PyTorch's own cells where they compute the same, else step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.onnx import Call, operator

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
ORDER = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}
"""PyTorch's order of the gates among ONNX's: i o f c against i f g o, and z r h against r z n."""


@operator("LSTM", "GRU", "RNN", weights=(1, 2, 3))
def recurrent(call: Call, x: Tensor, w: Tensor, r: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    bias, lengths, first, cell, peepholes = (*rest, *[None] * 5)[:5]
    if call.get("layout", 0):
        x = x.transpose(0, 1)
        first = first.transpose(0, 1) if first is not None else None
        cell = cell.transpose(0, 1) if cell is not None else None
    sides, width = r.shape[0], r.shape[2]
    start = x.new_zeros([sides, x.shape[1], width])
    first = start if first is None else first
    cell = start if cell is None and call.kind == "LSTM" else cell
    if lengths is None and peepholes is None and _as_pytorch(call, sides, bias):
        found = _by_pytorch(call, x, w, r, bias, first, cell)
    else:
        found = _by_steps(call, x, w, r, bias, lengths, first, cell, peepholes)
    return _laid_out(call, found)


def _laid_out(call: Call, found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """``(steps, sides, batch, width)`` and the last states, batch first where that is asked for."""
    if not call.get("layout", 0):
        return found
    steps, *states = found
    return (steps.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in states))


def _as_pytorch(call: Call, sides: int, bias: Tensor | None) -> bool:
    """Whether PyTorch's cell of that kind is the one that is asked for."""
    usual = call.get("activations", USUAL[call.kind] * sides) == USUAL[call.kind] * sides
    plain = not call.get("clip") and not call.get("input_forget", 0)
    plain = plain and not call.get("activation_alpha") and not call.get("activation_beta")
    known = call.get("direction", "forward") in ("forward", "bidirectional")
    apart = call.kind != "GRU" or call.get("linear_before_reset", 0)
    return bool(usual and plain and known and apart)


def _by_pytorch(
    call: Call, x: Tensor, w: Tensor, r: Tensor, bias: Any, first: Tensor, cell: Any
) -> tuple[Tensor, ...]:
    width, sides = r.shape[2], r.shape[0]
    flat: list[Tensor] = []
    for side in range(sides):
        flat += [_sorted(call, w[side], width), _sorted(call, r[side], width)]
        if bias is not None:
            both = bias[side].chunk(2)
            flat += [_sorted(call, both[0], width), _sorted(call, both[1], width)]
    settings = (flat, bias is not None, 1, 0.0, False, sides == 2, False)
    states: tuple[Tensor, ...]
    if call.kind == "LSTM":
        steps, *both_states = torch.lstm(x, [first, cell], *settings)
        states = tuple(both_states)
    else:
        cells: Any = torch.gru if call.kind == "GRU" else torch.rnn_tanh
        steps, last = cells(x, first, *settings)
        states = (last,)
    steps = steps.reshape([x.shape[0], x.shape[1], sides, width]).permute(0, 2, 1, 3)
    return (steps, *states)


def _sorted(call: Call, weight: Tensor, width: int) -> Tensor:
    """Gates in PyTorch's order."""
    gates = weight.split(width)
    return torch.cat([gates[n] for n in ORDER[call.kind]])


# --- step by step ---------------------------------------------------------------------------------

Activation = Callable[[Tensor], Tensor]


def _activation(call: Call, name: str, alpha: float | None, beta: float | None) -> Activation:
    plain: dict[str, Activation] = {
        "Relu": torch.relu,
        "Tanh": torch.tanh,
        "Sigmoid": torch.sigmoid,
        "Softsign": F.softsign,
        "Softplus": F.softplus,
    }
    if name in plain:
        return plain[name]
    a = {"HardSigmoid": 0.2, "LeakyRelu": 0.01}.get(name, 1.0) if alpha is None else alpha
    b = 0.5 if beta is None else beta
    shaped: dict[str, Activation] = {
        "Affine": lambda v: a * v + (0.0 if beta is None else b),
        "LeakyRelu": lambda v: F.leaky_relu(v, a),
        "ThresholdedRelu": lambda v: torch.where(v > a, v, torch.zeros_like(v)),
        "HardSigmoid": lambda v: torch.clamp(a * v + b, 0, 1),
        "Elu": lambda v: F.elu(v, a),
    }
    if name not in shaped:
        raise call.refuse(f"its activation is '{name}'")
    return shaped[name]


def _activations(call: Call, sides: int) -> list[list[Activation]]:
    """Per direction those of the gates."""
    names = call.get("activations", USUAL[call.kind] * sides)
    if call.get("activation_alpha") and len(call.get("activation_alpha")) != len(names):
        raise call.refuse("only some of its activations have an alpha")
    alphas = call.get("activation_alpha", [None] * len(names))
    betas = call.get("activation_beta", [None] * len(names))
    if len(betas) != len(names):
        raise call.refuse("only some of its activations have a beta")
    made = [_activation(call, *three) for three in zip(names, alphas, betas, strict=True)]
    each = len(names) // sides
    return [made[side * each : (side + 1) * each] for side in range(sides)]


def _by_steps(
    call: Call,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    bias: Any,
    lengths: Any,
    first: Tensor,
    cell: Any,
    peepholes: Any,
) -> tuple[Tensor, ...]:
    sides, width = r.shape[0], r.shape[2]
    direction = call.get("direction", "forward")
    gates = GATES[call.kind]
    bias = x.new_zeros([sides, 2 * gates * width]) if bias is None else bias
    outputs, lasts, cells = [], [], []
    for side, functions in enumerate(_activations(call, sides)):
        backwards = direction == "reverse" or side == 1
        state: tuple[Tensor, ...] = (first[side],)
        state += (cell[side],) if cell is not None else ()
        parts = w[side], r[side], bias[side], None if peepholes is None else peepholes[side]
        rows = range(x.shape[0])
        seen: dict[int, Tensor] = {}
        for n in reversed(rows) if backwards else rows:
            following = STEPS[call.kind](call, x[n], state, parts, functions)
            if lengths is not None:  # a sequence that has ended keeps its state, and gives zeros
                lives = (n < lengths)[:, None]
                following = tuple(
                    torch.where(lives, new, old) for new, old in zip(following, state, strict=True)
                )
                seen[n] = torch.where(lives, following[0], 0.0)
            else:
                seen[n] = following[0]
            state = following
        outputs.append(torch.stack([seen[n] for n in rows]))
        lasts.append(state[0])
        cells += state[1:]
    found: tuple[Tensor, ...] = (torch.stack(outputs, 1), torch.stack(lasts))
    return (*found, torch.stack(cells)) if cells else found


def _limited(call: Call, value: Tensor) -> Tensor:
    clip = call.get("clip")
    return value.clamp(-clip, clip) if clip else value


def _lstm(
    call: Call, x: Tensor, state: tuple[Tensor, ...], parts: Any, f: Sequence[Activation]
) -> tuple[Tensor, ...]:
    if call.get("clip"):
        raise call.refuse("it clips, which runtimes do at different places")
    (h, c), (w, r, bias, peepholes) = state, parts
    width = h.shape[-1]
    gates = x @ w.T + h @ r.T + bias[: 4 * width] + bias[4 * width :]
    i, o, forget, new = gates.split(width, -1)
    pi, po, pf = (0, 0, 0) if peepholes is None else peepholes.split(width)
    i = f[0](_limited(call, i + pi * c))
    forget = 1 - i if call.get("input_forget", 0) else f[0](_limited(call, forget + pf * c))
    c = forget * c + i * f[1](_limited(call, new))
    o = f[0](_limited(call, o + po * c))
    return o * f[2](c), c


def _gru(
    call: Call, x: Tensor, state: tuple[Tensor, ...], parts: Any, f: Sequence[Activation]
) -> tuple[Tensor, ...]:
    (h,), (w, r, bias, _) = state, parts
    width = h.shape[-1]
    wz, wr, wh = (x @ w.T + bias[: 3 * width]).split(width, -1)
    rz, rr, rh = r.split(width)
    bz, br, bh = bias[3 * width :].split(width)
    z = f[0](_limited(call, wz + h @ rz.T + bz))
    reset = f[0](_limited(call, wr + h @ rr.T + br))
    if call.get("linear_before_reset", 0):
        new = f[1](_limited(call, wh + reset * (h @ rh.T + bh)))
    else:
        new = f[1](_limited(call, wh + (reset * h) @ rh.T + bh))
    return ((1 - z) * new + z * h,)


def _rnn(
    call: Call, x: Tensor, state: tuple[Tensor, ...], parts: Any, f: Sequence[Activation]
) -> tuple[Tensor, ...]:
    (h,), (w, r, bias, _) = state, parts
    width = h.shape[-1]
    return (f[0](_limited(call, x @ w.T + h @ r.T + bias[:width] + bias[width:])),)


STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
