from vitrin.kit.db.alembic_env import run

run()
