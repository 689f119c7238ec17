"""Self-supervised pre-training of encoders: one file per method, one row in `METHODS`."""

from mimic.pretraining.base import Pretraining
from mimic.pretraining.byol import Byol
from mimic.pretraining.moco import MoCo
from mimic.pretraining.simclr import SimClr
from mimic.pretraining.simsiam import SimSiam

METHODS: dict[str, type[Pretraining]] = {
    method.name: method for method in (SimClr, MoCo, Byol, SimSiam)
}
"""Methods by the name that `mimic pretrain --method` takes."""

__all__ = ["METHODS", "Byol", "MoCo", "Pretraining", "SimClr", "SimSiam"]
