import io
import json
import logging
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.kernel.ins import matricule_key
from mssante.servers import logs

INS = "279035121518989"


@pytest.fixture
def lines():
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.raiseExceptions)
    stream = io.StringIO()
    logs.configure("info", stream=stream, context={"worker": 3})
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], logging.raiseExceptions = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(capture=False)


def test_a_line_has_time_level_event_and_fields(lines):
    logging.getLogger("mssante.courier").info(
        "message delivered", extra={"spool": b"\1" * 16, "n": 2}
    )

    (line,) = lines()
    assert line["time"].endswith("+00:00")
    assert {k: line[k] for k in ("level", "logger", "event", "worker", "spool", "n")} == {
        "level": "info",
        "logger": "mssante.courier",
        "event": "message delivered",
        "worker": 3,
        "spool": "01" * 16,
        "n": 2,
    }


def test_an_exception_shows_its_type_and_places_but_never_its_text(lines):
    def choke():
        raise ValueError(f"cannot parse <patient>{INS} secret text")

    try:
        try:
            choke()
        except ValueError as error:
            raise RuntimeError("also secret") from error
    except RuntimeError:
        logging.getLogger("x").exception("the parser failed")

    (line,) = lines()
    assert [e["type"] for e in line["exception"]] == [
        "builtins.RuntimeError",
        "builtins.ValueError",
    ]
    assert any("choke" in place for place in line["exception"][1]["places"])
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    "text",
    [
        INS,
        "2 79 03 51 215 189 89",
        f"to <{INS}@patient.example>",
        f"{INS[:13]} refused",
        "27801 2A 000 001",
        "178022a000001@x",
    ],
)
def test_whatever_looks_like_an_ins_is_blanked_in_events_and_fields(lines, text):
    logging.getLogger("x").info("about %s", text, extra={"peer": text, "number": int(INS)})

    (line,) = lines()
    digits = "".join(c for c in json.dumps(line).lower() if c.isalnum())
    assert INS[:13] not in digits
    assert "178022a000001" not in digits
    assert line["number"] == "[INS]"


@given(st.from_regex(r"[12][0-9]{2}(0[1-9]|1[0-2])([0-9]{2}|2[AB])[0-9]{6}", fullmatch=True))
def test_no_ins_survives(body):
    matricule = f"{body}{matricule_key(body):02d}"

    assert matricule not in logs.without_ins(f"RCPT TO:<{matricule}@patient.example> failed")


def test_ordinary_values_survive(lines):
    logging.getLogger("x").info("slow", extra={"millis": 1234, "id": "ab" * 16, "at": 1.5})

    (line,) = lines()
    assert (line["millis"], line["id"], line["at"]) == (1234, "ab" * 16, 1.5)


def test_the_smtp_library_does_not_log_the_lines_of_a_message(lines):
    for name in ("mail.log", "asyncio", "sqlalchemy.engine"):
        logging.getLogger(name).info("DATA readline: the patient has…")

    assert lines() == []


def test_a_broken_log_call_prints_nothing(lines, capsys):
    logging.getLogger("x").info("two %s %s", INS)

    assert INS not in capsys.readouterr().err


def test_warnings_become_lines(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)

    assert lines()[0]["level"] == "warning"


def test_a_line_is_one_line(lines):
    logging.getLogger("x").info("a\nb", extra={"c": "d\r\ne"})

    assert len(lines()) == 1
