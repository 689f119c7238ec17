"""Origin: which file an encoder's weights came from, and where in that file they sit."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Provenance of loaded weights; plain values only, so that it can stand in a manifest.

    Attributes:
        path: the file, as the user named it; None for a module handed in by Python code.
        sha256: of the file's bytes, or None.
        kind: `safetensors`, `torch`, or `module`.
        container: keys that lead from the top of the file to the dictionary of tensors.
        prefix: what stands before the backbone's own key names.
        layout: how the keys are spelled, a name of `mimic.encoders.matching.LAYOUTS` or `library`.
        factory: the user's `module:function` that builds the backbone, where one was given.
    """

    path: str | None = None
    sha256: str | None = None
    kind: str = "module"
    container: tuple[str | int, ...] = ()
    prefix: str = ""
    layout: str = "named"
    factory: str | None = None

    def describe(self) -> dict[str, Any]:
        """The same as plain values for JSON."""
        return asdict(self)
