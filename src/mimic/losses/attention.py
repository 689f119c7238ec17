"""Attention loss: the student looks where the teacher looks."""

from torch import Tensor

from mimic.losses.maps import as_map, token_grid


def attention_map(feature_map: Tensor, power: int = 2, *, size: tuple[int, int] = (1, 1)) -> Tensor:
    """Spatial attention of a feature map, normalised per image.

    Tokens are laid out as the places of the image that they stand for. Those that stand for none,
    as a class token or registers, are left out.

    Args:
        feature_map: activations, shape (batch, channels, height, width), or tokens (batch, tokens,
            dimension).
        power: exponent of the absolute activation before the sum over channels.
        size: height and width of the images, of which only the proportions count, and those only
            for tokens.

    Returns:
        Maps of unit Frobenius norm, shape (batch, height, width); (batch, tokens, 1) of tokens that
        fit no grid of these proportions.

    Source: Zagoruyko & Komodakis, ICLR 2017, arXiv:1612.03928, equation 1.
    """
    attention = as_map(feature_map).float().abs().pow(power).sum(dim=1)
    grid = token_grid(attention.shape[1], size) if feature_map.ndim == 3 else None
    if grid is not None:
        attention = attention[:, grid.extra :].unflatten(1, (grid.rows, grid.columns)).squeeze(3)
    return attention / (attention.flatten(1).norm(dim=1)[:, None, None] + 1e-6)


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two attention maps.

    Args:
        student: feature map, shape (batch, channels, height, width), or tokens of square images,
            shape (batch, tokens, dimension); channels may differ.
        teacher: of the same images, with the same places.

    Returns:
        A scalar in [0, 2 / (height * width)]; it ignores the scale of either map.

    Source: as `attention_map`; the mean over positions is that of the released MIMIC code.
    """
    return (attention_map(student) - attention_map(teacher)).square().mean()
