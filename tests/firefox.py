"""Firefox as the system has it, driven by WebDriver BiDi: Playwright drives only its own."""

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

# Nothing is asked of the network, not even whether there is a newer Firefox.
PREFERENCES = {
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
}


class Loop:
    """A loop in a thread of its own: Playwright has that of this one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, 120), self.loop).result()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)


class Firefox:
    """One page of it."""

    def __init__(self, loop: Loop, socket: WebSocketClientConnection) -> None:
        self.loop, self.socket, self.count = loop, socket, 0
        self.call("session.new", capabilities={})
        tree = self.call("browsingContext.getTree")
        self.context = tree["contexts"][0]["context"]

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol; its result."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        return self.loop.wait(self._call(message))

    async def _call(self, message: dict[str, Any]) -> Any:
        await self.socket.write_message(json.dumps(message))
        while True:
            said = await self.socket.read_message()
            assert said is not None, "Firefox has gone"
            answer = json.loads(said)
            if answer.get("id") == message["id"]:
                assert answer["type"] == "success", answer
                return answer["result"]

    def goto(self, path: Path) -> None:
        """Open a page from disk."""
        self.call(
            "browsingContext.navigate", context=self.context, url=path.as_uri(), wait="complete"
        )

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of the promise that it is."""
        found = self.call(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self.context},
            awaitPromise=True,
        )
        assert found["type"] == "success", found["exceptionDetails"]["text"]
        return json.loads(found["result"].get("value", "null"))

    def set_files(self, selector: str, *paths: Path) -> None:
        """Choose files in an input."""
        found = self.call(
            "script.evaluate",
            expression=f"document.querySelector({json.dumps(selector)})",
            target={"context": self.context},
            awaitPromise=False,
        )
        element = {"sharedId": found["result"]["sharedId"]}
        files = [str(path) for path in paths]
        self.call("input.setFiles", context=self.context, element=element, files=files)


@contextmanager
def firefox() -> Iterator[Firefox]:
    """Start Firefox with a profile of its own, or skip the test."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("Firefox is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items())
        (Path(folder) / "user.js").write_text("\n".join(lines))
        log = Path(folder) / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [program, "--headless", "--profile", folder, "--remote-debugging-port", "0"],
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        loop = Loop()
        try:
            address = loop.wait(_listening(log, process))
            if address is None:
                pytest.skip("this Firefox cannot be driven")
            socket = loop.wait(_connected(f"{address}/session"))
            try:
                yield Firefox(loop, socket)
            finally:
                loop.wait(_closed(socket))
        finally:
            process.terminate()
            process.wait(30)
            loop.stop()


async def _connected(address: str) -> WebSocketClientConnection:
    return await websocket_connect(address)


async def _closed(socket: WebSocketClientConnection) -> None:
    socket.close()
    while await socket.read_message() is not None:
        pass


async def _listening(log: Path, process: subprocess.Popen[bytes]) -> str | None:
    while process.poll() is None:
        if match := re.search(r"BiDi listening on (ws://\S+)", log.read_text(errors="replace")):
            return match[1]
        await asyncio.sleep(0.2)
    return None
