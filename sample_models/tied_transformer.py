"""A small decoder-only transformer whose output head is its token embedding.

``head.weight`` and ``embed.weight`` are one parameter, as in most language models: 2,048 numbers that
are listed twice and stored once. Each block has its attention and its feed-forward part; the causal
mask is a buffer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

TEACHES = "a transformer: attention, a buffer, tied embeddings"

VOCABULARY = 64
WIDTH = 32
HEADS = 4
LAYERS = 2
CONTEXT = 16


class Attention(nn.Module):
    """Causal self-attention with four heads."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, WIDTH, bias=False)  # weight [32, 32]
        self.k_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.v_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.o_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        # True where a token must not look: ahead of itself.
        self.register_buffer("mask", torch.ones(CONTEXT, CONTEXT).triu(1).bool())  # [16, 16]

    def forward(self, x: Tensor) -> Tensor:
        """Mixes what tokens know of those before them."""
        batch, length, _ = x.shape  # [batch, length, 32]

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, HEADS, -1).transpose(1, 2)  # [batch, 4, length, 8]

        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)  # [batch, 4, length, length]
        scores = scores.masked_fill(self.mask[:length, :length], -torch.inf)
        mixed = scores.softmax(-1) @ v  # [batch, 4, length, 8]
        mixed = mixed.transpose(1, 2).reshape(batch, length, WIDTH)  # [batch, length, 32]
        out: Tensor = self.o_proj(mixed)
        return out


class Block(nn.Module):
    """Attention, then a feed-forward network, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)  # weight [32], bias [32]
        self.attention = Attention()
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH),  # [.., 32] -> [.., 128]
            nn.GELU(),
            nn.Linear(4 * WIDTH, WIDTH),  # [.., 128] -> [.., 32]
        )

    def forward(self, x: Tensor) -> Tensor:
        """One layer of the transformer."""
        x = x + self.attention(self.attention_norm(x))  # [batch, length, 32]
        x = x + self.mlp(self.mlp_norm(x))
        return x  # noqa: RET504  the two steps read alike


class Transformer(nn.Module):
    """Tokens in, a score for every possible next token out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)  # weight [64, 32]
        self.positions = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.02)  # [16, 32]
        self.layers = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)  # weight [64, 32]
        self.head.weight = self.embed.weight  # tied: one parameter, two names

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of shape [batch, length, 64] for tokens of shape [batch, length]."""
        x = self.embed(tokens) + self.positions[: tokens.shape[1]]  # [batch, length, 32]
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.head(self.norm(x))
        return out


def build() -> Transformer:
    """The network."""
    return Transformer()


def example_inputs() -> tuple[Tensor, ...]:
    """Two sequences of eight tokens."""
    return (torch.randint(0, VOCABULARY, (2, 8)),)


def loss(model: nn.Module, *inputs: Tensor) -> Tensor:
    """Cross-entropy against token 0 everywhere: enough to give every parameter a gradient."""
    flat = model(*inputs).flatten(0, -2)  # [batch * length, 64]
    return functional.cross_entropy(flat, torch.zeros(len(flat), dtype=torch.long))
