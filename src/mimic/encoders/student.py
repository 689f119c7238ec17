"""A student of another architecture, whose features are as long as those of its teacher."""

import torch

from mimic.encoders.blueprint import find_blueprint, projected_blueprint
from mimic.encoders.encoder import Encoder
from mimic.encoders.projected import build_projected
from mimic.errors import InputError


def student_of(teacher: Encoder, architecture: str, *, size: tuple[int, int], seed: int) -> Encoder:
    """A student with fresh random weights that can stand where the teacher stood.

    Where its own feature has another length, a linear layer behind it makes up for that. The layer
    is trained along and stays, so that a head on the teacher's features goes on working.

    Args:
        teacher: gives the normalisation, the image size and the length of the feature.
        architecture: one of ours or a library's, see `find_blueprint`.
        size: height and width of the images, in pixels.
        seed: decides the weights; torch's global random state is left as it was.

    Returns:
        The student on the CPU, trainable, in training mode.

    Raises:
        InputError: the architecture is unknown or takes no images of that size.
    """
    blueprint = find_blueprint(architecture)
    wanted = teacher.feature_dimension(size)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = blueprint.build()
        own = _feature_length(Encoder(backbone), architecture, size)
        if own != wanted:
            backbone = build_projected(lambda: backbone, own, wanted)
            blueprint = projected_blueprint(blueprint, own, wanted)
    student = Encoder(
        backbone,
        mean=teacher.mean.flatten().tolist(),
        std=teacher.std.flatten().tolist(),
        image_size=teacher.image_size,
        architecture=blueprint.architecture,
        rebuild=blueprint.build,
    )
    return student.requires_grad_(True).train()


def _feature_length(student: Encoder, architecture: str, size: tuple[int, int]) -> int:
    try:
        return student.feature_dimension(size)
    except Exception as error:  # networks refuse a size in as many ways as there are networks
        raise InputError(
            f"a student '{architecture}' does not take images of {size[0]}x{size[1]} ({error}); "
            "take another one, or build it for them, as in timm:NAME:img_size=N"
        ) from error
