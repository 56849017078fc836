"""Small PyTorch models for tests, and factories that name them as a user would."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Skip(nn.Module):
    """Two convolutions with BatchNorm around a skip connection, and a classifier."""

    def __init__(self, width: int = 8, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, groups=2), nn.Hardswish(), nn.Conv2d(width, width, 1)
        )
        self.head = nn.Linear(width, classes)
        nn.init.uniform_(self.norm.running_mean, -1, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(image)))
        x = torch.relu(x + self.body(x))
        return self.head(x.mean((2, 3)))


class Reader(nn.Module):
    """Embedding, two-layer LSTM both ways, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 24, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.embed(tokens))[0][:, -1])


class Encoder(nn.Module):
    """One transformer layer over integer tokens and a mask; a dictionary out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.norm, self.qkv = nn.LayerNorm(32), nn.Linear(32, 96)
        self.mix, self.head = nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.embed(tokens)
        n, length, _ = x.shape
        parts = self.qkv(self.norm(x)).reshape(n, length, 3, 4, 8).permute(2, 0, 3, 1, 4)
        seen = (mask == 1)[:, None, None, :] | torch.eye(length, dtype=torch.bool)
        y = functional.scaled_dot_product_attention(*parts, attn_mask=seen)
        x = x + functional.gelu(self.mix(y.transpose(1, 2).reshape(n, length, 32)))
        return {"logits": self.head(x.mean(1)), "states": x}


class Handmade(nn.Module):
    """Attention written out as products and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(x).chunk(3, -1)
        return (query @ key.transpose(1, 2) * 8**-0.5).softmax(-1) @ value


class Pair(NamedTuple):
    mean: torch.Tensor
    spread: torch.Tensor


class TwoInputs(nn.Module):
    """Two inputs and an option; a named tuple out, one of its tensors an integer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 3), nn.Linear(4, 3)
        self.register_buffer("shift", torch.arange(3.0), persistent=False)
        self.right.bias = self.left.bias  # shared

    def forward(self, a: torch.Tensor, scale: float = 2.0, *, b: torch.Tensor) -> Pair:
        total = self.left(a) * scale + self.right(b) + self.shift
        return Pair(total, total.argmax(1))


class Mixed(nn.Module):
    """Returns more than tensors."""

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        return {"twice": x * 2, "steps": 3, "parts": [x + 1, None, {"last": x - 1}]}


class Branches(nn.Module):
    """Control flow that export keeps, and complex and boolean constants."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turn", torch.polar(torch.ones(4), torch.arange(4.0)))
        self.register_buffer("keep", torch.tensor([True, False, True, True]))
        self.register_buffer("wide", torch.ones(4, dtype=torch.complex128))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.view_as_real(x.to(torch.complex64) * self.turn * self.wide).sum(-1).float()
        y = torch.cond(y.new_ones(()) > 0, lambda t: t + 1, lambda t: t * 2, (y,))
        return torch.where(self.keep, y, torch.full_like(y, float("-inf"))).clamp(min=-9)


class Centred(nn.Module):
    """Its samples see each other, so the batch cannot be free."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0, keepdim=True)


class FixedBatch(nn.Module):
    """Works with the batch it was written for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(4, 3, 2).sum(2)


class DataDependent(nn.Module):
    """Python control flow over values, which ``torch.export`` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.head(x)
        return y * 2 if float(y[0, 0]) > 1e9 else y


def skip() -> nn.Module:
    torch.manual_seed(0)
    return Skip()


def skip_with_examples() -> tuple[nn.Module, torch.Tensor]:
    return skip(), torch.randn(1, 3, 16, 16)


def failing() -> nn.Module:
    raise RuntimeError("no such width")


def words() -> str:
    return "not a module"


instance = Skip()


def cases() -> dict[str, tuple[nn.Module, Any]]:
    """Every model that can be saved, with example inputs."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 50, (2, 7))
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
    return {
        "skip": (Skip(), torch.randn(2, 3, 16, 16)),
        "reader": (Reader(), tokens),
        "encoder": (Encoder(), {"mask": mask, "tokens": tokens}),
        "handmade": (Handmade(), torch.randn(2, 5, 8)),
        "two inputs": (TwoInputs(), {"b": torch.randn(2, 4), "a": torch.randn(2, 6)}),
        "mixed": (Mixed(), torch.randn(2, 3)),
        "branches": (Branches(), torch.randn(2, 4)),
    }
