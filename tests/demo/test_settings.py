import pytest

from mimic.demo.settings import DemoSettings
from mimic.errors import InputError


def test_no_two_trainings_start_from_the_same_weights():
    settings = DemoSettings()
    seeds = {
        settings.pretraining(0).seed,
        settings.defense(0).seed,
        settings.control(0).seed,
        settings.subset_seed(0),
    }
    assert len(seeds) == 4


def test_the_control_follows_the_recipe_of_the_clean_encoder():
    settings = DemoSettings()
    clean, control = settings.pretraining(0), settings.control(0)
    assert (clean.learning_rate, clean.min_scale) == (control.learning_rate, control.min_scale)


@pytest.mark.parametrize("size", [100, 200])
def test_no_clean_image_is_left_out_of_a_batch(size):
    settings = DemoSettings()
    assert settings.clean_images % size == 0
    assert {settings.defense(0).batch_size, settings.control(0).batch_size} == {100, 200}


def test_the_trigger_fits_on_the_digits():
    patch = DemoSettings().stamp()
    assert patch.spelling == "patch:4@11,11:white"


def test_too_few_clean_images_are_refused():
    with pytest.raises(InputError, match="16 clean images or more, not 3"):
        DemoSettings(clean_images=3)
