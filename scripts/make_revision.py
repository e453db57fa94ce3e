"""Write the next migration of one database from its tables: for developers.

python scripts/make_revision.py mail 0002 "Add a column"
"""

import argparse
import sys
import tempfile
from pathlib import Path

from mssante.storage import migrate, versions
from mssante.storage.sqlite import sqlite_engine


def main() -> int:
    schemas = {s.name: s for s in vars(versions).values() if isinstance(s, versions.Schema)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=sorted(schemas))
    parser.add_argument("revision", help="four digits: 0002")
    parser.add_argument("message")
    arguments = parser.parse_args()
    schema = schemas[arguments.database]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "present.sqlite"
        first = not any((versions.MIGRATIONS / schema.name).glob("0*.py"))
        if not first:
            migrate.upgrade_sqlite(path, schema)
        engine = sqlite_engine(path)
        with engine.connect() as connection:
            migrate.make_revision(connection, schema, arguments.message, arguments.revision)
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
