"""Alembic's entry; the environment is the same for every service."""

from vitrin.kit.db.alembic_env import run

run()
