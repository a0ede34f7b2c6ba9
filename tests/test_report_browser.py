"""The report in a real browser, at a phone's and a desk's width: it fits, is whole, and asks for nothing."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from search.run import run_search
from search.space import load_space
from tests.browsing import CHROMIUM, look
from tests.test_report import SPACE, read_page, write_hard_images

WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
DRAWN = "[...document.querySelectorAll('.figure')].filter(figure => figure.querySelector('.main-svg')).length"
BROKEN = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a finished search."""
    place = tmp_path_factory.mktemp("shown")
    (place / "shown.yaml").write_text(SPACE.format(root=write_hard_images(place / "data")))
    run_search(load_space(place / "shown.yaml"), results=place / "results")
    return place / "results" / "shown" / "report.html"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_is_whole_and_asks_for_nothing(report, width, tmp_path):
    looked = look(report.as_uri(), tmp_path, WIDE, DRAWN, BROKEN, width=width, wait=1)
    page = read_page(report)
    assert looked.answers == [0, len(page.figures), 0]
    assert looked.requests == [report.as_uri()] and looked.complaints == []
    with Image.open(io.BytesIO(looked.picture)) as picture:
        assert abs(picture.width - width) <= 20 and picture.height > 3000
