"""Attention maps of the stages of encoders, as small pictures."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.errors import InputError
from mimic.losses.attention import attention_map
from mimic.report.dossier.facts import Attention, AttentionImage, AttentionRow, Role
from mimic.report.pictures import data_uri, thumbnail

_MOST = 96

Maps = Mapping[str, Tensor]
"""By stage, attention maps of the same images, shape (n, height, width)."""


@torch.no_grad()
def attention_maps(encoder: Encoder, images: Tensor) -> dict[str, Tensor]:
    """Where an encoder looks, stage by stage.

    Args:
        encoder: left as it is.
        images: uint8, shape (n, 3, height, width).

    Returns:
        Maps of unit Frobenius norm on the CPU, shape (n, height, width), by stage; empty where the
        encoder has no stage that puts out maps or tokens.

    Source: Zagoruyko & Komodakis, ICLR 2017, arXiv:1612.03928, equation 1.
    """
    with evaluating(encoder):
        images = images.to(encoder.mean.device)
        try:
            names = encoder.stage_names(images)
            outputs = encoder.forward_stages(images, names)[1]
            size = (images.shape[2], images.shape[3])
            return {name: attention_map(found, size=size).cpu() for name, found in outputs.items()}
        except InputError:  # it has no stages, or they are of another shape
            return {}


def agreement(ours: Maps, theirs: Maps) -> dict[str, float]:
    """Mean cosine between maps of the same images, by stage, where both have the same size."""
    found = {}
    for name in ours:
        if name in theirs and ours[name].shape == theirs[name].shape:
            one, other = (maps[name].double().flatten(1) for maps in (ours, theirs))
            found[name] = float(F.cosine_similarity(one, other).mean())
    return found


def attention(
    found: Mapping[Role, Maps],
    images: Tensor,
    triggered: Sequence[bool],
    *,
    agreement: Mapping[str, float],
) -> Attention | None:
    """Pictures of the attention of one encoder, or of two with the same stages.

    Maps of the same image and stage share a scale, from 0 to the largest value.

    Args:
        found: maps of the images, by role; an encoder with other stages than the first is left out.
        images: uint8, shape (n, 3, height, width).
        triggered: whether each of them carries the trigger.
        agreement: what to say about all images.

    Returns:
        The pictures, or None where the first encoder has no stages.
    """
    first = next(iter(found.values()))
    alike = {role: maps for role, maps in found.items() if maps.keys() == first.keys()}
    if not first:
        return None
    stages, both = tuple(first), list(alike.values())
    return Attention(
        stages=stages,
        images=tuple(
            AttentionImage(
                picture=data_uri(thumbnail(image, most=_MOST)),
                triggered=triggered[index],
                rows=tuple(
                    AttentionRow(
                        role=role,
                        maps=tuple(_picture(maps[s][index], _top(both, s, index)) for s in stages),
                    )
                    for role, maps in alike.items()
                ),
            )
            for index, image in enumerate(images)
        ),
        agreement=agreement,
    )


def _top(maps: Sequence[Maps], stage: str, index: int) -> float:
    return max(float(one[stage][index].max()) for one in maps)


def _picture(attended: Tensor, top: float) -> str:
    """Dark blue for none, yellow for most: a scale that colour-blind eyes read as well."""
    from matplotlib import colormaps

    shades = colormaps["viridis"](attended.double().div(max(top, 1e-12)).numpy(), bytes=True)
    picture = torch.from_numpy(shades[:, :, :3].copy()).permute(2, 0, 1)
    return data_uri(thumbnail(picture, most=_MOST))
