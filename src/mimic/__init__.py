"""mimic purifies self-supervised image encoders that may carry a backdoor.

The public verbs; each is imported when it is first used, so that `import mimic` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimic.detection.scan import scan
    from mimic.encoders.loading import load_encoder
    from mimic.evaluation.evaluate import evaluate
    from mimic.images.source import open_images
    from mimic.information.localize import localize
    from mimic.purification import purify
    from mimic.verification.verify import verify

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "evaluate",
    "load_encoder",
    "localize",
    "open_images",
    "purify",
    "scan",
    "verify",
]

_HOMES = {
    "evaluate": "mimic.evaluation.evaluate",
    "load_encoder": "mimic.encoders.loading",
    "localize": "mimic.information.localize",
    "open_images": "mimic.images.source",
    "purify": "mimic.purification",
    "scan": "mimic.detection.scan",
    "verify": "mimic.verification.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mimic' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
