"""Images that cannot be read and may be missing: left out with all that belongs to them, and named."""

from __future__ import annotations

import dataclasses

import pytest

from search.plan import make_plan
from search.space import load_space
from tests.conftest import write_images, write_space
from tests.data_files import make_aidea, make_csv, make_folder, make_sealed_folder
from tests.test_data_tasks import folder_config, masks_config, points_config
from trainables.data import load_rows, scan
from trainables.errors import BadInput

MAKERS = {"folder": make_folder, "folder with a sealed test": make_sealed_folder, "csv": make_csv, "aidea": make_aidea,
          "points": points_config, "masks": masks_config, "masks in a folder": folder_config}
ROW = 2


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_others_are_as_they_were(make, tmp_path):
    config = make(tmp_path)
    whole = scan(config)
    whole.pixels.paths[ROW].write_bytes(b"<html>")
    with pytest.raises(BadInput, match="^1 image of .* cannot be read, .*; repair or remove it, or let data.skip_"):
        scan(config)
    catalog = scan(dataclasses.replace(config, skip_unreadable=0.2))
    rows = list(whole.rows())
    assert list(catalog.rows()) == rows[:ROW] + rows[ROW + 1 :]
    assert catalog.names == whole.names[:ROW] + whole.names[ROW + 1 :] and catalog.left_out == (whole.names[ROW],)
    assert len(load_rows(catalog, range(len(catalog)), 16, 3)) == len(whole) - 1


def test_more_than_the_share_is_too_many(tmp_path):
    config = make_folder(tmp_path)
    for path in scan(config).pixels.paths[:2]:
        path.write_bytes(b"")
    with pytest.raises(BadInput, match="^2 images of 9 cannot be read"):
        scan(dataclasses.replace(config, skip_unreadable=0.2))
    assert len(scan(dataclasses.replace(config, skip_unreadable=0.25)).left_out) == 2


def test_the_user_is_told(tmp_path):
    images = write_images(tmp_path / "images")
    for number in range(7):
        (images / "left" / f"torn{number}.png").write_bytes(b"")
    plan = make_plan(load_space(write_space(tmp_path / "tiny.yaml", images), ["data.skip_unreadable=0.2"]))
    named = ", ".join(f"left/torn{number}.png" for number in range(5))
    assert plan.data_warnings == (f"7 of 67 images cannot be read and are left out: {named}, …",)
