import pytest
import torch

from mimic.defenses.holdout import hold_out, similarity, strongest_within
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError

from .support import Watch, images, resnet


def scaled(factor: float) -> Encoder:
    """The tiny ResNet with its last stage's first channels turned against the suspect's."""
    encoder = resnet().eval()
    with torch.no_grad():
        encoder.backbone.layer4[0].bn2.bias.add_(factor)
    return encoder


def test_the_two_parts_make_up_the_whole():
    learned, judged = hold_out(images(20), share=0.25, seed=3)
    assert sorted([*learned.indices.tolist(), *judged.indices.tolist()]) == list(range(20))
    assert len(judged) == 5


def test_the_seed_decides_the_split():
    def judged(seed):
        return hold_out(images(20), seed=seed)[1].indices.tolist()

    assert judged(0) == judged(0)
    assert judged(0) != judged(1)


def test_both_parts_hold_at_least_one_image():
    assert [len(part) for part in hold_out(images(2), share=0.01)] == [1, 1]
    assert [len(part) for part in hold_out(images(2), share=0.99)] == [1, 1]


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(InputError, match="share of images"):
        hold_out(images(4), share=share)


def test_one_image_cannot_be_split():
    with pytest.raises(InputError, match="at least two"):
        hold_out(images(1))


def test_an_encoder_is_wholly_similar_to_itself():
    assert similarity(resnet(), resnet(), images(), Watch()) == pytest.approx(1, abs=1e-6)


def test_similarity_falls_with_the_change():
    found = [similarity(resnet(), scaled(factor), images(), Watch()) for factor in (0, 0.1, 1)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[1] > found[2]


def test_the_last_setting_before_the_budget_is_spent_wins():
    factors = (0.0, 0.1, 1.0, 0.0)
    kept = similarity(resnet(), scaled(0.1), images(), Watch())
    chosen = strongest_within(
        factors, scaled, resnet(), images(), tolerance=1 - kept + 1e-6, trainer=Watch()
    )
    assert chosen == 0.1


def test_no_setting_wins_where_the_mildest_goes_too_far():
    chosen = strongest_within(
        (1.0, 2.0), scaled, resnet(), images(), tolerance=1e-6, trainer=Watch()
    )
    assert chosen is None
