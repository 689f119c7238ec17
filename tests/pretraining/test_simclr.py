import pytest
import torch
from sklearn.datasets import load_digits

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.losses import nt_xent
from mimic.pretraining.simclr import SimClr, SimClrObjective
from mimic.training import Plan, Trainer

QUICK = SimClr(epochs=1, batch_size=32)


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    """64 digits of 8x8 pixels."""
    pixels = torch.from_numpy(load_digits().images[:64] / 16 * 255).to(torch.uint8)
    return ImageSet.from_tensor(pixels[:, None].expand(-1, 3, -1, -1).contiguous())


def given() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Encoder(build_backbone("resnet10:width=4"), mean=(0.5,) * 3, std=(0.3,) * 3).eval()


def trained(digits: ImageSet, settings: SimClr = QUICK) -> dict[str, torch.Tensor]:
    trainer = Trainer(device="cpu", precision="32-true")
    return settings(given(), digits, trainer=trainer).backbone.state_dict()


def identical(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_the_same_seed_gives_the_same_weights(digits):
    assert identical(trained(digits), trained(digits))


def test_another_seed_gives_other_weights(digits):
    assert not identical(trained(digits), trained(digits, SimClr(epochs=1, batch_size=32, seed=1)))


def test_the_given_weights_have_no_influence(digits):
    trainer = Trainer(device="cpu", precision="32-true")
    other = given().reinitialized(9)
    assert identical(QUICK(other, digits, trainer=trainer).backbone.state_dict(), trained(digits))


def test_zero_epochs_give_the_seeded_random_weights(digits):
    expected = given().reinitialized(5).backbone.state_dict()
    assert identical(trained(digits, SimClr(epochs=0, seed=5)), expected)


def test_the_given_encoder_is_left_as_it_was(digits):
    encoder = given()
    QUICK(encoder, digits, trainer=Trainer(device="cpu", precision="32-true"))
    assert identical(encoder.state_dict(), given().state_dict())
    assert not encoder.training


def test_the_result_is_in_eval_mode_and_normalises_as_before(digits):
    encoder = QUICK(given(), digits, trainer=Trainer(device="cpu", precision="32-true"))
    assert not any(module.training for module in encoder.modules())
    assert torch.equal(encoder.mean, given().mean)


def test_each_batch_normalisation_counts_one_batch_per_step(digits):
    counts = [int(v) for k, v in trained(digits).items() if k.endswith("num_batches_tracked")]
    assert set(counts) == {2}


def test_the_loss_falls_within_a_few_steps(digits):
    encoder = Encoder(build_backbone("resnet10:width=8"), mean=(0.5,) * 3, std=(0.3,) * 3)
    objective = SimClrObjective(encoder.reinitialized(0), digits.size, min_scale=0.8)
    plan = Plan(epochs=15, batch_size=64, learning_rate=3e-3)
    history = Trainer(device="cpu", precision="32-true").fit(objective, digits, plan)
    losses = [record["contrastive"] for record in history.epochs]
    assert losses[-1] < losses[0] - 0.3


def test_random_states_are_as_they_were(digits):
    before = torch.get_rng_state()
    trained(digits)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_term_is_the_contrast_of_both_views(digits):
    objective = SimClrObjective(given(), digits.size, temperature=0.2).eval()
    objective.augment = torch.nn.Identity()
    images = digits.tensor() / 255
    projections = objective.learner["head"](objective.encoder(images))
    expected = nt_xent(projections, projections, 0.2)
    torch.testing.assert_close(objective(images)["contrastive"], expected)


def test_bad_settings_are_refused(digits):
    with pytest.raises(InputError, match="epochs must be 0 or more"):
        trained(digits, SimClr(epochs=-1))
