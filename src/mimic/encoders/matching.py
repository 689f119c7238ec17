"""Where a backbone sits in a checkpoint: container, prefix and spelling are found by trying."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from mimic.encoders.architectures import ARCHITECTURES, LARGEST, build_backbone
from mimic.encoders.checkpoint import Checkpoint, Container, StateDict
from mimic.errors import InputError

_LISTED = 10
_MOST_STEMS = 8
_OPTIONAL = "num_batches_tracked"  # absent in files older than torch 0.4.1
_ONLINE = frozenset({"online", "query", "q", "student"})
_TARGET = frozenset({"target", "key", "k", "teacher", "momentum", "ema"})
_HEAD = re.compile(
    r"(g|fc|heads?|linear|classifier|mlp(_?head)?|predictor|projector|projection|queue(_?ptr)?"
    r"|(proj|projection|pred|prediction|contrastive)_?head)_?\d*"
)


def _sequential(first_stage: int) -> Callable[[str], str]:
    positions = {"conv1": "0", "bn1": "1"} | {
        f"layer{i + 1}": str(first_stage + i) for i in range(4)
    }

    def rename(key: str) -> str:
        first, dot, rest = key.partition(".")
        return f"{positions.get(first, first)}{dot}{rest}"

    return rename


LAYOUTS: dict[str, Callable[[str], str]] = {
    "named": lambda key: key,
    # The ResNet of SimCLR for CIFAR-10 (BadEncoder and its descendants): children of a torchvision
    # ResNet without max-pooling in an nn.Sequential. With max-pooling everything moves on by one.
    "sequential": _sequential(3),
    "sequential with max-pooling": _sequential(4),
    "shortcut": lambda key: key.replace(".downsample.", ".shortcut."),
}
"""Spellings of the same network: from a key of the backbone to the key in the file."""


@dataclass(frozen=True, kw_only=True)
class FileSpelling:
    """How the library that a backbone comes from writes it into files.

    A backbone carries it as its attribute `file_spelling`.

    Attributes:
        left_out: beginnings of the names of tensors that the library adds (its classifier, say).
        names: from the backbone's names to the library's; None where they are the same.
    """

    left_out: tuple[str, ...] = ()
    names: Mapping[str, str] | None = None


_PLAIN = FileSpelling()


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which tensor of a checkpoint is which tensor of a backbone.

    Attributes:
        container: keys that lead to the dictionary of tensors.
        prefix: what stands before the backbone's keys in the file.
        layout: a name of `LAYOUTS`, or "library".
        names: from each key of the backbone to its key in the file; a `num_batches_tracked` that
            the file does not have is left out.
        others: further places in the file where the same network fits (a momentum encoder, say).
    """

    container: Container
    prefix: str
    layout: str
    names: Mapping[str, str]
    others: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The place in words, such as `state_dict: encoder_q.`"""
        return ".".join(map(str, self.container)) + ": " + (self.prefix or "(no prefix)")


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """One place that was tried, and what does not fit there."""

    match: Match
    missing: tuple[str, ...]
    reshaped: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not (self.missing or self.reshaped or self.unexpected)

    @property
    def fitting(self) -> int:
        return len(self.match.names) - len(self.reshaped)


def match_backbone(checkpoint: Checkpoint, backbone: nn.Module) -> Match:
    """Find the place in `checkpoint` where all tensors of `backbone` exist with equal shapes.

    Every dictionary of tensors, every prefix that occurs and every spelling of `LAYOUTS` is tried.
    Where several fit, an online, query or student encoder goes before a nameless one, that before a
    key, target, teacher or momentum encoder; then the shorter prefix. Projection heads and
    whatever lies outside the prefix are tolerated.

    Raises:
        InputError: nothing fits in full; the message lists what is missing, of another shape or
            unexpected at the best place.
    """
    shapes = {name: tensor.shape for name, tensor in backbone.state_dict().items()}
    spelling = getattr(backbone, "file_spelling", _PLAIN)
    fits = list(_tried_fits(checkpoint, shapes, spelling))
    complete = sorted((fit.match for fit in fits if fit.complete), key=_preference)
    if not complete:
        raise _misfit(checkpoint, max(fits, key=lambda fit: fit.fitting, default=None))
    best, *others = complete
    return Match(
        container=best.container,
        prefix=best.prefix,
        layout=best.layout,
        names=best.names,
        others=tuple(match.place for match in others),
    )


def recognize(checkpoint: Checkpoint) -> str | None:
    """The spelling of the architecture of ours that fits the tensors by shape, or None.

    The stride of the stem leaves no trace in the shapes, so it is not part of the answer.
    """
    widths = dict.fromkeys(
        tensor.shape[0]
        for tensors in checkpoint.state_dicts.values()
        for tensor in tensors.values()
        if tensor.ndim == 4 and tensor.shape[1:] == (3, 3, 3) and 1 <= tensor.shape[0] <= LARGEST
    )
    stems = list(widths)[:_MOST_STEMS]
    for name, architecture in ARCHITECTURES.items():
        # of a transformer, shapes do not tell the number of heads
        for width in stems if "width" in architecture.settings else ():
            spelling = name if width == 64 else f"{name}:width={width}"
            with torch.device("meta"):
                backbone = build_backbone(spelling)
            shapes = {key: tensor.shape for key, tensor in backbone.state_dict().items()}
            if any(fit.complete for fit in _tried_fits(checkpoint, shapes)):
                return spelling
    return None


def _tried_fits(
    checkpoint: Checkpoint,
    shapes: Mapping[str, torch.Size],
    spelling: FileSpelling = _PLAIN,
) -> Iterator[_Fit]:
    layouts = dict(LAYOUTS)
    if spelling.names is not None:
        layouts["library"] = spelling.names.__getitem__
    for container, tensors in checkpoint.state_dicts.items():
        for layout, rename in layouts.items():
            names = {key: rename(key) for key in shapes}
            if layout != "named" and all(key == name for key, name in names.items()):
                continue
            for prefix in _prefixes(tensors, names.values()):
                spelled = {key: prefix + name for key, name in names.items()}
                match = Match(
                    container=container,
                    prefix=prefix,
                    layout=layout,
                    names={key: name for key, name in spelled.items() if name in tensors},
                )
                yield _assess(match, spelled, shapes, tensors, spelling.left_out)


def _prefixes(tensors: Iterable[str], names: Iterable[str]) -> dict[str, None]:
    """What stands before any of `names` in the file, in the order of the file."""
    wanted = set(names)
    prefixes: dict[str, None] = {}
    for key in tensors:
        starts = [0, *(dot.end() for dot in re.finditer(r"\.", key))]
        prefixes |= {key[:start]: None for start in starts if key[start:] in wanted}
    return prefixes


def _assess(
    match: Match,
    spelled: Mapping[str, str],
    shapes: Mapping[str, torch.Size],
    tensors: StateDict,
    left_out: tuple[str, ...],
) -> _Fit:
    known = set(spelled.values())
    prefix = match.prefix
    modules = {name[len(prefix) :].partition(".")[0] for name in known}
    inside = [name[len(prefix) :] for name in tensors if name.startswith(prefix)]
    return _Fit(
        match=match,
        missing=tuple(
            name
            for name in spelled.values()
            if name not in tensors and not name.endswith(_OPTIONAL)
        ),
        reshaped=tuple(
            f"{name} {tuple(tensors[name].shape)} for {tuple(shapes[key])}"
            for key, name in match.names.items()
            if tensors[name].shape != shapes[key]
        ),
        unexpected=tuple(
            prefix + rest
            for rest in inside
            if prefix + rest not in known
            and not rest.startswith(left_out)
            and not _is_head(rest, modules)
        ),
    )


def _is_head(name: str, modules: set[str]) -> bool:
    first = name.partition(".")[0]
    return first not in modules and _HEAD.fullmatch(first) is not None


def _preference(match: Match) -> tuple[int, int, int]:
    path = ".".join(map(str, (*match.container, match.prefix)))
    words = set(re.split(r"[._]", path.lower()))
    rank = 0 if words & _ONLINE else 2 if words & _TARGET else 1
    return rank, path.count("."), len(path)


def _misfit(checkpoint: Checkpoint, best: _Fit | None) -> InputError:
    if best is None:
        problems = [_listed("it holds only", checkpoint.tensor_names())]
    else:
        problems = [
            _listed(label, names)
            for label, names in (
                ("missing", best.missing),
                ("of another shape", best.reshaped),
                ("unexpected", best.unexpected),
            )
            if names
        ]
    looks = recognize(checkpoint)
    advice = (
        f"they look like --arch {looks}"
        if looks
        else "is it another --arch, or a network of your own (--factory module:function)?"
    )
    return InputError(
        f"the tensors of '{checkpoint.path}' do not fit this architecture; "
        f"{'; '.join(problems)}; {advice}"
    )


def _listed(label: str, names: tuple[str, ...]) -> str:
    rest = len(names) - _LISTED
    return f"{label}: {', '.join(names[:_LISTED])}" + (f" and {rest} more" if rest > 0 else "")
