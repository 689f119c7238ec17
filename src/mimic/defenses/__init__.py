"""Defences by name; a new one is one file and one line here."""

from mimic.defenses.base import Defense, Purification
from mimic.defenses.finetune import FineTune
from mimic.defenses.mimic import Mimic
from mimic.defenses.published import PublishedMimic
from mimic.defenses.scratch import FromScratch

DEFENSES: dict[str, Defense] = {
    "mimic": Mimic(),
    "mimic-published": PublishedMimic(measured_on="student"),
    "mimic-described": PublishedMimic(measured_on="teacher"),
    "finetune": FineTune(),
    "scratch": FromScratch(),
}
SUMMARIES: dict[str, str] = {
    "mimic": "our default: copy the teacher, but learn to see past patches",
    "mimic-published": "the released code of MIMIC: information measured on the random student",
    "mimic-described": "MIMIC as its paper says: information measured on the teacher",
    "finetune": "contrastive fine-tuning of the suspicious encoder, anchored by the clone loss",
    "scratch": "control: SimCLR on the clean images alone, without the suspicious encoder",
}

__all__ = [
    "DEFENSES",
    "SUMMARIES",
    "Defense",
    "FineTune",
    "FromScratch",
    "Mimic",
    "PublishedMimic",
    "Purification",
]
