"""Zero-shot evaluation with texts made by hand: every rate is known beforehand."""

import pytest
import torch

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.intervals import wilson_interval
from mimic.evaluation.texts import TextEmbeddings
from mimic.evaluation.zero_shot import TextHead, evaluate_zero_shot
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

from .support import encoder, images, stamp

CPU = Trainer(device="cpu", precision="32-true")
RED, GREEN, BLUE = torch.eye(3)
NAMES = ("red", "green", "blue")
TEXTS = TextEmbeddings.of(torch.stack([RED, 5 * GREEN, BLUE]), NAMES)


def named(count: int = 30) -> ImageSet:
    plain = images(count)
    return ImageSet.from_tensor(plain.tensor(), plain.labels, class_names=NAMES)


def test_the_nearest_text_is_the_class_and_the_trigger_takes_over():
    found = evaluate_zero_shot(encoder(), named(), TEXTS, trigger=stamp, target=2, trainer=CPU)
    assert (found.accuracy, found.attack_success_rate, found.attack_success_rate_all) == (1, 1, 1)
    assert (found.n_train, found.n_test, found.n_triggered) == (0, 30, 20)
    assert found.attack_success_rate_ci95 == wilson_interval(20, 20)
    assert found.probe == "zero-shot"


def test_texts_that_are_exchanged_exchange_the_answers():
    wrong = TextEmbeddings.of(torch.stack([GREEN, RED, BLUE]), NAMES)
    found = evaluate_zero_shot(encoder(), named(), wrong, trainer=CPU)
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.attack_success_rate is None


def test_classes_are_matched_by_name_whatever_their_order():
    other = TextEmbeddings.of(torch.stack([BLUE, RED, -RED, GREEN]), ("blue", "red", "x", "green"))
    assert evaluate_zero_shot(encoder(), named(), other, trainer=CPU).accuracy == 1


def test_without_names_the_number_of_a_class_is_its_row():
    bare = TextEmbeddings.of(torch.stack([RED, GREEN, BLUE]))
    assert evaluate_zero_shot(encoder(), named(), bare, trainer=CPU).accuracy == 1


def test_scores_are_cosines():
    head = TextHead(TEXTS.vectors)
    assert torch.equal(head(torch.tensor([[0.6, 0.8, 0.0]])), torch.tensor([[0.6, 0.8, 0.0]]))


def test_the_encoder_is_bit_identical_afterwards():
    judged = encoder()
    before = {name: value.clone() for name, value in judged.state_dict().items()}
    evaluate_zero_shot(judged, named(), TEXTS, trigger=stamp, target=0, trainer=CPU)
    assert all(torch.equal(before[k], v) for k, v in judged.state_dict().items())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (TextEmbeddings.of(torch.eye(3)[:2], NAMES[:2]), "no embedding of blue; it names red"),
        (TextEmbeddings.of(torch.eye(3)[:2]), "labels up to 2, but 'texts' holds 2 embeddings"),
        (TextEmbeddings.of(torch.eye(4), (*NAMES, "x")), "features of length 3.* have 4"),
    ],
)
def test_texts_that_do_not_fit_are_refused(texts, message):
    with pytest.raises(InputError, match=message):
        evaluate_zero_shot(encoder(), named(), texts, trainer=CPU)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trigger": stamp}, "without a target"),
        ({"target": 1}, "without a trigger"),
        ({"trigger": stamp, "target": 3}, "not among the 3 classes"),
        ({"trigger": lambda batch: batch[:, :1], "target": 1}, "has to keep the shape"),
    ],
)
def test_a_trigger_that_cannot_be_measured_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        evaluate_zero_shot(encoder(), named(), TEXTS, trainer=CPU, **settings)


def test_images_without_labels_are_refused():
    with pytest.raises(InputError, match="carry no labels"):
        evaluate_zero_shot(Encoder(torch.nn.Flatten()), images(4).unlabelled(), TEXTS, trainer=CPU)
