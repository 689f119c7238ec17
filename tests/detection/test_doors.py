"""Triggers are judged by other images than they were searched on."""

from dataclasses import replace

import torch

from mimic.detection.doors import judges_of
from mimic.detection.search import search_patches
from mimic.images.imageset import ImageSet
from mimic.training import Trainer


def test_most_of_the_images_that_a_search_looks_at_do_not_judge(without_door):
    pixels = torch.zeros(640, 3, 8, 8, dtype=torch.uint8)
    searched: set[int] = set()

    def read(chosen):
        searched.update(chosen)
        return pixels[chosen]

    images = replace(ImageSet.from_tensor(pixels), read=read)
    trainer = Trainer(device="cpu", precision="32-true")
    search_patches(without_door, images, population=16, rounds=1, seed=0, trainer=trainer)
    assert len(searched) == 32
    assert len(searched.intersection(judges_of(images, 0).indices.tolist())) < 16
