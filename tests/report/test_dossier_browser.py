"""Reports in headless Chromium: they say nothing, fetch nothing, and fit any screen.

Where MIMIC_SCREENSHOTS names a folder, the beginnings of the reports that lie there as .html are
written there as pictures.
"""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mimic.report.dossier.page import dossier_page
from mimic.report.page import render

from .browsing import NEEDS_CHROMIUM, contrasts
from .dossier_support import dossier

pytestmark = NEEDS_CHROMIUM
KINDS = ("scan", "verification", "purification")
CONTRAST = contrasts("p, li, th, td, small, strong, dt, dd, a, h1, h3", visible_only=False)


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a made-up report of each kind."""
    folder = tmp_path_factory.mktemp("reports")
    for kind in KINDS:
        html = render(dossier_page(dossier(kind)))
        (folder / f"{kind}.html").write_text(html, encoding="utf-8")
    return {kind: (folder / f"{kind}.html").as_uri() for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_says_nothing_and_fetches_nothing(visit, heard, addresses, kind):
    visit(addresses[kind]).wait_for_load_state()
    fetched = [said for said in heard if not said.startswith("data:")]
    assert fetched == [addresses[kind]]


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_never_wider_than_the_screen(visit, addresses, kind, width):
    page = visit(addresses[kind], viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_phone_no_table_is_cut_off(visit, addresses, kind):
    page = visit(addresses[kind], viewport={"width": 390, "height": 844})
    cut = page.evaluate(
        """() => [...document.querySelectorAll("table, .gallery")].filter((node) =>
          node.scrollWidth > node.parentElement.clientWidth + 1).length"""
    )
    assert cut == 0


def test_every_picture_is_drawn(visit, addresses):
    page = visit(addresses["purification"])
    sizes = page.evaluate("[...document.images].map((i) => Math.min(i.naturalWidth, i.width))")
    assert len(sizes) > 30
    assert min(sizes) > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_text_stands_out_from_its_ground(visit, addresses, kind, scheme):
    found = visit(addresses[kind], color_scheme=scheme).evaluate(CONTRAST)
    assert len(found) > 50
    assert min(found) >= 4.5


def test_the_contents_lead_to_the_sections_by_keyboard(visit, addresses):
    page = visit(addresses["verification"])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#section-1"


def test_a_wide_gallery_can_be_scrolled_by_keyboard(visit, addresses):
    page = visit(addresses["scan"], viewport={"width": 200, "height": 600})
    gallery = page.locator(".gallery").first
    gallery.focus()
    page.keyboard.press("ArrowRight")
    # Not wait_for_function, which evaluates in the page and is forbidden by its security policy.
    for _ in range(250):
        if gallery.evaluate("(element) => element.scrollLeft") > 0:
            break
        page.wait_for_timeout(20)
    assert gallery.evaluate("(element) => element.scrollLeft") > 0


def test_a_report_is_printed_dark_on_white(visit, addresses):
    page = visit(addresses["scan"], color_scheme="dark")
    page.emulate_media(media="print")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pictures_for_the_docs(visit, addresses, tmp_path, scheme, width):
    folder = Path(os.environ.get("MIMIC_SCREENSHOTS", tmp_path))
    reports = {file.stem: file.resolve().as_uri() for file in folder.glob("*.html")}
    for name, address in (reports or addresses).items():
        file = folder / f"{name}-{scheme}-{width}.png"
        page = visit(address, color_scheme=scheme, viewport={"width": width, "height": 1000})
        with Image.open(BytesIO(page.screenshot())) as picture:
            corner = picture.convert("L").getpixel((2, 2))
            assert picture.size == (width, 1000)
            picture.convert("RGB").quantize(256).save(file, optimize=True)
        assert (corner > 200) == (scheme == "light")
        assert file.stat().st_size < 150_000
