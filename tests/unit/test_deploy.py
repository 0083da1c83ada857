"""What `deploy/` and prefect.yaml name exists, and systemd accepts the units."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from typer.main import get_command

from ingest.storage.settings import Settings
from regulars.cli.app import app
from regulars.serving.parts import Ports

_ROOT = Path(__file__).resolve().parents[2]
_DEPLOY = _ROOT / "deploy"
_UNITS = sorted(_DEPLOY.glob("*.service"))


def _dockerfile() -> str:
    return (_DEPLOY / "Dockerfile").read_text()


def _compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((_DEPLOY / "compose.yaml").read_text())
    return parsed


def _settings() -> set[str]:
    return {field.alias or f"REGULARS_{name.upper()}" for name, field in Settings.model_fields.items()}


def test_the_image_is_built_from_all_that_the_wheel_is_made_of() -> None:
    (lines,) = [re.findall(r"^COPY (?!--from)(.+) \S+$", _dockerfile(), re.MULTILINE)]
    copied = {source for line in lines for source in line.split()}
    wheel = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert copied >= {*wheel["packages"], *wheel["force-include"], "pyproject.toml", "requirements.lock"}
    assert all((_ROOT / source).exists() for source in copied)
    let_through = (_DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {f"!{source}" for source in copied} <= set(let_through)


def test_the_image_and_compose_name_the_ports_on_which_serve_listens() -> None:
    ports = Ports()
    wanted = {str(port) for port in (ports.dashboard, ports.ingest_api, ports.health)}
    assert set(re.findall(r"^EXPOSE (.+)$", _dockerfile(), re.MULTILINE)[0].split()) == wanted
    assert {address.split(":")[-1] for address in _compose()["services"]["regulars"]["ports"]} == wanted


def test_the_proxy_passes_on_to_the_ingest_api_and_the_dashboard() -> None:
    passed = re.findall(
        r"location (\S+) \{\s+proxy_pass http://127\.0\.0\.1:(\d+);", (_DEPLOY / "nginx.conf").read_text()
    )
    assert passed == [("/api/ingest/", str(Ports().ingest_api)), ("/", str(Ports().dashboard))]


def test_every_port_of_compose_is_on_loopback() -> None:
    published = [port for service in _compose()["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_commands_of_the_containers_and_units_exist() -> None:
    named = {_compose()["services"]["migrate"]["command"][0]}
    named |= set(re.findall(r'^CMD \["(\w+)"', _dockerfile(), re.MULTILINE))
    for unit in _UNITS:
        named |= set(re.findall(r"^ExecStart(?:Pre)?=\S+/regulars (\S+)", unit.read_text(), re.MULTILINE))
    assert len(named) > 1
    assert named <= set(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_example_of_an_environment_names_settings_that_exist() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", (_DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert named
    assert set(named) <= _settings() | {"COMPOSE_PROFILES", "POSTGRES_PASSWORD"}


def test_the_example_of_an_environment_is_read_as_it_is() -> None:
    lines = (_DEPLOY / "env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = Settings.from_environment(given)
    assert (settings.refresh_at, settings.refresh_every, settings.ingest_tokens) == (time(2, 30), None, ())


def test_compose_starts_without_its_own_postgresql() -> None:
    services = _compose()["services"]
    assert services["postgres"]["profiles"] == ["postgres"]
    waiting = [service["depends_on"] for service in services.values() if "postgres" in service.get("depends_on", {})]
    assert waiting
    assert all(conditions["postgres"]["required"] is False for conditions in waiting)
    # A variable that must be set must be set for a service that isn't started, too.
    assert not re.search(r"\$\{\w+:?\?", (_DEPLOY / "compose.yaml").read_text())


def test_an_operators_command_gets_the_settings_of_the_units_and_its_own_arguments(tmp_path: Path) -> None:
    quoted = "'jsons://hooks.example/x?a=1&b=$HOME mailtos://kofi:secret@smtp.example'"
    (tmp_path / "settings").write_text(f"REGULARS_HOME=/var/lib/regulars\nREGULARS_ALARM_URLS={quoted}\n")
    command = tmp_path / "command"
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$REGULARS_HOME" "$REGULARS_ALARM_URLS" "$@"\n')
    command.chmod(0o755)
    script = (_DEPLOY / "regulars.sh").read_text()
    # Only root may become another user.
    for there, here in {
        "/etc/regulars.env": str(tmp_path / "settings"), "/opt/regulars/bin/regulars": str(command),
        "runuser --user regulars -- ": "",
    }.items():  # fmt: skip
        assert there in script
        script = script.replace(there, here)
    ran = subprocess.run(
        ["sh", "-c", script, "regulars", "erase", "--by", "Yaw, data protection"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ran.stdout.splitlines() == [
        "/var/lib/regulars", quoted.strip("'"), "erase", "--by", "Yaw, data protection",
    ]  # fmt: skip


def test_prefects_deployment_names_the_flow_and_the_default_schedule() -> None:
    (deployment,) = yaml.safe_load((_ROOT / "prefect.yaml").read_text())["deployments"]
    *module, flow = deployment["entrypoint"].split(".")
    source = (_ROOT / Path(*module)).with_suffix(".py").read_text()
    assert flow in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    (schedule,) = deployment["schedules"]
    settings = Settings()
    assert schedule["cron"] == f"{settings.refresh_at.minute} {settings.refresh_at.hour} * * *"
    assert ZoneInfo(schedule["timezone"]) == ZoneInfo(settings.time_zone)


# `.ci/run` installs no systemd: the units are checked on machines that run it.
@pytest.mark.usefixtures("takes_long")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("unit", _UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    # It wants the command to be there.
    here = tmp_path / unit.name
    here.write_text(re.sub(r"(?<==)/opt/regulars/bin/\w+", sys.executable, unit.read_text()))
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
