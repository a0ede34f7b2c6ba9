"""A page in a real browser, by Chromium's own protocol (chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--remote-debugging-port=0", "about:blank"]
SECONDS = 60


@dataclass
class Looked:
    """What a page came to: what was asked of it, its picture as PNG, and all that it asked for or complained of."""

    answers: list[Any] = field(default_factory=list)
    picture: bytes = b""
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def look(address: str, profile: Path, *questions: str, width: int = 1280, height: int = 900, wait: float = 0.0) -> Looked:
    """Open ``address`` in a window of ``width`` pixels, and evaluate each of the ``questions``, which are JavaScript.

    Args:
        wait: seconds for a page that goes on after it was loaded.
    """
    with subprocess.Popen([CHROMIUM, f"--user-data-dir={profile}", *FLAGS], stderr=subprocess.DEVNULL) as browser:
        try:
            return asyncio.run(visit(debugger(profile), address, questions, (width, height), wait))
        finally:
            browser.terminate()


def debugger(profile: Path) -> int:
    """Return the port on which the browser listens, once it does."""
    file, deadline = profile / "DevToolsActivePort", time.monotonic() + SECONDS
    while not (file.exists() and file.read_text().count("\n")):
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.1)
    return int(file.read_text().splitlines()[0])


async def visit(port: int, address: str, questions: tuple[str, ...], size: tuple[int, int], wait: float) -> Looked:
    looked, loaded = Looked(), asyncio.Event()
    answers: dict[int, asyncio.Future] = {}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
            [page] = [one for one in await listed.json() if one["type"] == "page"]
        async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:

            async def listen() -> None:
                async for message in socket:
                    told = json.loads(message.data)
                    if "id" in told:
                        answers.pop(told["id"]).set_result(told)
                    note(told, looked, loaded)

            async def call(method: str, **given: Any) -> dict[str, Any]:
                number = len(asked)
                asked.append(method)
                answers[number] = asyncio.get_running_loop().create_future()
                await socket.send_json({"id": number, "method": method, "params": given})
                return (await asyncio.wait_for(answers[number], SECONDS)).get("result", {})

            asked: list[str] = []
            listener = asyncio.create_task(listen())
            for domain in ("Page", "Runtime", "Network", "Log"):
                await call(f"{domain}.enable")
            phone = size[0] < 600
            await call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=phone)
            await call("Page.navigate", url=address)
            await asyncio.wait_for(loaded.wait(), SECONDS)
            await asyncio.sleep(wait)
            for question in questions:
                found = await call("Runtime.evaluate", expression=question, returnByValue=True, awaitPromise=True)
                looked.answers.append(found["result"].get("value"))
            shot = await call("Page.captureScreenshot", captureBeyondViewport=True)
            looked.picture = base64.b64decode(shot["data"])
            listener.cancel()
    return looked


def note(told: dict[str, Any], looked: Looked, loaded: asyncio.Event) -> None:
    """Keep what the browser says of a page while it is opened."""
    given = told.get("params", {})
    match told.get("method"):
        case "Page.loadEventFired":
            loaded.set()
        case "Network.requestWillBeSent" if not given["request"]["url"].startswith(("data:", "blob:")):
            looked.requests.append(given["request"]["url"])
        case "Runtime.consoleAPICalled" if given["type"] in ("error", "warning"):
            looked.complaints.append(str([argument.get("value") for argument in given["args"]]))
        case "Runtime.exceptionThrown":
            looked.complaints.append(str(given["exceptionDetails"]))
        case "Log.entryAdded" if given["entry"]["level"] in ("error", "warning"):
            looked.complaints.append(given["entry"]["text"])
