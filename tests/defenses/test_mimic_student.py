"""Students of another architecture: purification that also shrinks."""

from collections.abc import Iterator

import pytest
import torch

from mimic.defenses.mimic import Mimic, MimicObjective, paired_stages
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import export_purified
from mimic.encoders.loading import load_encoder
from mimic.encoders.student import student_of
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.evaluation.similarity import paired_cosine
from mimic.images.imageset import ImageSet
from mimic.images.source import open_images
from mimic.training import Trainer

from .support import OwnNetwork, Watch, hasty_localization, identical, images, state

CPU = Trainer(device="cpu", precision="32-true")
CNN, TOKENS = "resnet10:width=4", "vit_tiny:dim=24,depth=4,heads=3,patch=4"


@pytest.fixture(autouse=True)
def _hasty() -> Iterator[None]:
    with hasty_localization():
        yield


def suspect(arch: str) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Encoder(build_backbone(arch), mean=(0.5,) * 3, image_size=16, architecture=arch)


def noise() -> ImageSet:
    return images(16, (16, 16))


def hasty(student: str | None, **settings: float) -> Mimic:
    return Mimic(student=student, epochs=1, batch_size=8, searched_share=0.0, **settings)


@pytest.mark.parametrize(
    ("teacher", "student", "built"),
    [
        (CNN, "resnet10:width=2", "resnet10:width=2+linear16x32"),
        (CNN, TOKENS, TOKENS + "+linear24x32"),
        (TOKENS, CNN, CNN + "+linear32x24"),
        (TOKENS, "vit_tiny:dim=12,depth=2,heads=3,patch=8", None),
    ],
)
def test_maps_and_tokens_teach_one_another(teacher, student, built):
    result = hasty(student)(suspect(teacher), noise(), trainer=CPU)
    assert result.encoder.architecture == (built or f"{student}+linear12x24")
    assert result.encoder(noise().tensor()).shape == suspect(teacher)(noise().tensor()).shape
    assert len(result.history.epochs[-1]) > len(result.localization.weights)


def test_a_module_of_the_users_own_can_be_shrunk_too():
    result = hasty("resnet10:width=2")(Encoder(OwnNetwork()), noise(), trainer=CPU)
    assert result.encoder.architecture == "resnet10:width=2+linear16x6"


def test_the_suspect_stays_as_it_is_and_the_teacher_too():
    given, watch = suspect(CNN), Watch()
    hasty("resnet10:width=2")(given, noise(), trainer=watch)
    assert identical(state(given), state(suspect(CNN)))
    assert all(identical(training.before, training.after) for training in watch.seen)


def test_one_epoch_changes_every_weight_of_the_student():
    def weights(epochs: int) -> dict[str, torch.Tensor]:
        defense = hasty("resnet10:width=2").with_settings(epochs=epochs)
        return state(defense(suspect(CNN), noise(), trainer=CPU).encoder.backbone)

    before, after = weights(0), weights(1)
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_the_exported_file_loads_and_puts_out_the_same(tmp_path):
    result = hasty("resnet10:width=2")(suspect(CNN), noise(), trainer=CPU)
    files = export_purified(result.encoder, original=None, directory=tmp_path, manifest={})
    assert files.drop_in is None
    pixels = noise().tensor()
    assert torch.equal(load_encoder(tmp_path)(pixels), result.encoder(pixels))


def test_a_purified_student_can_be_purified_again():
    first = hasty("resnet10:width=2")(suspect(CNN), noise(), trainer=CPU).encoder
    second = hasty(None)(first, noise(), trainer=CPU).encoder
    assert second.backbone.state_dict().keys() == first.backbone.state_dict().keys()


def test_half_the_width_learns():
    digits = open_images("digits:train", size=16).sample(count=96, seed=0)
    teacher = suspect("resnet10:width=8,stem_stride=2").eval()
    method = Mimic(
        student="resnet10:width=4,stem_stride=2",
        epochs=10,
        batch_size=16,
        searched_share=0.0,
        random_share=0.0,
    )
    wanted = extract_features(teacher, digits, trainer=CPU)
    cosines = []
    for epochs in (0, 10):
        learnt = method.with_settings(epochs=epochs)(teacher, digits, trainer=CPU).encoder
        cosines.append(paired_cosine(wanted, extract_features(learnt, digits, trainer=CPU)))
    assert cosines[0] < 0.5
    assert cosines[1] > 0.9


def test_an_unknown_student_is_refused_before_any_work():
    watch = Watch()
    with pytest.raises(InputError, match="architecture 'resnet11' is unknown"):
        hasty("resnet11")(suspect(CNN), noise(), trainer=watch)
    assert watch.seen == []


@pytest.mark.parametrize(
    ("student", "expected"),
    [
        ("abcd", {"1": "a", "2": "b", "3": "c", "4": "d"}),
        ("ab", {"1": "a", "2": "a", "3": "b", "4": "b"}),
        ("abcdefgh", {"1": "b", "2": "d", "3": "f", "4": "h"}),
        ("a", dict.fromkeys("1234", "a")),
        ("abc", {"1": "a", "2": "b", "3": "c", "4": "c"}),
    ],
)
def test_stages_are_paired_by_their_depth(student, expected):
    assert paired_stages(list("1234"), list(student)) == expected


@pytest.mark.parametrize(("arch", "copied"), [(CNN, 4), ("resnet10:width=2", 0)])
def test_maps_of_one_shape_are_copied_and_others_are_not(arch, copied):
    teacher, batch = suspect(CNN), noise().tensor()
    names = teacher.stage_names(batch)
    student = student_of(teacher, arch, size=(16, 16), seed=0)
    objective = MimicObjective(
        student,
        teacher,
        (16, 16),
        weights=dict.fromkeys(names, 0.25),
        clone_weight=1.0,
        searched=[],
        random_share=0.0,
        repulsion_weight=0.0,
        min_scale=0.5,
        partners=paired_stages(names, student.stage_names(batch)),
    )
    assert list(objective(batch)) == ["clone", *names[:copied]]
