"""How Alembic runs the migrations: in the transaction of the connection that :mod:`analysis.store.database` gives it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
