"""A real Ray cluster of two nodes on this machine: one is killed, and every cell has its card."""

import dataclasses
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mimic.benchmark import Cluster, load_cards, run_bench
from mimic.benchmark import ray_executor as module
from mimic.benchmark.cells import failed
from mimic.benchmark.ray_executor import RayExecutor, ray_executor
from mimic.errors import InputError, InterruptedRunError, RunError

from .support import FINETUNE, HEAD, SCENARIO, Serial, wait_for

ray = pytest.importorskip("ray")
EPOCHS = 100
"""So many that no cell is done before its node is killed."""
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster with a head; its functions below need not be there for workers to import."""
    from ray.cluster_utils import Cluster as Nodes

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cluster = Nodes(initialize_head=True, head_node_args=NODE)
    yield cluster
    cluster.shutdown()
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def second(nodes) -> Any:
    """The node beside the head; a new one if it was killed."""
    return next(iter(nodes.worker_nodes), None) or nodes.add_node(**NODE)


@pytest.fixture
def executor(nodes, second, tmp_path) -> RayExecutor:
    return ray_executor(None, tmp_path / "logs", Cluster(address=nodes.address))


def note(run: Callable, notes: Path, cell):
    """Run a cell, and say on which node."""
    node = ray.get_runtime_context().get_node_id()
    (notes / f"{cell.stem}@{node}.{time.monotonic_ns()}").touch()
    return run(cell)


def noted(notes: Path) -> Counter[str]:
    """Attempts of each cell."""
    return Counter(path.name.partition("@")[0] for path in notes.iterdir())


@dataclasses.dataclass(frozen=True)
class Noting(Serial):
    """An executor with notes about the nodes of its cells."""

    inner: RayExecutor | None = None
    notes: Path = Path()

    def __call__(self, cells, run):
        yield from self.inner(cells, partial(note, run, self.notes))


def test_a_node_that_is_killed_costs_no_cell_and_no_card(executor, nodes, second, write, tmp_path):
    notes, out = tmp_path / "notes", tmp_path / "out"
    notes.mkdir()
    config = write(
        "seeds = [0, 1, 2]\n", HEAD, SCENARIO, FINETUNE.replace("= 1\n", f"= {EPOCHS}\n")
    )

    def kill():
        wait_for(lambda: list(notes.glob(f"*@{second.node_id}.*")))
        stem = next(notes.glob(f"*@{second.node_id}.*")).name.partition("@")[0]
        metrics = out / "work" / stem / "finetune.jsonl"
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 2)
        nodes.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    run_bench(config, out, executor=Noting(inner=executor, notes=notes))
    killer.join()
    assert [(card.seed, card.failed) for card in load_cards(out)] == [
        (0, False),
        (1, False),
        (2, False),
    ]
    assert sorted(noted(notes).values()) == [1, 1, 2]


def die(cell):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_cell_whose_process_dies_again_and_again_has_a_card_that_says_so(
    executor, cells, tmp_path
):
    notes = tmp_path / "notes"
    notes.mkdir()
    ((_, card),) = executor(cells[:1], partial(note, die, notes))
    assert card.error.type == "RunError"
    assert "was lost 3 times; the last time: WorkerCrashedError" in card.error.message
    assert noted(notes) == {cells[0].stem: 3}


def answer_or_wait(folder: Path, cell):
    if cell.label == "finetune":
        while not (folder / "started").exists():
            time.sleep(0.05)
        print("at work on", cell.label)
        return failed(cell, RunError(f"from process {os.getpid()}"))
    (folder / "started").touch()
    try:
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        (folder / "saved").touch()
        raise InterruptedRunError("saved") from None


def test_closing_lets_cells_save_and_leaves_the_cluster(executor, cells, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    finished = executor(cells, partial(answer_or_wait, tmp_path))
    _, card = next(finished)
    assert signal.getsignal(signal.SIGTERM) is before
    finished.close()
    assert (tmp_path / "saved").exists()
    assert not ray.is_initialized()
    assert executor.cluster.outlook() == 2
    assert card.error.message.startswith("from process")
    assert str(os.getpid()) not in card.error.message
    assert (tmp_path / "logs" / f"{cells[0].stem}.log").read_text() == "at work on finetune\n"


def test_cells_that_fit_on_no_machine_are_refused(nodes, second, tmp_path):
    with pytest.raises(InputError, match=r"no machine has 2 CPU\(s\) for a cell"):
        ray_executor(None, tmp_path, Cluster(address=nodes.address, cpus=2))


@pytest.mark.parametrize(("workers", "expected"), [(None, 4), (1, 1), (9, 4)])
def test_no_more_cells_at_a_time_than_fit(monkeypatch, tmp_path, workers, expected):
    monkeypatch.setattr(Cluster, "machine", lambda _: {"CPU": 8, "GPU": 0})
    made = ray_executor(workers, tmp_path, Cluster(cpus=2))
    assert (made.workers, made.threads) == (expected, 2)


def test_no_workers_are_too_few(tmp_path):
    with pytest.raises(InputError, match="must be 1 or more, not 0"):
        ray_executor(0, tmp_path)


def test_a_gpu_that_the_configuration_wants_has_to_be_asked_for(cells, tmp_path):
    executor = RayExecutor(workers=1, cluster=Cluster(), logs=tmp_path)
    wanting = [dataclasses.replace(cell, device="cuda") for cell in cells]
    with pytest.raises(InputError, match="as in --gpus 1"):
        list(executor(wanting, answer_or_wait))


def test_no_machine_left_ends_the_grid_and_drops_what_waits(cells, monkeypatch, tmp_path):
    dropped = []
    empty = SimpleNamespace(
        remote=lambda **_: lambda work: SimpleNamespace(remote=lambda cell, *_: cell.stem),
        wait=lambda tasks, **_: ([], tasks),
        nodes=lambda: [{"Alive": False, "Resources": {"CPU": 8.0}}],
        cancel=lambda task, force=False: dropped.append((task, force)),
    )
    monkeypatch.setattr(module, "joined", lambda _: nullcontext(empty))
    executor = RayExecutor(workers=1, cluster=Cluster(), logs=tmp_path)
    with pytest.raises(RunError, match=r"no machine is left with 1 CPU\(s\) for a cell"):
        list(executor(cells, answer_or_wait))
    assert dropped == [(cells[0].stem, False), (cells[0].stem, True)]


def test_what_no_cell_can_help_stops_the_grid(cells):
    def get(_task):
        raise ray.exceptions.RayTaskError("run", "", RunError("the disk is full"))

    there = SimpleNamespace(get=get, exceptions=ray.exceptions)
    with pytest.raises(RunError, match="disk is full"):
        module._answer(there, "task", cells[0])
