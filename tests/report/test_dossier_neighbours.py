"""Nearest neighbours of a report: known ones, on points of a circle."""

import math

import pytest
import torch

from mimic.report.dossier.neighbours import SHOWN, nearest, neighbours
from mimic.report.dossier.views import View


def circle(*degrees: float) -> torch.Tensor:
    angles = torch.tensor([math.radians(degree) for degree in degrees])
    return torch.stack([angles.cos(), angles.sin()], dim=1)


SPREAD = circle(0, 10, 21, 33, 46, 60, 75, 91)


def shown(clean: torch.Tensor, triggered: torch.Tensor | None, after: torch.Tensor | None = None):
    views = [View(role="before", clean=clean, triggered=triggered)]
    if after is not None:
        views.append(View(role="after", clean=after, triggered=triggered))
    return neighbours(views, picture=lambda position: f"picture {position}")


def test_neighbours_come_nearest_first_without_the_image_itself():
    found = nearest(SPREAD[[2]], SPREAD, torch.tensor([2]), count=3)
    assert found.tolist() == [[1, 3, 0]]


def test_a_triggered_image_is_not_a_neighbour_of_its_clean_self():
    found = nearest(circle(20), SPREAD, torch.tensor([2]), count=1)
    assert found.tolist() == [[1]]


def test_a_trigger_that_does_nothing_keeps_all_neighbours():
    assert shown(SPREAD, SPREAD).kept == {"before": 1.0}


def test_a_trigger_that_gathers_all_images_gives_them_the_same_neighbours():
    found = shown(SPREAD, circle(91).expand(8, 2))
    rows = [query.rows[1].positions for query in found.queries]
    assert all(row == (7, 6, 5, 4, 3) for row in rows)
    assert found.queries[0].rows[1].same == (False, False, True, True, True)


def test_neighbours_before_are_what_the_others_are_compared_with():
    found = shown(SPREAD, None, after=SPREAD.flip(0))
    before, after = found.queries[0].rows
    assert before.same == (True,) * SHOWN
    assert (before.role, after.role) == ("before", "after")
    assert before.positions == (1, 2, 3, 4, 5)
    assert after.positions == (1, 2, 3, 4, 5)


def test_each_neighbour_comes_with_its_picture():
    row = shown(SPREAD, None).queries[0].rows[0]
    assert row.pictures == tuple(f"picture {position}" for position in row.positions)


@pytest.mark.parametrize("count", [2, 3])
def test_few_images_have_few_neighbours(count):
    found = shown(SPREAD[:count], None)
    assert len(found.queries) == count
    assert all(len(row.positions) == count - 1 for query in found.queries for row in query.rows)
