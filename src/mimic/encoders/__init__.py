"""What is purified: the encoder, its stages, and the files it comes from and goes to."""

from mimic.encoders.encoder import Encoder
from mimic.encoders.export import Exported, export_purified, save_encoder
from mimic.encoders.loading import load_encoder

__all__ = ["Encoder", "Exported", "export_purified", "load_encoder", "save_encoder"]
