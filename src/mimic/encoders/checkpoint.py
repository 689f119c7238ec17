"""Reading a checkpoint that nobody vouches for: tensors come out, and no code in it ever runs."""

import pickletools
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mimic.errors import InputError
from mimic.files import sha256

_HEAD_BYTES = 512
_FORMATS = "mimic reads .safetensors, .pth and .pt files of tensors"
_DEEPEST = 64
_MOST_UNPACKED, _MOST_INFLATION = 1 << 28, 20

Container = tuple[str | int, ...]
StateDict = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What was found in a file.

    Attributes:
        path: the file.
        kind: how it is written.
        sha256: of the file's bytes.
        state_dicts: every dictionary of tensors in the file, under the keys that lead to it; the
            empty tuple is the top of the file. Tensors are on the CPU, in the file's own dtype.
        metadata: header of a safetensors file; empty for torch files.
        content: the whole object that a torch file holds, for writing it back; else None.
    """

    path: Path
    kind: Literal["safetensors", "torch"]
    sha256: str
    state_dicts: Mapping[Container, StateDict]
    metadata: Mapping[str, str] = field(default_factory=dict)
    content: Any = None

    def tensor_names(self) -> tuple[str, ...]:
        """Full names of all tensors, container keys and tensor key joined by dots."""
        return tuple(
            ".".join(map(str, (*container, name)))
            for container, tensors in self.state_dicts.items()
            for name in tensors
        )


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read the tensors of a `.safetensors` or torch file without running any code from it.

    Torch files go through `torch.load(weights_only=True)`; what that refuses is refused here.

    Raises:
        InputError: the file is missing, is no regular file, is not a checkpoint, is cut off, would
            execute code when loaded in full, unpacks to far more than its size, nests dictionaries
            too deeply, or holds no tensors.
    """
    path = Path(path)
    head = _read_head(path)
    _refuse_other_files(path, head)
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        checkpoint = _read_safetensors(path)
    else:
        checkpoint = _read_torch(path)
    if not checkpoint.state_dicts:
        raise InputError(f"'{path}' holds no tensors, so there is no encoder in it")
    return checkpoint


def _read_head(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe is to wait for its writer
            raise InputError(
                f"cannot read '{path}': it is a folder, a pipe or a device; name a checkpoint file"
            )
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{path}'; check the path of the encoder") from error
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error


def _refuse_other_files(path: Path, head: bytes) -> None:
    start = head.lstrip().lower()
    if not head:
        raise InputError(f"'{path}' is empty; download it again")
    # The length that a safetensors file begins with may be the code of '<'.
    if start.startswith(b"<") and head[8:9] != b"{":
        raise InputError(
            f"'{path}' is a web page (HTML), not a checkpoint; download the file itself "
            "(on most sites the 'raw' or 'download' link)"
        )
    if start.startswith(b"version https://git-lfs"):
        raise InputError(
            f"'{path}' is a Git LFS pointer, not the checkpoint; fetch the file with 'git lfs pull'"
        )


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"'{path}' is not a whole safetensors file ({_first_line(error)}); download it again"
        ) from error
    return Checkpoint(
        path=path,
        kind="safetensors",
        sha256=sha256(path),
        state_dicts={(): tensors} if tensors else {},
        metadata=metadata,
    )


def _read_torch(path: Path) -> Checkpoint:
    # torch raises whatever its parsers stumble over (KeyError, EOFError, RuntimeError ...) when the
    # bytes are not what they seem: every one of them means that this file cannot be read.
    try:
        _refuse_inflated(path)
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, InputError):
        raise
    except Exception as error:
        raise _explain(path, error) from error
    return Checkpoint(
        path=path,
        kind="torch",
        sha256=sha256(path),
        state_dicts=dict(_find_state_dicts(path, content, (), set())),
        content=content,
    )


def _refuse_inflated(path: Path) -> None:
    """Refuse what fills the memory from a small file; torch itself compresses nothing."""
    if not _read_head(path).startswith(b"PK"):
        return
    with zipfile.ZipFile(path) as members:
        unpacked = sum(member.file_size for member in members.infolist())
    if unpacked > max(_MOST_UNPACKED, _MOST_INFLATION * path.stat().st_size):
        raise InputError(
            f"'{path}' would unpack to {unpacked >> 20} MiB, more than {_MOST_INFLATION} times its "
            "size, and was not unpacked; ask for a file as torch.save writes it"
        )


def _find_state_dicts(
    path: Path, content: Any, container: Container, seen: set[int]
) -> Iterator[tuple[Container, StateDict]]:
    """Every mapping that directly holds tensors, outermost first, each where it is met first."""
    if not isinstance(content, Mapping) or id(content) in seen:
        return
    if len(container) > _DEEPEST:
        raise InputError(
            f"'{path}' nests dictionaries more than {_DEEPEST} deep, which no checkpoint needs; "
            "ask for a file of the weights alone"
        )
    seen.add(id(content))
    tensors = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield container, tensors
    for key, value in content.items():
        if isinstance(key, str | int):
            yield from _find_state_dicts(path, value, (*container, key), seen)


def _explain(path: Path, error: Exception) -> InputError:
    head = _read_head(path)
    binary = head.startswith((b"PK", b"\x80"))
    wanted = _global_in_message(str(error)) if binary else None
    wanted = wanted or _global_in_pickle(path)
    if "TorchScript" in str(error):
        return _would_execute(path, "it is a TorchScript program")
    if wanted is not None:
        return _would_execute(path, f"it asks for {wanted}")
    if binary:
        return InputError(
            f"'{path}' is cut off or damaged, torch cannot read it ({_first_line(error)}); "
            "download or copy it again"
        )
    what = "a text file" if _is_text(head) else "in no format that is known here"
    return InputError(f"'{path}' is {what}, not a checkpoint; {_FORMATS}")


def _global_in_message(message: str) -> str | None:
    """The function or class that torch refused, as its message names it."""
    found = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"globals\(\[([\w.]+)\]", message)
    return None if found is None else found.group(1).rstrip(".")


def _global_in_pickle(path: Path) -> str | None:
    """The first function or class that a bare pickle asks for; its opcodes are read, never run."""
    strings: list[str] = []
    wanted: str | None = None
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    wanted = wanted or str(argument).replace(" ", ".")
                elif opcode.name == "STACK_GLOBAL":
                    wanted = wanted or ".".join(strings[-2:])
                elif isinstance(argument, str):
                    strings.append(argument)
    except Exception:  # not a pickle: the parser fails in as many ways as there are other files
        return None
    return wanted


def _would_execute(path: Path, why: str) -> InputError:
    return InputError(
        f"'{path}' would execute code when loaded ({why}), and was NOT executed; "
        "ask for the weights alone as a .safetensors file, or convert it on a machine that may be "
        "lost, with safetensors.torch.save_file(state_dict, ...)"
    )


def _is_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__
