"""A headless Chromium for tests of pages, and what can be asked of a page in it."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on the path (Debian: apt-get install chromium)"
)
PATIENCE = 60_000
_CONTRASTS = """() => {
  const shades = (text) => text.match(/[\\d.]+/g).slice(0, 3)
    .map((v) => (text.startsWith("rgb") ? v / 255 : Number(v)))
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  const light = (text) => shades(text).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return /, 0\\)$|transparent/.test(colour) ? behind(node.parentElement) : colour;
  };
  return Array.from(document.querySelectorAll("SELECTOR"))
    .filter((node) => (!VISIBLE_ONLY || node.checkVisibility()) && node.textContent.trim())
    .map((node) => {
      const [a, b] = [light(getComputedStyle(node).color), light(behind(node))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    });
}"""


def contrasts(selector: str, *, visible_only: bool) -> str:
    """A script that gives the contrast ratio of every element with text to its ground.

    Args:
        selector: of the elements.
        visible_only: leave out those that are hidden for now.
    """
    wanted = str(visible_only).lower()
    return _CONTRASTS.replace("SELECTOR", selector).replace("VISIBLE_ONLY", wanted)
