import json
import subprocess
import sys

import pytest

import mimic

HEAVY = {
    "kornia",
    "lightning_fabric",
    "matplotlib",
    "open_clip",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "timm",
    "torchvision",
    "transformers",
}
EVERY_VERB = "import mimic; [getattr(mimic, name) for name in mimic.__all__]"


def run(code):
    """What a fresh interpreter prints as JSON."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def imported_by(code):
    """Names of the top-level packages that are there after running `code`."""
    report = "import json, sys; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    return set(run(f"{code}; {report}"))


@pytest.mark.parametrize("name", mimic.__all__)
def test_every_public_name_resolves(name):
    assert getattr(mimic, name) is not None


@pytest.mark.parametrize("name", sorted(set(mimic.__all__) - {"__version__"}))
def test_every_verb_is_a_function_that_says_what_it_does(name):
    verb = getattr(mimic, name)
    assert callable(verb)
    assert verb.__name__ == name
    assert verb.__doc__


def test_every_verb_is_listed_by_dir():
    assert dir(mimic) == sorted(mimic.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'cure'"):
        _ = mimic.cure


def test_purify_stays_a_function_where_its_module_was_imported_first():
    code = "from mimic.purification import find_defense; import json, mimic"
    assert run(f"{code}; print(json.dumps(callable(mimic.purify)))")


def test_importing_mimic_imports_nothing_but_itself_and_the_standard_library():
    assert imported_by("import mimic") - imported_by("pass") <= {"mimic"} | sys.stdlib_module_names


def test_importing_every_verb_stays_light():
    assert imported_by(EVERY_VERB) & HEAVY == set()


def test_every_verb_is_there_in_a_third_of_the_time_of_torch(tmp_path):
    # Time of the processor, which a busy machine does not change, against torch, for a slow one;
    # with bytecode, as after an installation: the first of the four writes it.
    bytecode = f"sys.dont_write_bytecode = False; sys.pycache_prefix = {str(tmp_path)!r}"
    clock = "start = time.process_time(); import torch; mid = time.process_time()"
    report = "print(json.dumps((time.process_time() - mid) / (mid - start)))"
    code = f"import json, sys, time; {bytecode}; {clock}; {EVERY_VERB}; {report}"
    run(code)
    assert min(run(code) for _ in range(3)) < 1 / 3
