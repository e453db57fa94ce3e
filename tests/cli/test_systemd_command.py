import configparser
import shutil
import subprocess

import pytest


def unit(text: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parsed.optionxform = str
    parsed.read_string(text)
    return parsed


def test_the_unit_runs_this_instance_in_a_sandbox_around_its_own_folders(mssante, demo):
    outcome = mssante("systemd", "print", "--user", "poste")

    service = unit(outcome.out)["Service"]
    assert service["ExecStart"].endswith(f"/mssante serve -c {demo}/mssante.toml")
    assert service["ExecReload"].endswith(f"/mssante reload -c {demo}/mssante.toml")
    # cffi's callbacks, with which pyOpenSSL asks for the peers' certificates, need such memory.
    assert "MemoryDenyWriteExecute" not in service
    assert service["User"] == service["Group"] == "poste"
    assert service["Type"] == "notify"
    assert service["ProtectSystem"] == "strict"
    assert f"ReadWritePaths={demo}/data" in outcome.out
    assert f"ReadWritePaths={demo}/run" in outcome.out
    assert service["TimeoutStopSec"] == "30"


def test_only_ports_below_1024_need_a_capability(mssante, run, tmp_path):
    assert unit(mssante("systemd", "print").out)["Service"]["AmbientCapabilities"] == ""

    assert run("init", tmp_path / "x", "--domain", "a.example").code == 0
    outcome = run("systemd", "print", "-c", tmp_path / "x" / "mssante.toml")
    service = unit(outcome.out)["Service"]
    assert service["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    assert service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"


def test_a_path_with_odd_characters_is_quoted(mssante, demo):
    odd = demo.with_name("a b%h$x")
    shutil.copytree(demo, odd)
    from mssante import cli

    outcome = mssante("systemd", "print")
    assert outcome.code == 0
    from mssante.cli.systemd import unit_of
    from mssante.settings import load

    text = unit_of(load(odd / "mssante.toml"), "mssante", odd / "bin" / "mssante")
    assert "'" in text
    assert "b%%h$$x/mssante.toml" in text


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NO SYSTEMD: the unit is not verified"
)
def test_systemd_finds_nothing_wrong_with_the_unit(mssante, tmp_path):
    file = tmp_path / "mssante.service"
    # An account of every Debian: systemd looks whether there is one.
    file.write_text(mssante("systemd", "print", "--user", "daemon").out)

    verified = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60
    )
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(file)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert "mssante.service" not in verified.stderr
    assert judged.returncode == 0, judged.stdout[-300:]  # an exposure of 2.0 at most
