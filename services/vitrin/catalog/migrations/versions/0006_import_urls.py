"""Imports whose file is fetched from an address. The whole address is kept only until the file is here: its query may
hold a secret. `source_url` is what is shown."""

from alembic import op

revision = "catalog_0006_import_urls"
down_revision = "catalog_0005"
branch_labels = None
depends_on = None

_STATES = "'uploading', 'staged', 'verifying', 'applying', 'done', 'refused', 'failed', 'aborted'"


def upgrade() -> None:
    op.execute(
        "alter table imports add column source_url text not null default '',"
        " add column fetch_url text not null default '',"
        " add column expected_sha256 bytea,"
        " add column bytes_total bigint"
    )
    op.execute("alter table imports drop constraint imports_state_check")
    op.execute(
        f"alter table imports add constraint imports_state_check check (state in ('fetching', {_STATES}))"
    )
    op.execute("create index imports_fetching on imports (import_id) where state = 'fetching'")


def downgrade() -> None:
    op.execute("drop index imports_fetching")
    op.execute("delete from imports where state = 'fetching'")
    op.execute("alter table imports drop constraint imports_state_check")
    op.execute(f"alter table imports add constraint imports_state_check check (state in ({_STATES}))")
    op.execute(
        "alter table imports drop column source_url, drop column fetch_url, drop column expected_sha256,"
        " drop column bytes_total"
    )
