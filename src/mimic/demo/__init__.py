"""The demo: the whole story of a backdoor and its removal, on embedded digits, in a few minutes."""

from mimic.demo.result import DemoEncoder, DemoResult
from mimic.demo.settings import DemoSettings
from mimic.demo.story import run_demo

__all__ = ["DemoEncoder", "DemoResult", "DemoSettings", "run_demo"]
