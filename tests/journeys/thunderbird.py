"""Thunderbird without a screen, driven from inside by its own remote protocol (Marionette).

Nothing is installed into it and nothing of it is imitated: the steps of ``thunderbird.js`` call what
its windows call, so that IMAP and SMTP are spoken by the program that people use.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

_STEPS = Path(__file__).with_suffix(".js")
_LONGEST_STEP = 280
_LOGGED = re.compile(rb"(SendData|CreateNewLineFromSocket): (.*)")
_REFUSED = re.compile(r"[0-9]+ (NO|BAD) |\* (NO|BAD|BYE(?! Logging out)) ")


class Thunderbird:
    """One run of Thunderbird on a profile, which outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.profile = folder / "profile"
        self.runs = 0
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        return shutil.which("thunderbird")

    def start(self) -> None:
        self.profile.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (self.profile / "user.js").write_text(
            f'user_pref("marionette.port", {port});\n'
            'user_pref("mail.provider.suppress_dialog_on_startup", true);\n'
            'user_pref("mailnews.start_page.enabled", false);\n'
            'user_pref("mail.biff.show_alert", false);\n'
            'user_pref("mail.biff.play_sound", false);\n'
            'user_pref("app.update.enabled", false);\n'
            'user_pref("app.donation.eoy.version.viewed", 999);\n'
            'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
            'user_pref("network.captive-portal-service.enabled", false);\n'
        )
        self.runs += 1
        command = (
            self.program(), "--headless", "--marionette", "--remote-allow-system-access",
            "--no-remote", "--profile", str(self.profile),
        )  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={
                **os.environ,
                "HOME": str(self.folder),
                "MOZ_HEADLESS": "1",
                "MOZ_LOG": "IMAP:5",
                "MOZ_LOG_FILE": str(self.folder / f"run{self.runs}"),
            },
        )
        self._connect(port)
        self._call("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
        self._call("Marionette:SetContext", value="chrome")
        self._call("WebDriver:SetTimeouts", script=_LONGEST_STEP * 1_000)

    def stop(self) -> None:
        """Leave in order; its processes are gone on return."""
        if self.process is None:
            return
        # It closes the connection while it leaves.
        with contextlib.suppress(OSError, EOFError):
            self._call("Marionette:Quit", flags=["eForceQuit"])
        self._socket.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def do(self, step: str, *arguments: Any) -> Any:
        """Run a step of ``thunderbird.js``; what it returns, or None where it asks something, which
        `accept` answers.
        """
        outcome = self._call(
            "WebDriver:ExecuteAsyncScript",
            script=_STEPS.read_text(),
            args=[step, list(arguments)],
            sandbox="system",
        )["value"]
        if outcome is None:
            return None
        assert "error" not in outcome, f"{step}: {outcome['error']}\n{self.dialogue()[-20:]}"
        return outcome["value"]

    def accept(self) -> None:
        """Say yes in the dialogue that is open."""
        self._call("WebDriver:AcceptAlert")

    # -- what was said ---------------------------------------------------------------------------

    def dialogue(self) -> list[str]:
        """The lines of IMAP of this run, ours with ``S: ``; contents are in it only as far as
        Thunderbird logs them.
        """
        lines = []
        for path in sorted(self.folder.glob(f"run{self.runs}*moz_log")):
            for match in _LOGGED.finditer(path.read_bytes()):
                who = "C: " if match[1] == b"SendData" else "S: "
                lines.append(who + match[2].decode("utf-8", "replace").rstrip())
        return lines

    def refusals(self) -> list[str]:
        """Answers of the server that are no success."""
        return [
            line
            for line in self.dialogue()
            if line.startswith("S: ") and _REFUSED.match(line.removeprefix("S: "))
        ]

    def commands(self, verb: str) -> list[str]:
        """The commands of this run that hold a verb."""
        wanted = re.compile(rf"C: [0-9]+ (uid )?{verb}\b", re.IGNORECASE)
        return [line for line in self.dialogue() if wanted.match(line)]

    # -- Marionette's protocol: a length, a colon, a list in JSON --------------------------------

    def _connect(self, port: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), 10)
                break
            except OSError:
                assert self.process.poll() is None, "Thunderbird does not start"
                assert time.monotonic() < deadline, "Thunderbird does not listen"
                time.sleep(0.1)
        self._socket.settimeout(_LONGEST_STEP + 10)
        self._received = b""
        self._calls = 0
        self._read()

    def _call(self, command: str, **parameters: Any) -> Any:
        self._calls += 1
        packet = json.dumps([0, self._calls, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(packet), packet))
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def _read(self) -> Any:
        while b":" not in self._received:
            self._more()
        length, _, self._received = self._received.partition(b":")
        while len(self._received) < int(length):
            self._more()
        packet, self._received = self._received[: int(length)], self._received[int(length) :]
        return json.loads(packet)

    def _more(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise EOFError("Thunderbird closed its connection")
        self._received += data
