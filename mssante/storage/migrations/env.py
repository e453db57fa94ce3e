"""Alembic's entry: `storage.migrate` hands over the connection and the database's tables."""

from alembic import context

configuration = context.config
connection = configuration.attributes["connection"]
database = configuration.attributes["database"]


def _include(name: str | None, kind: str, _parents: object) -> bool:
    # In PostgreSQL the databases share one schema: look at our own tables only.
    return kind != "table" or name in database.metadata.tables


context.configure(
    connection=connection,
    target_metadata=database.metadata,
    version_table=f"{database.name}_version",
    include_name=_include,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
