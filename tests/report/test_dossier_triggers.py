"""Pictures of triggers: the difference on grey, amplified by a known factor."""

import torch

from mimic.report.dossier.triggers import difference, examples

IMAGE = torch.full((3, 4, 4), 100, dtype=torch.uint8)


def test_what_does_not_change_is_grey():
    changed, factor = difference(IMAGE, IMAGE)
    assert (changed == 128).all()
    assert factor == 1.0


def test_the_largest_change_is_amplified_to_the_end_of_the_scale():
    triggered = IMAGE.clone()
    triggered[0, 0, 0], triggered[1, 0, 0] = 110, 95
    changed, factor = difference(IMAGE, triggered)
    assert factor == 12.7
    assert changed[:, 0, 0].tolist() == [255, 64, 128]  # 64.5 goes to the even number


def test_a_change_of_all_shades_stays_in_range():
    black, white = torch.zeros(3, 1, 1, dtype=torch.uint8), torch.full((3, 1, 1), 255)
    assert difference(black, white.to(torch.uint8))[0].flatten().tolist() == [255] * 3
    assert difference(white.to(torch.uint8), black)[0].flatten().tolist() == [1] * 3


def test_each_image_becomes_an_example():
    made = examples(lambda images: 255 - images, torch.stack([IMAGE, IMAGE + 20]))
    assert len(made) == 2
    assert all(one.clean != one.triggered != one.difference for one in made)
