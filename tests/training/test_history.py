"""What a training did, told in other words."""

from mimic.training import History

EPOCH = {"epoch": 1, "step": 3, "learning_rate": 0.1, "images_per_second": 9.0, "seconds": 1.0}


def test_losses_are_what_is_no_other_number_of_an_epoch():
    history = History(epochs=[EPOCH | {"clone": 0.5}, EPOCH | {"clone": 0.25}])
    assert history.curves() == {"clone": (0.5, 0.25)}
    assert History().curves() == {}
