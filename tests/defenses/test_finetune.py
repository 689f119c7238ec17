import pytest
import torch

from mimic.defenses.finetune import FineTuneObjective
from mimic.losses import clone_loss, nt_xent

from .support import images, resnet


def objective(clone_weight=1.0):
    """A student in evaluation mode that sees images without augmentation, and its teacher."""
    built = FineTuneObjective(
        resnet().requires_grad_(True), resnet(), (8, 8), clone_weight=clone_weight
    )
    built.augment = torch.nn.Identity()
    return built.eval()


class Brighter(torch.nn.Module):
    """An augmentation whose second views are brighter than the first ones."""

    def forward(self, images):
        first, second = images.chunk(2)
        return torch.cat([first, 0.5 + 0.5 * second])


def test_the_terms_are_those_of_the_formula():
    built = objective(clone_weight=3.0)
    built.augment = Brighter()
    batch = images().tensor() / 255
    first, second = batch, 0.5 + 0.5 * batch
    own = [built.encoder(view) for view in (first, second)]
    wanted = [built.teacher(view) for view in (second, first)]
    projections = [built.learner["head"](features) for features in own]
    terms = built(batch)
    torch.testing.assert_close(terms["contrastive"], nt_xent(*projections))
    torch.testing.assert_close(terms["clone"], 3 * clone_loss(torch.cat(own), torch.cat(wanted)))


def test_the_clone_loss_compares_different_views():
    built = objective()
    built.augment = Brighter()
    assert built(images().tensor())["clone"].item() > 1e-4


def test_the_anchor_pulls_from_the_first_step():
    built = objective()
    built.augment = Brighter()
    built(images().tensor())["clone"].backward()
    gradients = [p.grad.abs().max().item() for p in built.encoder.parameters()]
    assert max(gradients) > 1e-4


def test_a_student_that_has_not_moved_pays_nothing_for_equal_views():
    assert objective()(images().tensor())["clone"].item() == pytest.approx(0, abs=1e-6)
