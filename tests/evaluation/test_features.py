"""Features: right values, bounded batches, and an encoder that is left as it was."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mimic.errors import InputError
from mimic.evaluation import features as module
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

from .support import encoder, images, stamp

CPU = Trainer(device="cpu", precision="32-true")


def test_features_are_those_of_the_encoder_scaled_to_length_1():
    subject, data = encoder(), images(10)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(subject(data.tensor()).double(), dim=1)
    assert torch.allclose(extract_features(subject, data, trainer=CPU).double(), expected)


def test_the_batch_size_does_not_change_features():
    whole = extract_features(encoder(), images(10), trainer=CPU)
    parts = extract_features(encoder(), images(10), batch_size=3, trainer=CPU)
    assert torch.allclose(parts, whole)


def test_no_batch_is_larger_than_asked_for():
    subject = encoder()
    extract_features(subject, images(10), batch_size=4, trainer=CPU)
    assert subject.backbone.sizes == [4, 4, 2]


def test_streamed_images_give_the_same_features():
    whole = extract_features(encoder(), images(10), trainer=CPU)
    streamed = replace(images(10), streamed=True)
    assert torch.equal(extract_features(encoder(), streamed, batch_size=10, trainer=CPU), whole)


def test_a_trigger_is_stamped_on_pixels():
    seen: list[Tensor] = []

    def spy(batch: Tensor) -> Tensor:
        seen.append(batch)
        return stamp(batch)

    data = images(6)
    triggered = extract_features(encoder(), data, trigger=spy, trainer=CPU)
    assert torch.equal(seen[0], data.tensor())
    expected = extract_features(encoder(), ImageSet.from_tensor(stamp(data.tensor())), trainer=CPU)
    assert torch.equal(triggered, expected)


def test_a_trigger_may_give_floats():
    triggered = extract_features(
        encoder(), images(6), trigger=lambda batch: stamp(batch).float() / 255, trainer=CPU
    )
    assert torch.equal(
        triggered, extract_features(encoder(), images(6), trigger=stamp, trainer=CPU)
    )


def test_features_are_float32_also_in_mixed_precision():
    mixed = replace(CPU, precision="bf16-mixed")
    features = extract_features(encoder(), images(6), trainer=mixed)
    assert features.dtype == torch.float32
    assert torch.allclose(features.norm(dim=1), torch.ones(6), atol=1e-6)


def test_the_encoder_runs_in_eval_mode():
    subject = encoder().train()
    extract_features(subject, images(6), trainer=CPU)
    assert subject.backbone.modes == [False]


@pytest.mark.parametrize("frozen", [False, True])
def test_every_module_has_its_own_mode_afterwards(frozen):
    subject = encoder().train()
    subject.backbone.norm.train(not frozen)
    extract_features(subject, images(6), trainer=CPU)
    assert (subject.training, subject.backbone.norm.training) == (True, not frozen)


def test_modes_come_back_after_an_error():
    subject = encoder().train()

    def broken(_batch: Tensor) -> Tensor:
        raise RuntimeError("broken trigger")

    with pytest.raises(RuntimeError, match="broken trigger"):
        extract_features(subject, images(6), trigger=broken, trainer=CPU)
    assert subject.training


def test_features_carry_no_gradient():
    assert not extract_features(encoder(), images(6), trainer=CPU).requires_grad


def test_long_work_is_announced_on_standard_error(monkeypatch, capsys):
    monkeypatch.setattr("mimic.training.progress._LINE_EVERY_SECONDS", -1.0)
    monkeypatch.setattr(module, "_PROGRESS_FROM_BATCHES", 2)
    extract_features(encoder(), images(6), batch_size=2, trainer=replace(CPU, progress=True))
    captured = capsys.readouterr()
    assert "features: step 3 of 3" in captured.err
    assert captured.out == ""


def test_a_trigger_that_changes_the_shape_is_refused():
    with pytest.raises(InputError, match="keep the shape"):
        extract_features(encoder(), images(6), trigger=lambda batch: batch[:, :, 1:], trainer=CPU)


def test_an_encoder_that_puts_out_nan_is_refused():
    subject = encoder()
    with torch.no_grad():
        subject.backbone.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="NaN or infinity for 6 of 6 images"):
        extract_features(subject, images(6), trainer=CPU)


def test_no_images_are_refused():
    with pytest.raises(InputError, match="no images"):
        extract_features(encoder(), images(6).subset([]), trainer=CPU)


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(InputError, match="batch size"):
        extract_features(encoder(), images(6), batch_size=0, trainer=CPU)
