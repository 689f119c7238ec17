"""`hf:DIR_OR_REPO`: models of transformers; of models with several towers, the one for images."""

import inspect
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mimic.encoders.hub.tower import Tower, as_in_files, built
from mimic.encoders.matching import FileSpelling
from mimic.errors import InputError, RunError
from mimic.files import expanded
from mimic.libraries import import_library

CONFIG_FILE, PROCESSOR_FILE = "config.json", "preprocessor_config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_REPO = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_POOLING = re.compile(r"(?P<source>.+):pooling=(?P<pooling>library|class|mean)", re.DOTALL)
# What a configuration may not choose: which code runs, in which precision, and other networks;
# and what it says beyond the shape of the network.
_DROPPED = frozenset(
    [
        *("auto_map", "attn_implementation", "_attn_implementation", "dtype", "torch_dtype"),
        *("quantization_config", "backbone", "use_timm_backbone", "use_pretrained_backbone"),
        *("id2label", "label2id", "architectures", "transformers_version"),
    ]
)
# The encoder of a masked autoencoder is a plain transformer; its own class hides most of the input.
_SAME_AS = {"vit_mae": "vit"}
_REFUSED = ("timm_wrapper",)  # builds whatever the configuration names, with any weights
_LEFT_OUT = ("pooler.", "embeddings.mask_token", "decoder.", "classifier.")


class PooledModel(nn.Module):
    """A model of transformers that puts out one feature vector per image.

    Args:
        model: with tokens or maps as `last_hidden_state`.
        pooling: "library" takes the library's own pooled output, and where it has none the class
            token, else the mean; "class" takes the class token, "mean" the mean over the tokens
            of patches, or over positions of a map.
    """

    def __init__(self, model: nn.Module, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (batch, 3, height, width) to features (batch, dimension)."""
        known = inspect.signature(self.model.forward).parameters
        # Positions are interpolated where the images have another size than the configuration says.
        any_size = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in known else {}
        output = self.model(pixel_values=images, **any_size)
        pooled = getattr(output, "pooler_output", None)
        if self.pooling == "library" and pooled is not None:
            return pooled
        hidden = output.last_hidden_state
        if hidden.ndim == 4:
            return hidden.mean(dim=(2, 3))
        special = self._special_tokens()
        if special and self.pooling != "mean":
            return hidden[:, 0]
        return hidden[:, special:].mean(dim=1)

    def _special_tokens(self) -> int:
        """Number of tokens before those of the patches: class, distillation and registers."""
        lengths = {"cls_token": 1, "class_embedding": 1, "distillation_token": 1}
        return sum(
            lengths.get(name.rpartition(".")[2], 0)
            + (parameter.shape[1] if name.endswith("register_tokens") else 0)
            for name, parameter in self.model.named_parameters()
        )


def find_tower(source: str, processor: Mapping[str, Any] | None = None) -> Tower:
    """The image tower of a configuration.

    Args:
        source: the text of a `config.json`; `:pooling=` with library, class or mean may follow.
        processor: what a `preprocessor_config.json` says about normalisation and size.

    Raises:
        InputError: transformers is not installed, does not know the model, or cannot build it.
    """
    source, pooling = split_pooling(source)
    config = _configuration(source)
    text = json.dumps(config, sort_keys=True)
    architecture = f"hf:{text}" + ("" if pooling == "library" else f":pooling={pooling}")
    mean, std, size = _normalization(processor or {})
    return Tower(
        architecture=architecture,
        build=partial(_build, config, pooling),
        mean=mean,
        std=std,
        image_size=size or _whole_number(config.get("image_size")),
    )


def split_pooling(source: str) -> tuple[str, str]:
    """What stands before `:pooling=`, and the pooling."""
    found = _POOLING.fullmatch(source)
    return (source, "library") if found is None else (found["source"], found["pooling"])


def folder_of(source: str) -> Path:
    """The folder of a model: the one on this machine, or the download of a repository's.

    Raises:
        InputError: there is no such folder, and it is no name of a repository.
        RunError: it cannot be downloaded.
    """
    folder = expanded(source)
    if folder.is_dir():
        return folder
    if not _REPO.fullmatch(source):
        raise InputError(f"there is no folder '{source}', and it is no name of a repository")
    download = import_library("huggingface_hub").snapshot_download
    try:
        small = [CONFIG_FILE, PROCESSOR_FILE]
        folder = Path(download(source, allow_patterns=[*small, _WEIGHTS[0]]))
        if not (folder / _WEIGHTS[0]).exists():
            folder = Path(download(source, allow_patterns=[*small, _WEIGHTS[1]]))
    except (OSError, RuntimeError, ValueError) as error:
        raise RunError(
            f"there is no folder '{source}', and '{source}' cannot be downloaded from the Hugging "
            f"Face hub: {error}; check the name and the connection"
        ) from error
    return folder


def read_folder(folder: Path, pooling: str) -> tuple[Tower, Path]:
    """The tower that a folder's `config.json` describes, and the file of its weights.

    Raises:
        InputError: a file is missing or unreadable, or as in `find_tower`.
    """
    config = _read_json(folder / CONFIG_FILE)
    processor = folder / PROCESSOR_FILE
    settings = _read_json(processor) if processor.exists() else {}
    tower = find_tower(f"{json.dumps(config)}:pooling={pooling}", settings)
    for name in _WEIGHTS:
        if (folder / name).exists():
            return tower, folder / name
    if (folder / f"{_WEIGHTS[0]}.index.json").exists():
        raise InputError(
            f"the weights in '{folder}' are split over several files; join them with transformers: "
            "from_pretrained(DIR).save_pretrained(OTHER, max_shard_size='500GB')"
        )
    raise InputError(f"folder '{folder}' has no {' or '.join(_WEIGHTS)}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{path}' as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"'{path}' is not a JSON object")
    return content


def _configuration(text: str) -> dict[str, Any]:
    """What a configuration says about the image tower, as plain values."""
    try:
        said = _clean(json.loads(text))
        model_type = str(said.pop("model_type"))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"this is not a configuration of transformers ({error!r})") from error
    model_type = _SAME_AS.get(model_type, model_type)
    transformers = import_library("transformers")
    if model_type not in transformers.CONFIG_MAPPING or model_type in _REFUSED:
        raise InputError(
            f"transformers {transformers.__version__} has no model of the type '{model_type}' of "
            "its own; code that comes with a model is never run. Build the network in a function "
            "of yours and name it with --factory module:function"
        )
    try:
        config = transformers.AutoConfig.for_model(model_type, **said)
        config = getattr(config, "vision_config", config)
        plain = json.loads(config.to_json_string(use_diff=True))
    except Exception as error:  # what the library raises on a wrong value is up to the library
        raise InputError(
            f"transformers does not understand the configuration of this '{model_type}' "
            f"({type(error).__name__}: {error})"
        ) from error
    return _clean(plain)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items() if key not in _DROPPED}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value


def _build(config: Mapping[str, Any], pooling: str) -> nn.Module:
    transformers = import_library("transformers")
    said = dict(config)
    name = f"hf: {said['model_type']}"

    def model() -> nn.Module:
        made = transformers.AutoConfig.for_model(said.pop("model_type"), **said)
        return transformers.AutoModel.from_config(made, trust_remote_code=False)

    tower = built(name, model)
    if hasattr(getattr(tower, "pooler", None), "dense"):
        tower.register_module(
            "pooler", None
        )  # trained for text-like tasks, and left out of most files
    backbone = PooledModel(tower, pooling)
    return as_in_files(backbone, FileSpelling(left_out=_LEFT_OUT, names=_names_in_files(tower)))


def _names_in_files(tower: nn.Module) -> dict[str, str]:
    """From the names of a backbone's tensors to those that transformers writes into files."""
    revert = import_library("transformers.core_model_loading").revert_weight_conversion
    state = tower.state_dict()
    written = {id(tensor): name for name, tensor in revert(tower, dict(state)).items()}
    if len(written) != len(state) or not all(id(tensor) in written for tensor in state.values()):
        raise InputError(
            f"the files of a {type(tower).__name__} hold its tensors in another form than the "
            "network; this is not supported"
        )
    return {f"model.{name}": written[id(tensor)] for name, tensor in state.items()}


def _normalization(
    said: Mapping[str, Any],
) -> tuple[tuple[float, ...], tuple[float, ...], int | None]:
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    try:
        if said.get("do_normalize", True) and "image_mean" in said:
            mean = tuple(float(value) for value in said["image_mean"])
            std = tuple(float(value) for value in said["image_std"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{PROCESSOR_FILE} is not understood ({error!r})") from error
    size = said.get("crop_size") if said.get("do_center_crop") else None
    size = said.get("size") if size is None else size
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    return mean, std, _whole_number(size)


def _whole_number(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
