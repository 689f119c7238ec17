import pytest
import torch
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.export import export_purified, save_encoder
from mimic.encoders.loading import load_encoder
from mimic.errors import InputError
from mimic.files import sha256

IMAGES = torch.rand(2, 3, 16, 16)


@pytest.fixture
def encoder(backbone, networks):
    return Encoder(
        backbone,
        mean=(0.5, 0.4, 0.3),
        std=(0.1, 0.2, 0.3),
        image_size=16,
        stages=("layer1", "layer4"),
        architecture=networks.ARCH,
    ).eval()


@pytest.fixture
def file(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def settings(encoder):
    return (
        encoder.mean.flatten().tolist(),
        encoder.std.flatten().tolist(),
        encoder.image_size,
        encoder.stages,
        encoder.architecture,
    )


def test_a_file_written_by_mimic_loads_by_itself(encoder, file):
    assert torch.equal(load_encoder(file)(IMAGES), encoder(IMAGES))


def test_a_file_written_by_mimic_knows_all_settings(encoder, file):
    assert settings(load_encoder(str(file))) == settings(encoder)


def test_explicit_settings_override_those_of_the_file(file):
    loaded = load_encoder(file, mean=(0, 0, 0), std=(1, 1, 1), image_size=32, stages=["layer2"])
    assert settings(loaded)[:4] == ([0, 0, 0], [1, 1, 1], 32, ("layer2",))


def test_a_folder_written_by_mimic_loads(encoder, tmp_path):
    export_purified(encoder, original=None, directory=tmp_path / "out", manifest={})
    assert torch.equal(load_encoder(tmp_path / "out")(IMAGES), encoder(IMAGES))


def test_a_folder_whose_encoder_was_exchanged_is_refused(encoder, file, tmp_path):
    export_purified(encoder, original=None, directory=tmp_path / "out", manifest={})
    (tmp_path / "out" / "encoder.safetensors").write_bytes(file.read_bytes() + b" ")
    with pytest.raises(InputError, match=r"is not the file that manifest\.json describes"):
        load_encoder(tmp_path / "out")


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_a_folder_with_a_foreign_manifest_is_refused(encoder, tmp_path, text):
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        load_encoder(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="was not written by mimic"):
        load_encoder(tmp_path)


def test_a_bare_file_loads_with_an_architecture(saved, backbone, networks):
    loaded = load_encoder(saved(backbone.state_dict()), arch=networks.ARCH)
    torch.testing.assert_close(loaded(IMAGES), backbone(IMAGES))


def test_a_bare_file_loads_with_a_factory(saved, networks):
    vgg = networks.randomized(networks.Vgg()).eval()
    loaded = load_encoder(saved({"net": vgg.state_dict()}), factory=networks.Vgg)
    assert torch.equal(loaded(IMAGES), vgg(IMAGES))


def test_a_bare_file_without_options_is_answered_with_the_spelling_to_give(saved, backbone):
    with pytest.raises(InputError, match=r"--arch resnet10:width=4 .*width=4,stem_stride=2"):
        load_encoder(saved(backbone.state_dict()))


def test_a_network_that_does_not_fit_is_given_no_memory(tmp_path, monkeypatch):
    devices = []

    def build(spelling):
        devices.append(torch.get_default_device().type)
        return build_backbone(spelling)

    save_encoder(Encoder(nn.Conv2d(3, 4, 3), architecture="resnet10:width=4"), tmp_path / "a")
    monkeypatch.setattr("mimic.encoders.blueprint.build_backbone", build)
    with pytest.raises(InputError, match="do not fit this architecture"):
        load_encoder(tmp_path / "a")
    assert devices == ["meta"]


def test_a_bare_file_of_an_unknown_network_is_answered_with_the_options(saved, networks):
    with pytest.raises(InputError, match=r"--arch NAME.*--factory module:function"):
        load_encoder(saved(networks.Vgg().state_dict()))


def test_a_file_does_not_choose_which_code_runs(networks, tmp_path, monkeypatch):
    (tmp_path / "users_trap.py").write_text("raise SystemExit('executed')\n")
    monkeypatch.chdir(tmp_path)
    encoder = Encoder(networks.Vgg())
    loaded = load_encoder(encoder.backbone, factory="users_trap:build")
    save_encoder(loaded, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="--factory users_trap:build"):
        load_encoder(tmp_path / "a.safetensors")


def test_half_precision_loads_as_float32(saved, backbone, networks):
    loaded = load_encoder(saved(backbone.half().state_dict()), arch=networks.ARCH)
    assert loaded.backbone.conv1.weight.dtype == torch.float32


def test_a_loaded_encoder_is_in_evaluation_mode(file):
    assert not any(module.training for module in load_encoder(file).modules())


def test_a_loaded_encoder_can_be_built_afresh(file):
    loaded = load_encoder(file)
    assert not torch.equal(loaded.rebuild().conv1.weight, loaded.backbone.conv1.weight)


def test_the_origin_says_where_the_weights_were(saved, backbone, networks):
    content = {"model": {f"module.{name}": t for name, t in backbone.state_dict().items()}}
    path = saved(content)
    origin = load_encoder(path, arch=networks.ARCH).origin
    assert (origin.path, origin.sha256, origin.container, origin.prefix) == (
        str(path),
        sha256(path),
        ("model",),
        "module.",
    )


def test_the_origin_survives_a_copy(file):
    loaded = load_encoder(file)
    assert loaded.reinitialized(0).origin == loaded.copy().origin == loaded.origin


def test_a_module_becomes_an_encoder(networks):
    net = networks.Vgg().eval()
    loaded = load_encoder(net, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert torch.equal(loaded(IMAGES), net((IMAGES - 0.5) / 0.5))


def test_an_architecture_and_a_factory_are_one_too_many(file):
    with pytest.raises(InputError, match="not both"):
        load_encoder(file, arch="resnet10", factory="a:b")


def test_an_encoder_is_not_wrapped_twice(encoder):
    with pytest.raises(InputError, match="an Encoder already"):
        load_encoder(encoder)


def test_a_stage_that_does_not_exist_is_refused_at_once(file):
    with pytest.raises(InputError, match="stage 'layer9'"):
        load_encoder(file, stages=["layer9"])


def test_a_missing_file_is_refused():
    with pytest.raises(InputError, match="there is no file"):
        load_encoder("absent.pth", arch="resnet10")


def test_a_network_without_reset_rules_is_rebuilt_by_its_factory():
    class Raw(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4))

    loaded = load_encoder(Raw(), factory=Raw)
    assert not torch.equal(loaded.reinitialized(0).backbone.weight, loaded.backbone.weight)
