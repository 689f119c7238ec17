import pytest

from mimic import libraries
from mimic.errors import InputError


def test_a_library_that_cannot_be_imported_is_answered_with_what_to_install(monkeypatch):
    def broken(_name):
        raise OSError("undefined symbol")

    monkeypatch.setattr(libraries, "_import_torchvision", lambda: None)
    monkeypatch.setattr(libraries.importlib, "import_module", broken)
    with pytest.raises(InputError, match=r"OSError: undefined symbol.*belong to torch"):
        libraries.import_library("timm")
