import torch

from mimic.losses import nt_xent
from mimic.pretraining.simclr import SimClrObjective

from .support import given


def test_the_term_is_the_contrast_of_both_views(digits):
    objective = SimClrObjective(given(), digits.size, temperature=0.2).eval()
    objective.augment = torch.nn.Identity()
    images = digits.tensor() / 255
    projections = objective.learner["head"](objective.encoder(images))
    expected = nt_xent(projections, projections, 0.2)
    torch.testing.assert_close(objective(images)["contrastive"], expected)
