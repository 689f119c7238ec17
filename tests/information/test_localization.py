import json
import math

import pytest

from mimic.errors import RunError
from mimic.information.estimate import MutualInformation
from mimic.information.localization import Localization, shares


def localization(*nats):
    found = {
        f"layer{index}": MutualInformation.from_folds((value, value), "infonce")
        for index, value in enumerate(nats)
    }
    return Localization.from_estimates(found, images=10, seconds=0.5)


def test_weights_are_the_shares_of_what_is_above_zero():
    assert localization(3.0, -2.0, 1.0).weights == {"layer0": 0.75, "layer1": 0.0, "layer2": 0.25}


def test_the_nats_of_a_stage_stay_raw():
    assert localization(3.0, -2.0).stages[1].nats == -2.0


@pytest.mark.parametrize("nothing", [[0.0, 0.0, 0.0, 0.0], [-1.0, -2.0, -3.0, 1e-9]])
def test_stages_are_weighted_equally_where_there_is_no_information(nothing):
    assert shares(nothing) == [0.25] * 4


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(RunError, match="not finite"):
        shares([1.0, value])


def test_a_localization_survives_json():
    found = localization(3.0, 1.0)
    restored = json.loads(json.dumps(found.as_dict()))
    assert restored["stages"][0] == {
        "name": "layer0",
        "mutual_information": 3.0,
        "standard_error": 0.0,
        "weight": 0.75,
    }
    assert restored["images"] == 10
