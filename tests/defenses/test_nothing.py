import pytest

from mimic.defenses.nothing import Nothing
from mimic.errors import InputError

from .support import Watch, identical, images, resnet, state


def test_the_suspect_comes_back_as_it_was():
    result = Nothing()(resnet(), images(), trainer=Watch())
    assert identical(state(result.encoder), state(resnet()))


def test_nothing_is_trained():
    watch = Watch()
    history = Nothing()(resnet(), images(), trainer=watch).history
    assert watch.seen == []
    assert (history.steps, history.seconds, history.epochs) == (0, 0.0, [])


def test_no_epochs_are_promised():
    assert Nothing().epochs == 0
    with pytest.raises(InputError, match="trains nothing"):
        Nothing().with_settings(epochs=3)
