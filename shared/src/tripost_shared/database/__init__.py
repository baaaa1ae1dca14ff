"""The SQL schema and engine (SQLAlchemy 2, Alembic); only domains and admin-api use it."""
