"""Students that a public library builds, and teachers that one has built."""

from functools import partial

import pytest
import torch

from mimic.defenses.mimic import Mimic
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import export_purified
from mimic.encoders.loading import load_encoder
from mimic.encoders.student import student_of
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.fitting import Fitting
from mimic.training import Trainer


@pytest.mark.parametrize(
    ("library", "student"),
    [
        ("timm", "timm:resnet10t"),
        ("timm", "timm:vit_tiny_patch16_224:img_size=64,embed_dim=48,depth=2,num_heads=2"),
        ("torchvision", "torchvision:mobilenet_v3_small"),
    ],
)
def test_a_librarys_network_can_be_the_student(
    library, student, import_or_skip, monkeypatch, tmp_path
):
    import_or_skip(library)
    monkeypatch.setattr("mimic.information.estimate.Fitting", partial(Fitting, steps=2))
    pixels = torch.randint(0, 256, (16, 3, 64, 64), dtype=torch.uint8)
    teacher = Encoder(build_backbone("resnet10:width=4,stem_stride=2"), image_size=64)
    method = Mimic(
        student=student,
        epochs=1,
        batch_size=8,
        searched_share=0.0,
        recoloured_share=0.0,
        waved_share=0.0,
    )
    purified = method(
        teacher,
        ImageSet.from_tensor(pixels),
        trainer=Trainer(device="cpu", precision="32-true"),
    ).encoder

    export_purified(purified, original=None, directory=tmp_path, manifest={})
    again = load_encoder(tmp_path)
    assert purified.architecture.startswith(f"{student}+linear")
    assert again(pixels[:2]).shape == (2, 32)
    assert torch.equal(again(pixels[:2]), purified(pixels[:2]))


def test_a_student_of_a_fixed_size_says_how_to_build_it_for_another(import_or_skip):
    import_or_skip("timm")
    teacher = Encoder(build_backbone("resnet10:width=4,stem_stride=2"), image_size=64)
    with pytest.raises(InputError, match=r"64x64 .*as in timm:NAME:img_size=N"):
        student_of(teacher, "timm:vit_tiny_patch16_224", size=(64, 64), seed=0)
