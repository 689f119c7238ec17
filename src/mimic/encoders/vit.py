"""A vision transformer for small images: tokens from end to end, and images of any size.

Dosovitskiy et al., "An Image Is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929, with fixed
positions and a mean over tokens in the place of learned positions and a class token (Beyer et al.,
"Better plain ViT baselines for ImageNet-1k", arXiv:2205.01580).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.errors import InputError

_MLP_RATIO = 4


def grid_positions(height: int, width: int, dimension: int) -> Tensor:
    """Sine-cosine codes of the rows and columns of a grid.

    Args:
        height, width: of the grid, in tokens.
        dimension: of a code, a multiple of 4: half of it tells the row, half the column.

    Returns:
        Codes in [-1, 1], row by row, shape (height * width, dimension).

    Source: Vaswani et al., NeurIPS 2017, arXiv:1706.03762, section 3.5, once per axis.
    """
    rates = 10_000 ** (-torch.arange(dimension // 4) / (dimension // 4))
    rows, columns = (torch.arange(count)[:, None] * rates for count in (height, width))
    row_codes = torch.cat([rows.sin(), rows.cos()], dim=1).repeat_interleave(width, dim=0)
    column_codes = torch.cat([columns.sin(), columns.cos()], dim=1).repeat(height, 1)
    return torch.cat([row_codes, column_codes], dim=1)


class Attention(nn.Module):
    """Self-attention with several heads."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, tokens, dimension) to tokens of the same shape."""
        batch, count, dim = tokens.shape
        parts = self.qkv(tokens).view(batch, count, 3, self.heads, dim // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        mixed = _attend(queries, keys, values)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, dim))


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention; on a CPU in float32, for bfloat16 takes its gradient five times as long."""
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(queries, keys, values)
    with torch.autocast("cpu", enabled=False):
        mixed = F.scaled_dot_product_attention(queries.float(), keys.float(), values.float())
    return mixed.to(queries.dtype)


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, applied to each token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, _MLP_RATIO * dim)
        self.fc2 = nn.Linear(_MLP_RATIO * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, tokens, dimension) to tokens of the same shape."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """Attention, then an MLP; each is normalised before and added to what came in."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, tokens, dimension) to tokens of the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VisionTransformer(nn.Module):
    """A transformer that puts out the mean of its last tokens.

    Args:
        dim: length of a token and of the feature; a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: of each attention.
        patch: side of the patches that become tokens, in pixels.

    Raises:
        InputError: `dim` is not such a multiple.
    """

    def __init__(self, *, dim: int = 192, depth: int = 12, heads: int = 3, patch: int = 4) -> None:
        super().__init__()
        if dim % 4 or dim % heads:
            raise InputError(
                f"dim must be a multiple of 4 and of the number of heads, not {dim} with {heads} "
                "heads"
            )
        self.patch = patch
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the linear layers afresh (Glorot & Bengio, AISTATS 2010); biases are zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (batch, 3, height, width) to features (batch, dim).

        Raises:
            InputError: height or width is not a multiple of the patches' side.
        """
        height, width = images.shape[2:]
        if height % self.patch or width % self.patch:
            raise InputError(
                f"images of {height}x{width} cannot be cut into patches of {self.patch}x"
                f"{self.patch} pixels; use another size of images, or another patch in --arch"
            )
        grid = self.patch_embed(images)
        positions = grid_positions(grid.shape[2], grid.shape[3], grid.shape[1]).to(grid)
        tokens = grid.flatten(2).transpose(1, 2) + positions
        return self.norm(self.blocks(tokens)).mean(dim=1)
