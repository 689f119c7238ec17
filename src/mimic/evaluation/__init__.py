"""Heads on frozen features: accuracy, attack success rate and their intervals."""

from mimic.evaluation.evaluate import PROBES, evaluate
from mimic.evaluation.features import extract_features
from mimic.evaluation.heads import predict
from mimic.evaluation.judging import Evaluation

__all__ = ["PROBES", "Evaluation", "evaluate", "extract_features", "predict"]
