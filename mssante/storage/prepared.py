"""Statements of the hot paths, compiled once and run on the driver's own cursor.

SQLAlchemy Core takes 30 to 60 µs of Python for each execution; SQLite answers an indexed read in 3.
So where a message passes, the statement that Core compiled goes straight to SQLite's driver. On
PostgreSQL, where a round trip costs more than either, it goes through Core.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Boolean, Connection
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql.expression import Executable

_DIALECT: Final = SQLiteDialect_pysqlite(paramstyle="qmark")
_RAW: Final = "the driver's connection"

Values = Mapping[str, object]


class Prepared:
    """One statement with named parameters, none of them expanding.

    All columns of an INSERT are parameters; those not given are NULL.
    """

    def __init__(self, statement: Executable, *, postgresql: Executable | None = None) -> None:
        """`postgresql` is the same statement where the two databases write it differently."""
        self.statement = statement if postgresql is None else postgresql
        compiled: Any = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        self._sql = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._constants = tuple(map(compiled.params.get, self._names))
        """What the statement itself gives, None where it gives nothing."""
        self._has_constants = any(value is not None for value in self._constants)
        columns = [(entry.keyname, entry.type) for entry in compiled._result_columns]  # noqa: SLF001
        self._row: Any = None
        if columns:
            names = [name for name, _ in columns]
            self._row = namedtuple("Row", names)._make  # type: ignore[attr-defined]  # noqa: PYI024
        self._booleans = [i for i, (_, kind) in enumerate(columns) if isinstance(kind, Boolean)]

    def all(self, conn: Connection, values: Values) -> list[Any]:
        """The rows, their columns as attributes."""
        driver = _driver(conn)
        if driver is None:
            return list(conn.execute(self.statement, dict(values)))
        found = driver.execute(self._sql, self._parameters(values)).fetchall()
        if self._booleans:
            found = [self._with_booleans(row) for row in found]
        return list(map(self._row, found))

    def first(self, conn: Connection, values: Values) -> Any:
        """The first row, or None."""
        rows = self.all(conn, values)
        return rows[0] if rows else None

    def do(self, conn: Connection, values: Values | Sequence[Values]) -> None:
        """Run it for its effect, once or for each of several sets of values."""
        driver = _driver(conn)
        if driver is None:
            conn.execute(self.statement, values)
        elif isinstance(values, Mapping):
            driver.execute(self._sql, self._parameters(values))
        else:
            driver.executemany(self._sql, [self._parameters(each) for each in values])

    def _parameters(self, values: Values) -> tuple[object, ...]:
        """The values in the order in which the statement takes them."""
        given = tuple(map(values.get, self._names))
        if not self._has_constants:
            return given
        both = zip(given, self._constants, strict=True)
        return tuple(constant if value is None else value for value, constant in both)

    def _with_booleans(self, row: Sequence[Any]) -> list[Any]:
        changed = list(row)
        for index in self._booleans:
            if changed[index] is not None:
                changed[index] = bool(changed[index])
        return changed


def _driver(conn: Connection) -> sqlite3.Connection | None:
    """The driver's connection where it is SQLite's."""
    info = conn.info
    if _RAW not in info:
        is_sqlite = conn.dialect.name == "sqlite"
        info[_RAW] = conn.connection.driver_connection if is_sqlite else None
    found: sqlite3.Connection | None = info[_RAW]
    return found
