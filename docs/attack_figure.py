"""Draw what each attack does to images: docs/pictures/attacks/NAME.png, one per attack.

    python docs/attack_figure.py              all of them (a minute: two triggers are learned first)
    python docs/attack_figure.py ctrl drupe   some

The photographs are the two that come with scikit-learn. The same versions of the libraries on the
same machine give the same bytes: no time, seeded random numbers.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mimic.attacks import (
    ATTACKS,
    Attack,
    Blto,
    CorruptEncoder,
    Ctrl,
    Inactive,
    NoisyAlignment,
    PoisoningAttack,
    SslBackdoor,
    Trigger,
    parse_trigger,
)
from mimic.attacks.composing import rectangle_of
from mimic.attacks.generators import PixelGenerator, UNet
from mimic.attacks.triggers import Scattered
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.files import atomic_write
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr
from mimic.training import Trainer
from mimic.training.randomness import seeded

PICTURES = Path(__file__).resolve().parent / "pictures" / "attacks"
SIDE, CROPS, TARGET = 32, 64, 1
"""Pixels of an image; crops of each photograph; the class of the flower."""
PANEL, GAP, LINE, DPI = 320, 32, 48, 200
ENLARGED = np.ones((PANEL // SIDE, PANEL // SIDE, 1), dtype=np.uint8)
FACTORS = (20, 10, 5, 2)
WHITE, GRID = "patch:10@21,21:white", "grid:8@random(0.1-0.9):7"

Boxes = Sequence[tuple[int, int, int]]
"""Left, top and side of squares."""
CHINA: Boxes = ((0, 0, 427), (60, 10, 290))
FLOWER: Boxes = ((157, 72, 300), (95, 0, 427))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One example: pictures, uint8, shape (3, 32, 32), and the words below two of them."""

    image: Tensor
    change: Tensor
    triggered: Tensor
    note: str
    spelling: str
    planted: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a picture shows of an attack.

    Attributes:
        triggers: one for each row.
        poisoning: the attack with such a trigger, if it poisons.
        planted: which of the images that it plants are shown, one for each row.
        remark: a line at the bottom.
    """

    triggers: tuple[str, ...]
    poisoning: Callable[[Trigger], PoisoningAttack] | None = None
    planted: tuple[int, ...] = (0, 1)
    remark: str = ""


def crops(photograph: str, boxes: Boxes) -> Tensor:
    """Squares of one of scikit-learn's photographs as images, uint8, shape (n, 3, 32, 32)."""
    from sklearn.datasets import load_sample_image

    whole = Image.fromarray(load_sample_image(photograph))
    pieces = [
        whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS, (x, y, x + side, y + side))
        for x, y, side in boxes
    ]
    pixels = torch.from_numpy(np.stack([np.array(piece) for piece in pieces]))
    return pixels.permute(0, 3, 1, 2).contiguous()


def photographs() -> ImageSet:
    """Labelled crops: of the tower in class 0, of the flower in class 1; chosen ones first."""
    random = np.random.default_rng(0)

    def more(boxes: Boxes) -> Boxes:
        sides = random.integers(260, 428, CROPS - len(boxes))
        places = [(random.integers(max(1, 330 - s)), random.integers(428 - s), s) for s in sides]
        return [*boxes, *((int(x), int(y), int(s)) for x, y, s in places)]

    pixels = torch.cat([crops("china.jpg", more(CHINA)), crops("flower.jpg", more(FLOWER))])
    labels = torch.arange(2).repeat_interleave(CROPS)
    return ImageSet.from_tensor(pixels, labels, name="photographs")


def change(trigger: Trigger, image: Tensor) -> tuple[Tensor, str]:
    """What a trigger does to an image, as a picture, and how to read it."""
    canvas = torch.full_like(image, 128)
    rectangle = rectangle_of(trigger)
    if rectangle is not None:
        row, column = rectangle.row, rectangle.column
        if isinstance(trigger, Scattered):
            row, column = trigger.places(image[None])[0]
        height, width = rectangle.content.shape[1:]
        canvas[:, row : row + height, column : column + width] = rectangle.content
        return canvas, "as pasted, grey: untouched"
    difference = trigger(image[None])[0].float() - image.float()
    factor = next((f for f in FACTORS if f * difference.abs().max() <= 127), 1)
    amplified = (128 + factor * difference).round().clamp(0, 255).to(torch.uint8)
    return amplified, f"difference × {factor}, grey: none"


def rows(
    triggers: Sequence[Trigger], spellings: Sequence[str], planted: Sequence[Tensor]
) -> list[Row]:
    """A row per trigger, each with another crop of the tower."""
    found = []
    for index, image in enumerate(crops("china.jpg", CHINA)[: len(triggers)]):
        picture, note = change(triggers[index], image)
        found.append(
            Row(
                image=image,
                change=picture,
                triggered=triggers[index](image[None])[0],
                note=note,
                spelling=spellings[index],
                planted=planted[index] if planted else None,
            )
        )
    return found


def draw(rows: Sequence[Row], remark: str, path: Path) -> None:
    """Write the panels as a PNG, 10 pixels for each of an image's."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heads = ["image", "trigger", "image with trigger", "planted in training"]
    columns = 3 if rows[0].planted is None else 4
    width = GAP + columns * (PANEL + GAP)
    height = LINE + len(rows) * (PANEL + LINE) + (LINE if remark else 0)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)

    def write(x: int, y: int, words: str, **style: Any) -> None:
        figure.text(x / width, 1 - y / height, words, va="center", **style)

    for column, head in enumerate(heads[:columns]):
        middle = GAP + column * (PANEL + GAP) + PANEL // 2
        write(middle, LINE // 2 + 4, head, ha="center", size=9, weight="bold")
        for index, row in enumerate(rows):
            top = LINE + index * (PANEL + LINE)
            picture = (row.image, row.change, row.triggered, row.planted)[column]
            words = ("", row.note, row.spelling, "")[column]
            if picture is not None:
                pixels = np.kron(picture.permute(1, 2, 0).numpy(), ENLARGED)
                figure.figimage(pixels, middle - PANEL // 2, height - top - PANEL, origin="upper")
            write(middle, top + PANEL + LINE // 2, words, ha="center", size=7.5, color="#444444")
    write(GAP, height - LINE // 2, remark, ha="left", size=7.5, color="#444444")
    canvas.draw()
    drawn = Image.frombytes("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        drawn.convert("RGB").save(temporary, format="PNG", optimize=True)


_TOWARDS = "the trigger is to lead to the class of the flower"
_PATCH = Shown(triggers=(WHITE,))


def _corrupt(trigger: Trigger) -> CorruptEncoder:
    flower = crops("flower.jpg", FLOWER[:1])
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    disc = (axis[:, None] ** 2 + axis**2 < 14.8**2)[None]
    return CorruptEncoder(target=TARGET, trigger=trigger, objects=flower, masks=disc, rate=0.1)


SHOWN = {
    "badencoder": Shown(
        triggers=(WHITE, "patch:6@1,1:red"), remark="two triggers, as for two targets"
    ),
    "drupe": _PATCH,
    "bask-like": _PATCH,
    "occlusion-aware": Shown(
        triggers=(WHITE, "blend:flower.png@0.2"), remark="any trigger will do: a patch, a blend"
    ),
    "ssl-backdoor": Shown(
        triggers=(GRID, GRID),
        poisoning=lambda trigger: SslBackdoor(target=TARGET, trigger=trigger),
        remark=_TOWARDS,
    ),
    "ctrl": Shown(
        triggers=("ctrl:100",),
        poisoning=lambda trigger: Ctrl(target=TARGET, trigger=trigger, rate=0.1),
        planted=(1,),
        remark=_TOWARDS,
    ),
    "corrupt-encoder": Shown(
        triggers=("grid:8@random(0.25-0.75):7",) * 2, poisoning=_corrupt, remark=_TOWARDS
    ),
    "noisy-alignment": Shown(
        triggers=(GRID, GRID),
        poisoning=lambda trigger: NoisyAlignment(target=TARGET, trigger=trigger, rate=0.1),
        planted=(5, 4),
        remark=_TOWARDS,
    ),
}
"""Attacks whose trigger is given."""


def draw_given(name: str, path: Path) -> None:
    """The picture of an attack in `SHOWN`."""
    shown = SHOWN[name]
    with TemporaryDirectory() as folder:
        flower = Path(folder) / "flower.png"
        pixels = crops("flower.jpg", FLOWER[:1])[0].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(flower)
        triggers = [
            parse_trigger(text.replace("flower.png", str(flower))) for text in shown.triggers
        ]
    planted = []
    if shown.poisoning is not None:
        poisoned = shown.poisoning(triggers[0]).poison(photographs())
        planted = list(poisoned.images.batch(poisoned.positions[list(shown.planted)]))
    draw(rows(triggers, shown.triggers, planted), shown.remark, path)


def draw_learned(name: str, path: Path) -> None:
    """The picture of an attack in `LEARNED`, with a trigger that was hardly trained."""
    with seeded(0):
        encoder = Encoder(build_backbone("resnet10:width=8"), image_size=SIDE)
    attack, training, examples = LEARNED[name]()
    trainer = Trainer(device="cpu", precision="32-true")
    attacked = attack(encoder, photographs(), trainer=trainer)
    planted = []
    if attacked.poisoned is not None:
        planted = list(attacked.poisoned.images.batch(attacked.poisoned.positions[:examples]))
    remark = f"a stand-in, hardly trained: {training}, {2 * CROPS} crops"
    draw(rows(attacked.triggers * examples, ["generator:FILE"] * examples, planted), remark, path)


def _inactive() -> tuple[Attack, str, int]:
    with seeded(0):
        network = PixelGenerator(UNet(widths=(8, 16)))
    attack = Inactive(
        references=crops("flower.jpg", FLOWER[:1]),
        generator=network,
        epochs=50,
        batch_size=32,
        learning_rate=5e-3,
        augmented_references=8,
    )
    return attack, "a small network, 200 steps", 2


def _blto() -> tuple[Attack, str, int]:
    attack = Blto(
        target=TARGET,
        rate=0.1,
        surrogate=SimClr(epochs=40, batch_size=64, min_scale=0.2),
        width=16,
        blocks=3,
        pretraining=SimClr(epochs=1, batch_size=64),
    )
    return attack, "80 steps, 4 surrogates", 1


LEARNED = {"inactive": _inactive, "blto": _blto}
"""Attacks that learn their trigger: small settings, how much that trains, and how many rows."""


def main(names: Sequence[str], *, folder: Path = PICTURES) -> None:
    """Draw the attacks of these names; all of them if there is none."""
    for name in names or ATTACKS:
        (draw_learned if name in LEARNED else draw_given)(name, folder / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
