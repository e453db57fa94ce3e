"""The code lists beside this file (see its README), read once each."""

import csv
from functools import cache
from importlib.resources import files
from typing import Final

FORMAT_OUTSIDE_MODELS: Final = (
    "urn:asipSante:modelesHorsProfils:2011",
    "1.2.250.1.213.1.1.4.2.282",
)
"""A structured document of no known model (NOS JDV_J10)."""
CLASS_SYSTEM: Final = "1.2.250.1.213.1.1.4.1"
"""Code system of document classes (TRE_A03)."""


@cache
def _rows(name: str) -> tuple[tuple[str, ...], ...]:
    text = files(__name__).joinpath(name).read_text("utf-8")
    return tuple(tuple(row) for row in csv.reader(text.splitlines()))[1:]


@cache
def labels(name: str) -> dict[tuple[str, str], str]:
    """(code, code system) → label of one list: ``types``, ``classes``, ``formats``,
    ``facility_types``, ``practice_settings`` or ``confidentiality``.
    """
    return {(row[0], row[1]): row[2] for row in _rows(f"{name}.csv")}


@cache
def _classes() -> dict[tuple[str, str], str]:
    of_types = {(row[0], row[1]): row[3] for row in _rows("types.csv") if row[3]}
    return of_types | {(row[0], row[1]): row[2] for row in _rows("type_to_class.csv")}


def class_of(type_code: str, type_system: str) -> str | None:
    """The class of a type of document (ASS_X04), or `None` where no list gives one."""
    return _classes().get((type_code, type_system))


@cache
def _formats() -> dict[str, tuple[str, str]]:
    names = ("template_to_format.csv", "media_type_to_format.csv")
    return {row[0]: (row[1], row[2]) for name in names for row in _rows(name)}


def format_of(key: str) -> tuple[str, str] | None:
    """The format (code, code system) of a template's root (ASS_A11) or of a media type (ASS_A12)."""
    return _formats().get(key)
