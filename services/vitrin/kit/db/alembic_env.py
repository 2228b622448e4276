"""The Alembic environment of every service: online only, one transaction per version."""

from alembic import context
from sqlalchemy import URL, create_engine, pool


def run() -> None:
    url = context.config.attributes["url"]
    assert isinstance(url, URL)
    engine = create_engine(url, poolclass=pool.NullPool)
    try:
        with engine.connect() as connection:
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()
