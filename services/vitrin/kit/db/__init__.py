"""PostgreSQL: roles, one transaction per unit of work, row-level security, migrations, bulk copy."""
