"""Self-supervised pre-training of encoders: one file per method, one row in `METHODS`."""

from mimic.pretraining.base import Pretraining
from mimic.pretraining.simclr import SimClr

METHODS: dict[str, type[Pretraining]] = {method.name: method for method in (SimClr,)}
"""Methods by the name that `mimic pretrain --method` takes."""

__all__ = ["METHODS", "Pretraining", "SimClr"]
