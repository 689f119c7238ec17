"""`--reference`: clean encoders that a scan compares with instead of those that come with mimic."""

from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

if TYPE_CHECKING:
    from mimic.cli.network import EncoderOptions
    from mimic.detection.calibration import Calibration
    from mimic.images.imageset import ImageSet
    from mimic.training import Trainer

References = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(metavar="ENC", help_behavior_hint="(default: those of mimic)"),
]


def calibration_by(
    references: tuple[str, ...],
    images: "ImageSet",
    *,
    network: "EncoderOptions",
    image_size: int | None,
    seed: int,
    trainer: "Trainer",
) -> "Calibration | None":
    """What a scan of clean encoders finds; None without any.

    Args:
        references: what the options said.
        images: those of the scan to come.
        network: how their files are read.
        image_size: of the encoder that will be compared with them.
        seed: of the searches.
        trainer: the environment.

    Raises:
        InputError: there are one or two, or one of them cannot be loaded.
    """
    from mimic.detection.calibration import check_count
    from mimic.detection.scan import calibrate

    if not references:
        return None
    check_count(len(references))
    encoders = [network.open(name, image_size=image_size) for name in references]
    return calibrate(encoders, images, seed=seed, trainer=trainer)
