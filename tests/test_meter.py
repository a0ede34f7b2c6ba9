"""How busy the machine was and what energy it took, from counters of the system that the tests write."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from search import gpus, meter
from search.clock import Clock
from search.meter import Meter, Use, total
from search.record import Recorder, begin_record, read_record
from search.report.contents import taken
from search.space import load_space

SMI = """#!/bin/sh
echo "50, 2048, 81920, 300.0"
echo "100, 2048, 81920, [N/A]"
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Counters of a machine that nothing moves by itself, and a function that sets them."""
    processor = tmp_path / "powercap" / "intel-rapl:0"
    for place in (processor, tmp_path / "powercap" / "intel-rapl:0:0"):
        place.mkdir(parents=True)
        (place / "max_energy_range_uj").write_text("5000000000\n")

    def put(ticks: int, idle: int, joules: float) -> None:
        (tmp_path / "stat").write_text(f"cpu  {ticks} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2\n")
        for place in processor.parent.iterdir():
            (place / "energy_uj").write_text(f"{joules * 1e6:.0f}\n")

    put(1000, 5000, 4000.0)
    monkeypatch.setattr(meter, "STAT", tmp_path / "stat")
    monkeypatch.setattr(meter, "RAPL", tmp_path / "powercap")
    monkeypatch.setattr(gpus, "SECONDS", 0.05)
    monkeypatch.setattr(gpus, "now", gpus.Moment())
    tool = tmp_path / "nvidia-smi"
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return put


def test_cores_gpus_and_energy_are_what_the_counters_say(machine):
    """The processor's counter starts again at 0 on the way, and a part of it is not counted twice."""
    told: list[Use] = []
    with Meter(True, told.append):
        time.sleep(0.2)
        machine(1300, 5100, 4900.0)
        time.sleep(0.2)
        machine(1400, 5200, 100.0)
    [use] = told
    ticks = meter.os.sysconf("SC_CLK_TCK")
    assert (use.cores, use.of_cores) == (400 / ticks, 600 / ticks)
    assert use.joules["processor"] == pytest.approx(900 + 200)
    assert use.gpus == pytest.approx((0.5 * use.seconds, use.seconds), rel=0.05)
    assert use.joules["GPU"] == pytest.approx(300 * use.seconds, rel=0.05) and 0.4 <= use.seconds < 5


def test_what_the_system_does_not_tell_is_left_out(tmp_path, monkeypatch):
    for name in ("STAT", "RAPL"):
        monkeypatch.setattr(meter, name, tmp_path / "nowhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[Use] = []
    with Meter(True, told.append):
        pass
    assert told == [Use(told[0].seconds)]


def test_this_machine_tells_how_busy_it_is():
    told: list[Use] = []
    with Meter(False, told.append):
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass
    if Path("/proc/stat").exists():
        assert 0 < told[0].cores <= told[0].of_cores * 1.01


def test_several_starts_are_added_up():
    first = Use(10.0, 5.0, 20.0, (1.0,), {"processor": 100.0})
    second = Use(20.0, 30.0, 40.0, (2.0, 3.0), {"processor": 50.0, "GPU": 7.0})
    assert total([first, second]) == Use(30.0, 35.0, 60.0, (3.0, 3.0), {"processor": 150.0, "GPU": 7.0})
    assert total([second, first]).gpus == (3.0, 3.0) and total([]) == Use()
    assert total([first, Use()]) == total([Use(), first]) == first  # a start that was killed before it told anything
    assert total([replace(first, cores=None, of_cores=0.0)]).cores is None


def test_the_record_keeps_the_last_of_each_start(space_file, tmp_path):
    space = load_space(space_file)
    record = begin_record(tmp_path, space, "data")
    uses = [Use(10.0, 5.0, 20.0, (1.0,), {"processor": 100.0}), Use(20.0, 8.0, 40.0), Use(3.0)]
    for told in (uses[:2], uses[2:]):
        with Recorder(record, Clock(None), pytest.fail) as recorder:
            recorder.start(space.budget, None)
            for use in told:
                recorder.use(use)
        record = read_record(tmp_path)
    assert record.uses == (uses[1], uses[2])
    assert asdict(record.uses[0]) == asdict(uses[1])


SAID = {
    "a start that told nothing yet": (
        (Use(100.0, 150.0, 200.0), Use()),
        "Busy on the machine, whoever's work it was: its cores 75%. The energy of its processor cannot be read here."),
    "nothing": ((), "How busy the machine was and what energy it took is not known."),
    "a laptop": ((Use(100.0, 150.0, 200.0),),
                 "Busy on the machine, whoever's work it was: its cores 75%. The energy of its processor cannot be read here."),
    "a GPU": ((Use(3600.0, 3600.0, 7200.0, (2880.0,), {"processor": 36000.0, "GPU": 720000.0}),),
              "Busy on the machine, whoever's work it was: its cores 50%, GPU 0 80%. "
              "Energy: 10.0 Wh by its processor, 200.0 Wh by its GPU."),
}


@pytest.mark.parametrize("uses, text", SAID.values(), ids=SAID)
def test_the_report_says_what_is_known(uses, text):
    assert taken(SimpleNamespace(record=SimpleNamespace(uses=uses))) == text
