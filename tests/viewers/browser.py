"""A headless Chromium, steered over the Chrome DevTools Protocol: open, click, wait, take a picture."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.services import stop, wait_for

#: Software rendering of WebGL, so that any machine draws the same.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--hide-scrollbars",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)

_PLACE_OF = """(() => {
  const wanted = %s;
  const all = [...document.querySelectorAll('*')].filter(e => e.textContent.trim() === wanted);
  const shown = all.map(e => e.getBoundingClientRect()).filter(r => r.width > 0 && r.height > 0);
  const last = shown[shown.length - 1];
  return last ? [last.x + last.width / 2, last.y + last.height / 2] : null;
})()"""


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events are dropped."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=120))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def wait(self, expression: str, what: str, timeout_s: float = 180.0) -> None:
        """Wait until a JavaScript expression is true."""
        wait_for(lambda: bool(self.evaluate(expression)), what, timeout_s)

    def click(self, x: float, y: float, count: int = 1) -> None:
        """Click with the left button, once or as a double click."""
        for number in range(1, count + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=number)

    def click_text(self, text: str, count: int = 1) -> None:
        """Click the innermost visible element that holds exactly this text."""
        found = self.evaluate(_PLACE_OF % json.dumps(text))
        assert found, f"nothing on the page says {text!r}"
        self.click(found[0], found[1], count)

    def scroll(self, x: float, y: float, steps: int) -> None:
        """Turn the wheel, down for positive steps."""
        for _ in range(abs(steps)):
            turn = 100 if steps > 0 else -100
            self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=turn)
            time.sleep(0.3)

    def picture(self, path: Path) -> None:
        """Write what is shown as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium(width: int = 1600, height: int = 1000) -> Iterator[Page]:
    """A browser with one empty tab until the block ends."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        port_file = Path(profile) / "DevToolsActivePort"
        child = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_for(lambda: port_file.exists() and "\n" in port_file.read_text(), "Chromium to start")
            port = port_file.read_text().splitlines()[0]
            time.sleep(0.2)
            tabs = httpx.get(f"http://127.0.0.1:{port}/json", timeout=30).json()
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            with connect(address, max_size=None, open_timeout=30) as connection:
                page = Page(connection)
                page.call("Page.enable")
                page.call(
                    "Emulation.setDeviceMetricsOverride",
                    width=width,
                    height=height,
                    deviceScaleFactor=1,
                    mobile=False,
                )
                yield page
        finally:
            stop(child, 10)
