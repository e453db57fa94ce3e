"""CDA times: as written, in ISO 8601, as an XDS DTM."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.wire.cda.times import Timestamp


@pytest.mark.parametrize(
    ("value", "iso", "dtm"),
    [
        ("20210104160527+0100", "2021-01-04T16:05:27+01:00", "20210104150527"),
        ("201907011649+0100", "2019-07-01T16:49+01:00", "201907011549"),
        ("2019070116+0200", "2019-07-01T16+02:00", "2019070114"),
        ("20201231", "2020-12-31", "20201231"),
        ("202012", "2020-12", "202012"),
        ("2020", "2020", "2020"),
        ("20210101003000+0100", "2021-01-01T00:30:00+01:00", "20201231233000"),
        ("20210104160527.25-0330", "2021-01-04T16:05:27.25-03:30", "20210104193527"),
        ("20210104160527Z", "20210104160527Z", None),
        ("20210704160527", "2021-07-04T16:05:27+02:00", "20210704140527"),
        ("20211204160527", "2021-12-04T16:05:27+01:00", "20211204150527"),
        ("20240106113623+100", "2024-01-06T11:36:23", "20240106103623"),
        ("20211304", "20211304", None),
        ("20230229", "20230229", None),
        ("202101042560", "202101042560", None),
        ("yesterday", "yesterday", None),
        ("", "", None),
        (None, None, None),
    ],
)
def test_a_time_keeps_its_precision_and_offset(value, iso, dtm):
    time = Timestamp(value)

    assert time.iso() == iso
    assert time.dtm() == dtm


@pytest.mark.parametrize(
    ("value", "fault", "lacks_zone"),
    [
        ("20210104160527+0100", None, False),
        ("20210104160527", None, True),
        ("20210104", None, False),
        ("20210104160527+100", "time-offset", False),
        ("20210104160527+1561", "time-offset", False),
        ("20210104+0100", "time-offset", False),
        ("20210144", "time-malformed", False),
        ("2021-01-04", "time-malformed", False),
        (None, None, False),
    ],
)
def test_what_is_wrong_with_a_time_has_a_word(value, fault, lacks_zone):
    assert Timestamp(value).fault == fault
    assert Timestamp(value).lacks_zone is lacks_zone


@given(st.datetimes(datetime(1900, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_the_instant_survives(moment):
    moment = moment.replace(microsecond=0)

    written = Timestamp(moment.strftime("%Y%m%d%H%M%S+0000"))

    assert written.instant() == moment
    assert written.dtm() == moment.strftime("%Y%m%d%H%M%S")


def test_a_date_is_not_an_instant():
    assert Timestamp("20210104").instant() is None
