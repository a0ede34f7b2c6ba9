"""Who has the alias `champion`: the first version, and a later one only with proof."""

from __future__ import annotations

import pytest

from search.champion import beats

OLD = {"sealed": "rows", "objective": "accuracy", "mode": "max", "test": "0.9"}


@pytest.mark.parametrize(
    ("changes", "old", "expected", "why"),
    [
        pytest.param({"test": "0.91"}, OLD, True, "better than the champion before it: 0.9100 against 0.9000 of version 3",
                     id="better"),
        pytest.param({"test": "0.87"}, OLD, False, "version 3 stays champion: 0.8700 against 0.9000 of version 3 on the same "
                     "sealed rows, 0.0300 short", id="worse"),
        pytest.param({}, OLD, False, "version 3 stays champion: 0.9000 against 0.9000", id="as good is no proof"),
        pytest.param({"test": "0.8", "mode": "min"}, {**OLD, "mode": "min"}, True, "better than", id="less is better"),
        pytest.param({"test": "1.0", "sealed": "others"}, OLD, False, "its score is of other sealed rows", id="other rows"),
        pytest.param({"test": "1.0", "objective": "macro_f1"}, OLD, False, "or another objective", id="other objective"),
        pytest.param({"test": "1.0"}, {}, False, "its score is of other sealed rows", id="a champion without a score"),
    ],
)
def test_only_the_better_one_on_the_same_rows_takes_the_alias(changes, old, expected, why):
    takes, verdict = beats({**OLD, **changes}, "3", old)
    assert takes is expected and why in verdict
