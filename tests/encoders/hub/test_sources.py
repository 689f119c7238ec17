"""Names of libraries: what is read from them, what is refused, and what the library itself says."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mimic.encoders import hub
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import export_purified, save_encoder
from mimic.encoders.hub import huggingface, tower
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError, RunError

VIT = {"model_type": "vit", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
VIT |= {"intermediate_size": 32, "image_size": 32, "patch_size": 8}
IMAGES = torch.rand(2, 3, 32, 32)


@pytest.fixture
def timm(import_or_skip):
    return import_or_skip("timm")


@pytest.fixture
def transformers(import_or_skip):
    return import_or_skip("hf")


@pytest.fixture
def vit_folder(transformers, tmp_path):
    folder = tmp_path / "vit"
    config = transformers.AutoConfig.for_model(**VIT)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(timm, tmp_path):
    model = timm.create_model("test_resnet")
    torch.save(model.state_dict(), tmp_path / "a.pth")
    return tmp_path / "a.pth"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("img_size=64,global_pool=avg", {"img_size": 64, "global_pool": "avg"}),
        ("drop_rate=0.1,qkv_bias=False", {"drop_rate": 0.1, "qkv_bias": False}),
    ],
)
def test_settings_are_numbers_truths_and_words(text, expected):
    assert tower.parse_settings(text) == expected


@pytest.mark.parametrize(
    "text", ["img_size", "=3", "a=/etc/passwd", "a=../b", "a=B c", "a=1,a=2", "pretrained_cfg=x"]
)
def test_a_setting_names_neither_files_nor_weights(text):
    with pytest.raises(InputError, match=r"setting|value"):
        tower.parse_settings(text, refused=("pretrained",))


@pytest.mark.parametrize("source", ["timm:", "timm:a:b:c", "torchvision:@x.pth", "open_clip::"])
def test_a_source_that_is_no_name_is_answered_with_how_to_write_one(source):
    with pytest.raises(InputError, match=r"NAME@FILE"):
        load_encoder(source)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("timm:resnet18", "timm"),
        ("torchvision:resnet18", "torchvision"),
        ("open_clip:RN50@a.pt", "open_clip"),
    ],
)
def test_a_missing_library_is_named_with_what_to_install(source, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"'{module}'.*pip install 'mimic-purify\[hub\]'"):
        load_encoder(source)


@pytest.mark.parametrize(
    ("architecture", "answer"),
    [
        ("timm:resnet_18", "did you mean resnet18"),
        ("timm:hf_hub", "timm has no model"),
        ("timm:test_resnet:no_such_setting=3", "cannot be built"),
        ("torchvision:resnet_18", "did you mean resnet18"),
        ("torchvision:inception_v3", "normalises by itself"),
        ("open_clip:RN5", "did you mean RN50"),
        ("open_clip:RN50:pretrained=openai", "takes the settings force_image_size"),
        ("timm:test_resnet@a.pth", "names a file"),
    ],
)
def test_an_architecture_that_a_library_lacks_is_refused(architecture, answer, import_or_skip):
    import_or_skip(architecture.partition(":")[0])
    with pytest.raises(InputError, match=answer):
        hub.find_tower(architecture).build()


def test_normalisation_and_size_are_those_of_timm(timm, checkpoint):
    encoder = load_encoder(f"timm:test_resnet@{checkpoint}")
    wanted = timm.data.resolve_model_data_config(timm.create_model("test_resnet"))
    assert encoder.mean.flatten().tolist() == pytest.approx(wanted["mean"])
    assert encoder.std.flatten().tolist() == pytest.approx(wanted["std"])
    assert encoder.image_size == wanted["input_size"][-1]


def test_normalisation_and_size_are_those_of_torchvision(import_or_skip):
    models = import_or_skip("torchvision").models
    wanted = models.EfficientNet_B3_Weights.DEFAULT.transforms()
    found = hub.find_tower("torchvision:efficientnet_b3")
    assert (list(found.mean), list(found.std)) == (wanted.mean, wanted.std)
    assert [found.image_size] == wanted.crop_size


def test_normalisation_and_size_are_those_of_open_clip(import_or_skip):
    open_clip = import_or_skip("open_clip")
    found = hub.find_tower("open_clip:ViT-B-16-SigLIP-256")
    assert found.mean == found.std == open_clip.constants.INCEPTION_MEAN
    assert found.image_size == 256


def test_settings_of_the_user_win_over_those_of_the_library(checkpoint):
    encoder = load_encoder(
        f"timm:test_resnet@{checkpoint}", mean=(0, 0, 0), std=(1, 1, 1), image_size=32
    )
    assert encoder.mean.flatten().tolist() == [0, 0, 0]
    assert encoder.image_size == 32


def test_a_size_that_the_network_does_not_take_is_refused_at_once(timm, tmp_path):
    torch.save(timm.create_model("test_vit3").state_dict(), tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"does not take images of 64x64"):
        load_encoder(f"timm:test_vit3@{tmp_path / 'a.pth'}", image_size=64)


def test_an_architecture_of_a_library_fits_a_bare_file(checkpoint):
    named = load_encoder(checkpoint, arch="timm:test_resnet")
    assert torch.equal(named(IMAGES), load_encoder(f"timm:test_resnet@{checkpoint}")(IMAGES))
    assert named.image_size == 160


def test_a_source_of_a_library_takes_no_second_name(checkpoint):
    with pytest.raises(InputError, match="leave out"):
        load_encoder(f"timm:test_resnet@{checkpoint}", arch="resnet18")


def test_a_checkpoint_of_another_model_is_refused(checkpoint):
    with pytest.raises(InputError, match="do not fit this architecture"):
        load_encoder(f"timm:test_byobnet@{checkpoint}")


def test_a_checkpoint_that_would_run_code_is_not_executed(timm, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"state_dict": Trap()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="was NOT executed"):
        load_encoder(f"timm:test_resnet@{tmp_path / 'evil.pth'}")
    assert not (tmp_path / "executed").exists()


def test_the_classifier_of_the_checkpoint_is_kept_in_the_drop_in(checkpoint, tmp_path):
    encoder = load_encoder(f"timm:test_resnet@{checkpoint}")
    fresh = encoder.reinitialized(1).eval()
    out = export_purified(fresh, original=checkpoint, directory=tmp_path / "out", manifest={})
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, out.drop_in))
    assert torch.equal(before["fc.weight"], after["fc.weight"])
    assert not torch.equal(before["conv1.0.weight"], after["conv1.0.weight"])


def test_published_weights_come_through_timms_own_loader(timm, monkeypatch):
    published = timm.create_model("test_resnet").state_dict()
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf", lambda *_, **__: dict(published)
    )
    encoder = load_encoder("timm:test_resnet")
    assert torch.equal(encoder.backbone.state_dict()["conv1.0.weight"], published["conv1.0.weight"])


def test_weights_that_cannot_be_downloaded_are_a_failure(timm, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    with pytest.raises(RunError, match=r"no route to host.*FILE"):
        load_encoder("timm:test_resnet")


def test_published_weights_of_torchvision_are_read_like_any_file(import_or_skip, monkeypatch):
    models = import_or_skip("torchvision").models
    state = models.squeezenet1_1(weights=None).state_dict()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "cache")
    asked = []

    def download(url, path, hash_prefix):
        asked.append((url, hash_prefix))
        torch.save(state, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    encoder = load_encoder("torchvision:squeezenet1_1")
    assert Path(encoder.origin.path).parent == Path("cache/checkpoints")
    assert asked == [(models.SqueezeNet1_1_Weights.DEFAULT.url, "b8a52dc0")]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_open_clip_model_without_weights_is_answered_with_the_tags(import_or_skip):
    import_or_skip("open_clip")
    with pytest.raises(InputError, match=r"open_clip:RN50@TAG.*openai, yfcc15m, cc12m"):
        load_encoder("open_clip:RN50")


def test_weights_for_another_activation_are_refused(import_or_skip):
    import_or_skip("open_clip")
    with pytest.raises(InputError, match="open_clip:ViT-B-32:force_quick_gelu=True@openai"):
        load_encoder("open_clip:ViT-B-32@openai")


def test_the_processor_of_a_folder_says_normalisation_and_size(vit_folder):
    processor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "do_center_crop": 1}
    processor |= {"crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 40}}
    (vit_folder / "preprocessor_config.json").write_text(json.dumps(processor))
    encoder = load_encoder(f"hf:{vit_folder}")
    assert encoder.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert encoder.std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert encoder.image_size == 32


def test_the_pooling_of_a_transformer_is_chosen_in_its_name(vit_folder, transformers):
    model = transformers.ViTModel.from_pretrained(vit_folder, add_pooling_layer=False).eval()
    tokens = model(pixel_values=IMAGES).last_hidden_state
    first = load_encoder(f"hf:{vit_folder}")(IMAGES)
    mean = load_encoder(f"hf:{vit_folder}:pooling=mean")(IMAGES)
    torch.testing.assert_close(first, tokens[:, 0])
    torch.testing.assert_close(mean, tokens[:, 1:].mean(dim=1))


def test_registers_are_no_part_of_the_mean(transformers):
    source = json.dumps(VIT | {"model_type": "dinov2_with_registers", "num_register_tokens": 3})
    backbone = hub.find_tower(f"hf:{source}:pooling=mean").build().eval()
    tokens = backbone.model(pixel_values=IMAGES).last_hidden_state
    torch.testing.assert_close(backbone(IMAGES), tokens[:, 4:].mean(dim=1))


def test_images_of_another_size_pass_through_a_transformer(vit_folder):
    encoder = load_encoder(f"hf:{vit_folder}", image_size=64)
    assert encoder(torch.rand(2, 3, 64, 64)).shape == (2, 16)


def test_a_file_of_a_transformer_knows_its_configuration(vit_folder, tmp_path):
    encoder = load_encoder(f"hf:{vit_folder}:pooling=mean")
    save_encoder(encoder, tmp_path / "a.safetensors")
    for path in vit_folder.iterdir():
        path.unlink()
    assert torch.equal(load_encoder(tmp_path / "a.safetensors")(IMAGES), encoder(IMAGES))


def test_the_configuration_goes_with_the_drop_in(vit_folder, tmp_path, transformers):
    encoder = load_encoder(f"hf:{vit_folder}")
    original = encoder.origin.path
    export_purified(encoder, original=original, directory=tmp_path / "out", manifest={})
    loaded = transformers.ViTForImageClassification.from_pretrained(tmp_path / "out")
    wanted = load_file(vit_folder / "model.safetensors")["classifier.weight"]
    assert torch.equal(loaded.classifier.weight, wanted)


def test_a_model_that_brings_its_own_code_is_refused(vit_folder):
    config = {"model_type": "mine", "auto_map": {"AutoModel": "modeling.Mine"}}
    (vit_folder / "config.json").write_text(json.dumps(config))
    (vit_folder / "modeling.py").write_text("raise SystemExit('executed')")
    with pytest.raises(InputError, match=r"no model of the type 'mine'.*never run"):
        load_encoder(f"hf:{vit_folder}")


def test_a_configuration_chooses_no_code_and_no_precision(vit_folder):
    path = vit_folder / "config.json"
    config = json.loads(path.read_text())
    config |= {"auto_map": {"AutoModel": "modeling.Mine"}, "dtype": "bfloat16"}
    config |= {"_attn_implementation": "stranger/kernels", "quantization_config": {"bits": 4}}
    path.write_text(json.dumps(config))
    encoder = load_encoder(f"hf:{vit_folder}")
    assert encoder.backbone.model.config._attn_implementation != "stranger/kernels"
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


def test_pickled_weights_of_a_folder_are_read_without_running_them(vit_folder):
    state = load_file(vit_folder / "model.safetensors")
    expected = load_encoder(f"hf:{vit_folder}")(IMAGES)
    (vit_folder / "model.safetensors").unlink()
    torch.save(state, vit_folder / "pytorch_model.bin")
    assert torch.equal(load_encoder(f"hf:{vit_folder}")(IMAGES), expected)


def test_weights_in_several_files_are_answered_with_how_to_join_them(vit_folder):
    (vit_folder / "model.safetensors").rename(vit_folder / "model.safetensors.index.json")
    with pytest.raises(InputError, match="max_shard_size"):
        load_encoder(f"hf:{vit_folder}")


def test_a_folder_without_weights_is_refused(vit_folder):
    (vit_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        load_encoder(f"hf:{vit_folder}")


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"model_type": []}'])
def test_a_configuration_that_is_none_is_refused(vit_folder, text):
    (vit_folder / "config.json").write_text(text)
    with pytest.raises(InputError):
        load_encoder(f"hf:{vit_folder}")


def test_a_repository_is_downloaded_without_code_and_pickles(vit_folder, monkeypatch):
    asked = []

    def download(name, *, allow_patterns):
        asked.append((name, allow_patterns))
        return str(vit_folder)

    def only_the_hub(name):
        return SimpleNamespace(snapshot_download=download) if "hub" in name else known(name)

    known = huggingface.import_library
    monkeypatch.setattr(huggingface, "import_library", only_the_hub)
    assert load_encoder("hf:someone/vit")(IMAGES).shape == (2, 16)
    wanted = ["config.json", "preprocessor_config.json", "model.safetensors"]
    assert asked == [("someone/vit", wanted)]


def test_a_folder_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"there is no folder '\./nowhere'"):
        load_encoder("hf:./nowhere")


def test_a_file_of_mimic_never_names_a_folder_of_this_machine(vit_folder, timm, tmp_path):
    backbone = timm.create_model("test_resnet", num_classes=0)
    encoder = Encoder(backbone, architecture=f"hf:{vit_folder}")
    save_encoder(encoder, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not a configuration of transformers"):
        load_encoder(tmp_path / "a.safetensors")


def test_tensors_beside_the_classifier_are_still_unexpected(timm, tmp_path):
    state = timm.create_model("test_convnext").state_dict()
    save_file(state | {"head.surprise": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"unexpected: head\.surprise"):
        load_encoder(f"timm:test_convnext@{tmp_path / 'a.safetensors'}")
