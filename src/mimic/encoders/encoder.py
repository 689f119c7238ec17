"""Encoder: what is purified. A backbone, the normalisation of its input, and its stages."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mimic.encoders.origin import Origin
from mimic.encoders.reinitialize import reinitialize
from mimic.encoders.stages import (
    channels_first,
    check_stages,
    discover_stages,
    evaluating,
    tap,
)
from mimic.errors import InputError
from mimic.images.pixels import to_unit_range

LARGEST_SIDE = 4096
"""Pixels of an image's side that an encoder may expect: what a header says is not trusted."""


class Encoder(nn.Module):
    """An image encoder: images in [0, 1] go in, one feature vector per image comes out.

    The normalisation lives inside, so a trigger is always stamped on pixels and nobody normalises
    twice.

    Args:
        backbone: any network that maps normalised images (batch, 3, height, width) to features
            (batch, dimension) or (batch, dimension, 1, 1). Input comes in the channels-last layout
            if the backbone has a true attribute `channels_last`.
        mean, std: per-channel normalisation of images in [0, 1]; the defaults change nothing.
        image_size: height and width that the encoder expects, in pixels; None if any will do.
        stages: dotted names of submodules of the backbone; None finds them by probing.
        architecture: how to name the backbone, for manifests and for files that know themselves.
        rebuild: builds a backbone of the same shape with fresh weights; without it modules are
            reset one by one.
        origin: the file that the weights came from, for manifests.

    Raises:
        InputError: mean or std are not three values that are finite in float32, a std is not
            positive there, the image size is not 1 to 4096 pixels, no stage is named, or a stage is
            not a submodule.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        image_size: int | None = None,
        stages: Sequence[str] | None = None,
        architecture: str | None = None,
        rebuild: Callable[[], nn.Module] | None = None,
        origin: Origin | None = None,
    ) -> None:
        super().__init__()
        _check_normalization(mean, std)
        if image_size is not None and not 1 <= image_size <= LARGEST_SIDE:
            raise InputError(f"the image size must be 1 to {LARGEST_SIDE} pixels, not {image_size}")
        if stages is not None:
            if not stages:
                raise InputError("name at least one stage, or leave stages out to have them found")
            check_stages(backbone, stages)
        self.backbone = backbone
        self.image_size = image_size
        self.architecture = architecture
        self.rebuild = rebuild
        self.origin = origin
        self.stages = None if stages is None else tuple(stages)
        self.register_buffer(
            "mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1), persistent=False
        )
        self.register_buffer(
            "std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1), persistent=False
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: uint8, or floats in [0, 1]; shape (batch, 3, height, width).

        Returns:
            Features as the backbone gives them (not normalised), shape (batch, dimension).

        Raises:
            InputError: the backbone puts out something other than one vector per image.
        """
        normalized = (to_unit_range(images) - self.mean) / self.std
        if getattr(self.backbone, "channels_last", False):
            normalized = normalized.contiguous(memory_format=torch.channels_last)
        features = self.backbone(normalized)
        if not isinstance(features, Tensor) or features.ndim not in (2, 4):
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise InputError(
                f"an encoder puts out one feature vector per image, (batch, dimension), not {got}; "
                "wrap the network in a module that returns its pooled feature"
            )
        if features.ndim == 4 and features.shape[2:] != (1, 1):
            raise InputError(
                f"the backbone puts out maps of {tuple(features.shape)}; add its pooling layer"
            )
        return features.flatten(1)

    def forward_stages(
        self, images: Tensor, names: Sequence[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Features and the outputs of the named stages, from one forward pass.

        Returns:
            Features (batch, dimension), and per stage a map (batch, channels, height, width) or
            tokens (batch, tokens, dimension), in the order of `names`.

        Raises:
            InputError: a stage is not a submodule, or the forward pass does not use it.
        """
        with tap(self.backbone, names) as maps:
            features = self(images)
        unused = [name for name in names if name not in maps]
        if unused:
            raise InputError(
                f"stage '{unused[0]}' puts out no tensor when an image passes; name another stage"
            )
        return features, {name: channels_first(maps[name], images.shape[2:]) for name in names}

    def stage_names(self, example: Tensor) -> tuple[str, ...]:
        """Names of the stages: those given, or those found by probing with `example` images."""
        if self.stages is None:
            probe = (to_unit_range(example[:1]).to(self.mean) - self.mean) / self.std
            self.stages = discover_stages(self.backbone, probe)
        return self.stages

    def copy(self) -> "Encoder":
        """A deep copy that shares no tensor with this encoder."""
        return copy.deepcopy(self)

    def reinitialized(self, seed: int) -> "Encoder":
        """The same architecture with fresh random weights and statistics; trainable.

        Args:
            seed: decides the weights; torch's global random state is left as it was.

        Raises:
            InputError: a module cannot be reset (see `reinitialize`).
        """
        fresh = self.copy()
        # On the CPU whatever the device, so that a seed means the same weights everywhere.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if self.rebuild is not None:
                fresh.backbone = self.rebuild()
            else:
                fresh.backbone = reinitialize(fresh.backbone.cpu())
        fresh.backbone.to(self.mean.device)
        return fresh.requires_grad_(True).train()

    @torch.no_grad()
    def feature_dimension(self, size: tuple[int, int]) -> int:
        """Length of the feature vector for images of `size` (height, width)."""
        with evaluating(self):
            return self(torch.zeros(1, 3, *size, device=self.mean.device)).shape[1]


def _check_normalization(mean: Sequence[float], std: Sequence[float]) -> None:
    means, deviations = (torch.tensor(values, dtype=torch.float32) for values in (mean, std))
    finite = bool(torch.cat([means, deviations]).isfinite().all())
    if len(mean) != 3 or len(std) != 3 or not finite or deviations.min() <= 0:
        raise InputError(
            "mean and std need three values each that are finite in float32, and std must be "
            f"positive there, not {tuple(mean)} and {tuple(std)}"
        )
