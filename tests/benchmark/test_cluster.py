"""What a cell takes of a cluster, and clusters that cannot be had."""

import socket
import sys

import pytest

from mimic.benchmark import Cluster
from mimic.benchmark.cluster import joined
from mimic.errors import InputError


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"cpus": 0}, "CPUs of a cell must be 1 or more, not 0"),
        ({"gpus": -1}, "GPUs of a cell must be a share of one or a whole number, not -1"),
        ({"gpus": 1.5}, "a whole number, not 1.5"),
        ({"gpus": float("nan")}, "a whole number, not nan"),
        ({"gpus": float("inf")}, "a whole number, not inf"),
    ],
)
def test_what_no_cell_can_take_is_refused(settings, complaint):
    with pytest.raises(InputError, match=complaint):
        Cluster(**settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 9),
        ({"cpus": 2}, 4),
        ({"cpus": 5}, 1),
        ({"cpus": 9}, 0),
        ({"gpus": 1}, 2),
        ({"gpus": 0.1}, 8),
        ({"cpus": 4, "gpus": 1}, 2),
        ({"gpus": 4}, 0),
    ],
)
def test_cells_fit_on_single_machines_that_are_alive(settings, expected):
    class Ray:
        @staticmethod
        def nodes():
            return [
                {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
                {"Alive": True, "Resources": {"CPU": 1.0}},
                {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
            ]

    assert Cluster(**settings).room(Ray) == expected


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'mimic-purify\[ray\]'"):
        Cluster().outlook()


def test_an_address_at_which_nobody_answers_is_told_soon():
    pytest.importorskip("ray")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(InputError, match=f"nobody answers at '{address}'"),
            joined(Cluster(address=address)),
        ):
            pass


@pytest.mark.parametrize("address", ["somewhere", ":6379", "host:", "host:ssh", "host:70000"])
def test_an_address_without_a_host_and_a_port_is_refused(address):
    pytest.importorskip("ray")
    with (
        pytest.raises(InputError, match="is not understood; write HOST:PORT or auto"),
        joined(Cluster(address=address)),
    ):
        pass


def test_there_has_to_be_a_cluster_to_find_one(monkeypatch):
    ray = pytest.importorskip("ray")

    def init(address, **_):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(InputError, match="cannot join the Ray cluster 'auto': Could not find any"),
        joined(Cluster(address="auto")),
    ):
        pass
