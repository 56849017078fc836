"""ViT-tiny with patches of 16 pixels.

**Source:** Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929, section 3.1;
the tiny size (192 channels, 3 heads) is that of Touvron et al., "DeiT", arXiv:2012.12877, table 1.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bench.models.weights import seeded


class Attention(nn.Module):
    """Self-attention with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each normalised first and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Pictures ``(batch, 3, 224, 224)`` to logits ``(batch, 1000)``."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 14 * 14 + 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 1000)
        nn.init.normal_(self.class_token, std=0.02)
        nn.init.normal_(self.positions, std=0.02)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        classes = self.class_token.expand(tokens.shape[0], -1, -1)
        x = torch.cat([classes, tokens], dim=1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


def vit_tiny(seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """ViT-tiny/16 (5.7 M parameters, 1.3 G multiply-adds)."""
    module = seeded(lambda: VisionTransformer(192, 12, 3), seed)
    return module, (torch.zeros(1, 3, 224, 224),)
