"""The one training loop that every learner uses."""

from mimic.training.joint import joint
from mimic.training.objective import Data, Objective
from mimic.training.plan import Plan, mix_seed
from mimic.training.trainer import History, Trainer

__all__ = ["Data", "History", "Objective", "Plan", "Trainer", "joint", "mix_seed"]
