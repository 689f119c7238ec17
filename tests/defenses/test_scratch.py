import torch

from mimic.defenses.scratch import FromScratch

from .support import Watch, identical, images, resnet, state


def test_the_weights_of_the_suspect_have_no_influence():
    other = resnet()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2).add_(0.1)
    results = [
        FromScratch(epochs=1)(suspect, images(), trainer=Watch()) for suspect in (resnet(), other)
    ]
    first, second = (state(result.encoder.backbone) for result in results)
    assert identical(first, second)
