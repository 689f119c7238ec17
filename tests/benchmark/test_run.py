"""Running a grid: only what has no card, whatever happened before."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mimic.benchmark import load_cards, run_bench
from mimic.errors import InputError, InterruptedRunError

from .support import FINETUNE, HEAD, SCENARIO, SCRATCH, Serial, made_up_card

ERROR = {"results": {}, "error": {"type": "RunError", "message": "no"}}


def test_every_cell_gets_a_card(bench, tmp_path):
    cards = run_bench(bench, tmp_path / "out", executor=Serial(made_up_card))
    assert [card.label for card in cards] == ["finetune", "scratch"]
    assert sorted(map(str, cards)) == sorted(map(str, load_cards(tmp_path / "out")))


def test_what_has_a_card_is_not_run_again(bench, cells, tmp_path):
    run_bench(bench, tmp_path, executor=Serial(made_up_card))
    (tmp_path / "cards" / f"{cells[1].stem}.json").unlink()
    again = Serial(made_up_card)
    assert len(run_bench(bench, tmp_path, executor=again)) == 2
    assert again.seen == [cells[1]]


def test_a_failed_cell_does_not_stop_the_grid(bench, tmp_path):
    executor = Serial(lambda cell: made_up_card(cell, **(ERROR if cell.name == "finetune" else {})))
    assert [card.failed for card in run_bench(bench, tmp_path, executor=executor)] == [True, False]


def test_a_failed_cell_is_run_again_only_when_asked(bench, cells, tmp_path):
    run_bench(bench, tmp_path, executor=Serial(lambda cell: made_up_card(cell, **ERROR)))
    later = Serial(made_up_card)
    run_bench(bench, tmp_path, executor=later)
    assert later.seen == []
    cards = run_bench(bench, tmp_path, executor=later, retry_failed=True)
    assert later.seen == list(cells)
    assert not any(card.failed for card in cards)


def test_half_a_card_is_set_aside_and_run_again(bench, cells, tmp_path):
    run_bench(bench, tmp_path, executor=Serial(made_up_card))
    path = tmp_path / "cards" / f"{cells[0].stem}.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    again = Serial(made_up_card)
    with pytest.warns(UserWarning, match="set aside as '.*broken'"):
        run_bench(bench, tmp_path, executor=again)
    assert again.seen == [cells[0]]
    assert path.with_suffix(".broken").read_text() == whole[: len(whole) // 2]
    assert path.read_text() == whole


def test_a_card_with_other_settings_is_not_taken_for_this_one(bench, write, tmp_path):
    run_bench(bench, tmp_path, executor=Serial(made_up_card))
    other = write(HEAD, SCENARIO, FINETUNE.replace("epochs = 1", "epochs = 2"), SCRATCH)
    with pytest.raises(InputError, match=r"setting epochs 1 instead of 2.*another label"):
        run_bench(other, tmp_path, executor=Serial(made_up_card))


def test_an_interruption_says_what_there_is(bench, tmp_path):
    def run(cell):
        if cell.name == "scratch":
            raise KeyboardInterrupt
        return made_up_card(cell)

    with pytest.raises(InterruptedRunError, match="1 of 2 cells have a card"):
        run_bench(bench, tmp_path, executor=Serial(run))
    assert len(load_cards(tmp_path)) == 1


def test_a_second_bench_in_the_same_folder_is_refused(bench, tmp_path):
    def run(cell):
        run_bench(bench, tmp_path, executor=Serial(made_up_card))

    with pytest.raises(InputError, match="in use by another 'mimic bench'"):
        run_bench(bench, tmp_path, executor=Serial(run))


@dataclass(frozen=True)
class Elsewhere(Serial):
    """Runs cells as a machine does that does not see the folder: its lock is not there."""

    folder: Path = Path()

    def __call__(self, cells, run):
        (self.folder / "bench.lock").unlink()
        for cell in cells:
            yield cell, run(cell)
            assert not (self.folder / "work").exists()


@pytest.mark.parametrize("keep", [True, False])
def test_purified_encoders_are_kept_beside_the_cards(bench, cells, tmp_path, keep):
    run_bench(replace(bench, keep_encoders=keep), tmp_path, executor=Serial())
    kept = {path.stem for path in (tmp_path / "cards").glob("*.safetensors")}
    assert kept == ({cell.stem for cell in cells} if keep else set())
    assert len(load_cards(tmp_path)) == len(cells)


def test_a_machine_that_does_not_see_the_folder_keeps_checkpoints_elsewhere(bench, tmp_path):
    cards = run_bench(bench, tmp_path, executor=Elsewhere(folder=tmp_path))
    assert [card.error for card in cards] == [None, None]
    assert not list(tmp_path.rglob("cards/*.safetensors"))


def test_nothing_runs_where_the_start_is_refused(bench, tmp_path):
    executor = Serial(made_up_card)
    assert run_bench(bench, tmp_path, executor=executor, confirm=lambda _: False) == ()
    assert executor.seen == []


def test_what_is_about_to_run_is_shown_with_an_estimate(bench, cells, tmp_path):
    seen = []
    run_bench(
        bench, tmp_path, executor=Serial(made_up_card), confirm=lambda o: seen.append(o) or True
    )
    (outlook,) = seen
    assert (outlook.cells, outlook.todo, outlook.cards) == (cells, cells, {})
    assert all(outlook.seconds[cell.stem] > 0 for cell in cells)


def test_a_suspect_that_was_changed_is_found_before_anything_runs(bench, folder, tmp_path):
    with (folder / "suspect.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(InputError, match="another SHA-256"):
        run_bench(bench, tmp_path / "out", executor=Serial(made_up_card))
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_there_is_found_before_anything_runs(bench, tmp_path):
    with pytest.raises(InputError, match="device 'tpu' is unknown"):
        run_bench(replace(bench, device="tpu"), tmp_path / "out", executor=Serial(made_up_card))
    assert not (tmp_path / "out").exists()


def test_an_unknown_executor_comes_with_the_nearest_one(bench, tmp_path):
    with pytest.raises(InputError, match=r"did you mean 'local'\?"):
        run_bench(bench, tmp_path / "out", executor="locl")
