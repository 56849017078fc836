"""A BERT-like text encoder, the size of MiniLM-L6.

**Source:** Devlin et al., "BERT", arXiv:1810.04805, section 3, in the size of Wang et al.,
"MiniLM", arXiv:2002.10957 (6 layers, 384 channels, 12 heads). The sentence vector is the mean
over the tokens, as in Reimers and Gurevych, "Sentence-BERT", arXiv:1908.10084. Differs: no
segment embedding, since all text is one segment.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bench.models.weights import seeded
from bench.samples import SENTENCE, VOCABULARY


class Layer(nn.Module):
    """Masked self-attention, then a two-layer perceptron, each normalised after the sum."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        q, k, v = (self._split(part(x)) for part in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.mlp(x))


class TextEncoder(nn.Module):
    """Token ids and a 0/1 mask ``(batch, 128)``, int64, to sentence vectors ``(batch, 384)``."""

    def __init__(self, width: int = 384, depth: int = 6, heads: int = 12) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Embedding(SENTENCE, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=0.02)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.words(input_ids) + self.positions.weight)
        keep = attention_mask.to(x.dtype)
        bias = (1.0 - keep)[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        weights = keep.unsqueeze(-1)
        return (x * weights).sum(1) / weights.sum(1)


def text_encoder(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The text encoder (22.4 M parameters, of which 11.7 M are word vectors)."""
    ids = torch.zeros(1, SENTENCE, dtype=torch.int64)
    return seeded(TextEncoder, seed), (ids, torch.ones_like(ids))
