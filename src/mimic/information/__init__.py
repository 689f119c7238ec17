"""Where benign knowledge lies: mutual-information estimators and the localisation of stages.

The two verbs are `mimic.information.estimate.estimate` and `mimic.information.localize.localize`.
They are not repeated here: a function would hide the module of the same name.
"""

from mimic.information.estimate import MutualInformation
from mimic.information.estimators import ESTIMATORS, Estimator
from mimic.information.localization import Localization, StageInformation

__all__ = ["ESTIMATORS", "Estimator", "Localization", "MutualInformation", "StageInformation"]
