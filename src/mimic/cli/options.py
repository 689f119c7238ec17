"""Options that several commands share, and what they make of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg
from tyro.constructors import PrimitiveConstructorSpec

from mimic.cli.output import Result, line, note_skipped
from mimic.errors import InputError
from mimic.files import expanded

if TYPE_CHECKING:
    from mimic.encoders.encoder import Encoder
    from mimic.images.imageset import ImageSet
    from mimic.training import Trainer

_SEEDS = 2**31
"""Every library takes smaller ones."""
_DIGITS = 20
EncoderSource = Annotated[Positional[str], arg(metavar="ENC")]
Source = Annotated[str, arg(metavar="SRC")]
Epochs = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the method's)")]
BatchSize = Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: the method's)")]
Rate = Annotated[float | None, arg(metavar="RATE", help_behavior_hint="(default: the method's)")]
Settings = Annotated[
    UseAppendAction[tuple[str, ...]],
    arg(metavar="FIELD=VALUE", help_behavior_hint="(default: the method's)"),
]


def _seed(texts: list[str]) -> int:
    text = texts[0]
    if not text.isdecimal() or (value := int(text[:_DIGITS])) >= _SEEDS:
        raise ValueError(f"a seed is a whole number from 0 to {_SEEDS - 1}, not '{text}'")
    return value


Seed = Annotated[
    int,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=_seed,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]
OutputFile = Annotated[str, arg(metavar="FILE")]
Folder = Annotated[str, arg(metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How many of the images are used; all of them unless one of these is given.

    Attributes:
        ratio: use a random share of the images, above 0 and at most 1, as in 0.05.
        count: or use this many of them.
    """

    ratio: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint="(default: all)")] = None
    count: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None

    def open(self, source: str, *, size: Any, seed: int, labels: bool = False) -> "ImageSet":
        """Open images, name the broken ones, and take the sample.

        Args:
            source: SRC.
            size: as `open_images` takes it.
            seed: decides which images are taken.
            labels: whether they are needed.

        Raises:
            InputError: as `open_images` does, or the sample is not possible.
        """
        from mimic.images.source import open_images

        images = open_images(source, size=size, labels=labels)
        note_skipped(images.skipped, images.name)
        return images.sample(ratio=self.ratio, count=self.count, seed=seed)


@dataclass(frozen=True, kw_only=True)
class HardwareOptions:
    """Where the work is done.

    Attributes:
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, bf16-mixed or 32-true.
        deterministic: train with no operation whose result may differ from run to run on the same
            device; slower on GPUs.
    """

    device: Annotated[str, arg(metavar="NAME")] = "auto"
    precision: Annotated[str, arg(metavar="NAME")] = "auto"
    deterministic: bool = False

    def trainer(self, folder: Path | None = None, *, resume: bool = False) -> "Trainer":
        """A trainer that shows its progress and keeps checkpoints in `folder`."""
        from mimic.training import Trainer

        return Trainer(
            device=self.device,
            precision=self.precision,
            folder=folder,
            resume=resume,
            progress=True,
            deterministic=self.deterministic,
        )


@dataclass(frozen=True, kw_only=True)
class ScaleOptions(HardwareOptions):
    """Where the work is done, and how work that is too large for one device is divided.

    Attributes:
        accumulate: divide batches into this many parts, one after the other, for want of memory.
        sync_batch_norm: with several processes, let batch normalisation see the images of all.
        activation_checkpointing: keep less in memory and compute it again in the backward pass.
        fsdp: with several processes, divide weights and the optimizer's state among them.
        dry_run: only tell how large the network is, and about how much memory and time the work
            would take, from a few steps; nothing is written.
    """

    accumulate: Annotated[int, arg(metavar="N")] = 1
    sync_batch_norm: bool = False
    activation_checkpointing: bool = False
    fsdp: bool = False
    dry_run: bool = False

    def join(self) -> None:
        """Meet the other processes of a job that torchrun started.

        Raises:
            InputError: the device or the precision is not there.
        """
        from mimic.training.precision import open_fabric

        open_fabric(self.device, self.precision)

    def trainer(self, folder: Path | None = None, *, resume: bool = False) -> "Trainer":
        """As of `HardwareOptions`."""
        return replace(
            super().trainer(folder, resume=resume),
            accumulate=self.accumulate,
            sync_batch_norm=self.sync_batch_norm,
            activation_checkpointing=self.activation_checkpointing,
            fsdp=self.fsdp,
        )

    def rehearse(
        self, encoder: "Encoder", images: "ImageSet", work: Callable[["Trainer"], object]
    ) -> Result:
        """What a dry run has to say.

        Args:
            encoder: what is trained.
            images: what it is trained on.
            work: all of it, but for writing results.

        Raises:
            MimicError: as `work` does.
        """
        from mimic.benchmark.dry_run import rehearse

        data = rehearse(encoder, images, work, trainer=self.trainer())
        return Result(data=data, show=lambda console: _show_rehearsal(console, data))


def enter_first(stack: ExitStack, context: AbstractContextManager[Path]) -> Path:
    """Enter a context in the first of several processes alone: files are its business.

    Raises:
        MimicError, OSError: as the context does, in every process.
    """
    from mimic.training.processes import on_first

    return on_first(lambda: stack.enter_context(context))


def given(**settings: Any) -> dict[str, Any]:
    """Those settings that the user gave: the ones that are not None."""
    return {name: value for name, value in settings.items() if value is not None}


def class_label(text: str, images: "ImageSet") -> int:
    """The number of a class of labelled images; names win, since folders may be called by numbers.

    Raises:
        InputError: there is no class of that name.
    """
    if text in images.class_names:
        return images.class_names.index(text)
    if text.isdecimal():
        return int(text)
    classes = ", ".join(images.class_names[:20]) or "known by number only"
    raise InputError(f"target '{text}' is not a class of '{images.name}'; they are {classes}")


def encoder_file(text: str) -> Path:
    """The file that an encoder is written to.

    Raises:
        InputError: it is not called .safetensors, or is a folder.
    """
    path = expanded(text)
    if path.suffix != ".safetensors":
        raise InputError(f"--out '{text}' must end in .safetensors, the format that is written")
    if path.is_dir():
        raise InputError(f"--out '{text}' is a folder; name a file in it")
    return path


def _show_rehearsal(console: Console, data: dict[str, Any]) -> None:
    memory, count = data["peak_memory_mib"], data["processes"]
    line(
        console,
        f"{data['parameters']:,} parameters; {data['flops_per_image'] / 1e9:.3g} GFLOP for one "
        f"pass of an image of {data['image_size'][0]}x{data['image_size'][1]}.",
    )
    line(console, "Memory: " + ("unknown" if memory is None else f"about {memory:.0f} MiB"))
    line(
        console,
        f"Time: about {data['seconds']:.0f} s with {count} process{'es' * (count > 1)} on "
        f"{data['device']}; {data['training_seconds']:.0f} s of these are training.",
    )
    line(console, "This was a dry run: a few steps were measured, and nothing was written.")
