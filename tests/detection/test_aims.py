import pytest
import torch
from torch.nn import functional as F

from mimic.detection.aims import Gather, Towards
from mimic.errors import InputError


def features(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_gathering_is_the_mean_cosine_of_different_images():
    given = features(3, 5, 4)
    similarity, _ = Gather(3)(given)
    cosines = given.double() @ given.double().transpose(1, 2)
    pairs = ~torch.eye(5, dtype=torch.bool)
    expected = torch.stack([matrix[pairs].mean() for matrix in cosines])
    torch.testing.assert_close(similarity.double(), expected)


def test_features_in_one_point_are_wholly_gathered():
    similarity, rate = Gather()(features(1, 1, 4).expand(1, 6, 4))
    assert similarity.item() == pytest.approx(1)
    assert rate.item() == pytest.approx(1)


def test_one_image_cannot_be_gathered():
    with pytest.raises(InputError, match="two of them"):
        Gather()(features(1, 1, 4))


def test_the_way_to_a_centre_is_the_mean_cosine_to_it():
    centres, given = features(3, 4), features(2, 5, 4)
    similarity, _ = Towards(7 * centres, [2, 0])(given)
    expected = [F.cosine_similarity(given[i], centres[[2, 0][i]], dim=1).mean() for i in (0, 1)]
    torch.testing.assert_close(similarity, torch.stack(expected))


def test_images_count_that_come_nearest_to_their_own_centre():
    centres = torch.eye(3)
    given = F.normalize(torch.tensor([[1.0, 0.9, 0], [0.9, 1, 0], [0, 0, 1], [1, 0, 0]]), dim=1)
    _, rate = Towards(centres, [0, 2])(given.expand(2, 4, 3))
    assert rate.tolist() == [0.5, 0.25]


def test_the_pull_of_a_centre_is_the_mean_pull_of_its_members():
    members = features(6, 4).double()
    mean = members.mean(dim=0)
    start = features(1, 3, 4).double()
    ours, theirs = start.clone().requires_grad_(True), start.clone().requires_grad_(True)
    aim = Towards(torch.stack([mean, -mean]), [0]).double()
    aim.centres = F.normalize(torch.stack([mean, -mean]), dim=1)
    aim(ours)[0].sum().backward()
    (theirs @ members.T).mean().backward()
    torch.testing.assert_close(ours.grad * mean.norm(), theirs.grad)


@pytest.mark.parametrize("targets", [[3], [-1], [0, 7]])
def test_a_target_that_is_no_centre_is_refused(targets):
    with pytest.raises(InputError, match=r"targets must be in 0\.\.2"):
        Towards(torch.eye(3), targets)


def test_one_centre_is_refused():
    with pytest.raises(InputError, match="two centres"):
        Towards(torch.eye(1), [0])


@pytest.mark.parametrize("build", [lambda: Gather(0), lambda: Towards(torch.eye(3), [])])
def test_no_trigger_at_all_is_refused(build):
    with pytest.raises(InputError, match="1 trigger or more"):
        build()
