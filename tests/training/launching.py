"""Start several processes as torchrun does, and collect what each of them found."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

WORKER = Path(__file__).with_name("worker.py")


def launch(
    folder: Path, *cases: str, worker: Path = WORKER, count: int = 2, seconds: float = 240
) -> dict[str, list[Any]]:
    """Run cases of a worker one after the other in `count` processes.

    Returns:
        What each process found, in their order, by case.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(worker), str(folder), *cases],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        said = [process.communicate(timeout=seconds)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [process.returncode for process in started] == [0] * count, "\n".join(said)
    files = {case: [folder / f"{case}-{rank}.pt" for rank in range(count)] for case in cases}
    return {case: [torch.load(file) for file in found] for case, found in files.items()}
