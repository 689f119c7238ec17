"""Defences by name; a new one is one file and two lines here."""

from mimic.defenses.anp import Anp
from mimic.defenses.base import Defense, Purification
from mimic.defenses.bcu import Bcu
from mimic.defenses.bmaiu import Bmaiu
from mimic.defenses.bnp import Bnp
from mimic.defenses.clp import Clp
from mimic.defenses.distillation import Distillation
from mimic.defenses.fine_pruning import FinePruning
from mimic.defenses.finetune import FineTune
from mimic.defenses.ft_sam import FtSam
from mimic.defenses.i_bau import IBau
from mimic.defenses.inapplicable import INAPPLICABLE
from mimic.defenses.mcr import Mcr
from mimic.defenses.medic import Medic
from mimic.defenses.mimic import Mimic
from mimic.defenses.moth import Moth
from mimic.defenses.nad import Nad
from mimic.defenses.nothing import Nothing
from mimic.defenses.published import PublishedMimic
from mimic.defenses.rnp import Rnp
from mimic.defenses.scratch import FromScratch
from mimic.defenses.ssl_cleanse import SslCleanse
from mimic.defenses.tsc import Tsc

DEFENSES: dict[str, Defense] = {
    "mimic": Mimic(),
    "mimic-published": PublishedMimic(measured_on="student"),
    "mimic-described": PublishedMimic(measured_on="teacher"),
    "finetune": FineTune(),
    "ft-sam": FtSam(),
    "fine-pruning": FinePruning(),
    "anp": Anp(),
    "rnp": Rnp(),
    "clp": Clp(),
    "bnp": Bnp(),
    "nad": Nad(),
    "i-bau": IBau(),
    "mcr": Mcr(),
    "tsc": Tsc(),
    "ssl-cleanse": SslCleanse(),
    "moth": Moth(),
    "bmaiu": Bmaiu(),
    "bcu": Bcu(),
    "medic": Medic(),
    "distill-at": Distillation(way="at"),
    "distill-atd": Distillation(way="atd"),
    "distill-fitnet": Distillation(way="fitnet"),
    "distill-kd": Distillation(way="kd"),
    "distill-sp": Distillation(way="sp"),
    "distill-cc": Distillation(way="cc"),
    "distill-afd": Distillation(way="afd"),
    "distill-pkt": Distillation(way="pkt"),
    "distill-rkd": Distillation(way="rkd"),
    "scratch": FromScratch(),
    "nothing": Nothing(),
}
SUMMARIES: dict[str, str] = {
    "mimic": "our default: copy the teacher, but learn to see past possible triggers",
    "mimic-published": "the released code of MIMIC: information measured on the random student",
    "mimic-described": "MIMIC as its paper says: information measured on the teacher",
    "finetune": "contrastive fine-tuning of the suspicious encoder, anchored by the clone loss",
    "ft-sam": "fine-tuning towards weights whose surroundings are good as well (sharpness-aware)",
    "fine-pruning": "switch off channels that sleep on clean images, then fine-tune the rest",
    "anp": "switch off channels that react most to adversarial noise on the weights",
    "rnp": "unlearn a copy, and switch off channels that stand in the way of recovering it",
    "clp": "switch off channels whose weights amplify far more than others; looks at no data",
    "bnp": "switch off channels whose clean statistics differ from the running ones",
    "nad": "attention of a fine-tuned copy is distilled into the suspicious encoder itself",
    "i-bau": "unlearn the universal perturbation that changes features most, round by round",
    "mcr": "a point on the curve between the suspicious encoder and its fine-tuned copy",
    "tsc": "curves to permuted copies of the encoder and back, away from the backdoor",
    "ssl-cleanse": "unlearn inverted triggers: stamped images must look like other clean ones",
    "moth": "push clusters of features apart with triggers inverted between them",
    "bmaiu": "plant random patches of one's own and unlearn them; a stand-in for BMAIU",
    "bcu": "forget entries of the weights at random, deep stages most, and distil them back",
    "medic": "a random student copies the activations that matter to each clean image",
    "distill-at": "distillation into a random student: contrast plus attention of every stage",
    "distill-atd": "as distill-at, and the features are copied too",
    "distill-fitnet": "distillation into a random student: contrast plus the maps themselves",
    "distill-kd": "distillation into a random student: contrast plus soft answers to 1024 anchors",
    "distill-sp": "distillation into a random student: contrast plus similarities between images",
    "distill-cc": "distillation into a random student: contrast plus correlations between images",
    "distill-afd": "distillation into a random student: contrast plus maps, channels by attention",
    "distill-pkt": "distillation into a random student: contrast plus probabilities of neighbours",
    "distill-rkd": "distillation into a random student: contrast plus distances and angles",
    "scratch": "control: SimCLR on the clean images alone, without the suspicious encoder",
    "nothing": "control: the suspicious encoder as it is",
}

__all__ = [
    "DEFENSES",
    "INAPPLICABLE",
    "SUMMARIES",
    "Anp",
    "Bcu",
    "Bmaiu",
    "Bnp",
    "Clp",
    "Defense",
    "Distillation",
    "FinePruning",
    "FineTune",
    "FromScratch",
    "FtSam",
    "IBau",
    "Mcr",
    "Medic",
    "Mimic",
    "Moth",
    "Nad",
    "Nothing",
    "PublishedMimic",
    "Purification",
    "Rnp",
    "SslCleanse",
    "Tsc",
]
