"""A headless Chromium, driven through DevTools messages on a pipe, with the standard library alone."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH = next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    def __init__(self) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="dpo-chromium-", ignore_cleanup_errors=True)
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        # Chromium reads commands from descriptor 3 and writes to 4.
        self.process = subprocess.Popen(
            [
                "/bin/sh", "-c", f'exec "$0" "$@" 3<&{read} 4>&{write}', str(PATH), "--headless=new", "--no-sandbox",
                "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
                f"--user-data-dir={self.profile.name}", "about:blank",
            ],
            pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._buffer = b""
        self._number = 0

    def close(self) -> None:
        try:
            self.send("Browser.close")
            self.process.wait(10)
        except (OSError, EOFError, RuntimeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self._read)
        os.close(self._write)
        self.profile.cleanup()

    def send(self, method: str, session: "str | None" = None, **parameters: object) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                block = os.read(self._read, 1 << 16)
                if not block:
                    raise EOFError("Chromium has ended")
                self._buffer += block
            line, self._buffer = self._buffer.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, address: str, width: int = 1280, height: int = 800) -> "Page":
        return Page(self, address, width, height)


class Page:
    def __init__(self, browser: Browser, address: str, width: int, height: int) -> None:
        self.browser = browser
        self.target = browser.send("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.size(width, height)
        self("Page.enable")
        self("Page.navigate", url=address)

    def __call__(self, method: str, **parameters: object) -> dict:
        return self.browser.send(method, self.session, **parameters)

    def size(self, width: int, height: int) -> None:
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def value(self, expression: str) -> object:
        found = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> object:
        """Until the expression is true; the page may not be there yet."""
        expression = f"(() => {{ try {{ return !!({expression}); }} catch {{ return false; }} }})()"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.value(expression):
                return found
            time.sleep(0.02)
        raise AssertionError(f"never true: {expression}; the page says: {self.value('document.body.innerText')}")

    def key(self, key: str, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, **({"text": text} if text and kind == "keyDown" else {}))

    def drag(self, start: "list[float]", end: "list[float]") -> None:
        def mouse(kind: str, place: "list[float]", buttons: int) -> None:
            self("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", buttons=buttons, clickCount=1)

        mouse("mousePressed", start, 1)
        for part in range(1, 11):
            mouse("mouseMoved", [a + (b - a) * part / 10 for a, b in zip(start, end)], 1)
        mouse("mouseReleased", end, 0)

    def accessibility(self) -> "list[tuple[str, str]]":
        """(role, name) of what a screen reader finds."""
        nodes = self("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
        ]

    def picture(self, path: pathlib.Path) -> None:
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))
