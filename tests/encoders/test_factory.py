import pytest
from torch import nn

from mimic.encoders.factory import build_from
from mimic.errors import InputError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current directory with a module of the user's; its name is used nowhere else."""
    (tmp_path / "users_networks.py").write_text(
        "import torch\n"
        "def build(): return torch.nn.Linear(2, 3)\n"
        "def wrong(): return 5\n"
        "def greedy(size): return torch.nn.Linear(size, size)\n"
    )
    (tmp_path / "users_broken.py").write_text("import not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)


@pytest.mark.usefixtures("here")
def test_a_module_in_the_current_directory_is_found():
    assert build_from("users_networks:build").out_features == 3


def test_a_function_is_called():
    assert build_from(lambda: nn.Linear(2, 3)).out_features == 3


@pytest.mark.usefixtures("here")
def test_the_import_path_is_left_as_it_was():
    import sys

    before = list(sys.path)
    build_from("users_networks:build")
    assert sys.path == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("users_absent:build", "there is no module 'users_absent'"),
        ("users_networks.deep:build", "cannot be imported"),
        ("users_broken:build", "cannot be imported.*not_installed_anywhere"),
        ("users_networks:absent", "has no function 'absent'"),
        ("users_networks:torch", "has no function 'torch'"),
        ("users_networks:wrong", "must return a torch.nn.Module, not int"),
        ("users_networks:greedy", "is called without arguments"),
        ("users_networks", "write module:function"),
        (":build", "write module:function"),
        ("users_networks.py:build", "as in users_networks:build"),
    ],
)
def test_a_factory_that_does_not_work_is_explained(factory, message):
    with pytest.raises(InputError, match=message):
        build_from(factory)
