"""Losses as plain functions of tensors."""

from mimic.losses.anchors import AnchorLoss, anchor_loss
from mimic.losses.attended import AttendedLoss, attended_loss
from mimic.losses.attention import attention_loss, attention_map
from mimic.losses.clone import clone_loss
from mimic.losses.contrastive import nt_xent
from mimic.losses.correlation import correlation_loss
from mimic.losses.fitnet import hint_loss
from mimic.losses.pkt import transfer_loss
from mimic.losses.relational import relational_loss
from mimic.losses.similarity import similarity_loss
from mimic.losses.stage import stage_loss

__all__ = [
    "AnchorLoss",
    "AttendedLoss",
    "anchor_loss",
    "attended_loss",
    "attention_loss",
    "attention_map",
    "clone_loss",
    "correlation_loss",
    "hint_loss",
    "nt_xent",
    "relational_loss",
    "similarity_loss",
    "stage_loss",
    "transfer_loss",
]
