"""Losses as plain functions of tensors."""

from mimic.losses.attention import attention_loss, attention_map
from mimic.losses.clone import clone_loss
from mimic.losses.contrastive import nt_xent
from mimic.losses.stage import stage_loss

__all__ = ["attention_loss", "attention_map", "clone_loss", "nt_xent", "stage_loss"]
