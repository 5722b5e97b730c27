"""Who did what, who is signed in at a browser, and when a site was last seen with which software."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add them."""
    op.add_column("sites", sa.Column("last_seen", Moment, nullable=True))
    op.add_column("sites", sa.Column("software", sa.String(40), nullable=True))
    op.create_table(
        "administrator_sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("administrator_id", sa.Integer(), nullable=False),
        sa.Column("session_sha256", sa.String(64), nullable=False),
        sa.Column("ends", Moment, nullable=False),
        sa.Column("used", Moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["administrator_id"],
            ["administrators.id"],
            name="fk_administrator_sessions_administrator_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_administrator_sessions"),
        sa.UniqueConstraint("session_sha256", name="uq_administrator_sessions_session_sha256"),
    )
    op.create_index("ix_administrator_sessions_administrator_id", "administrator_sessions", ["administrator_id"])
    op.create_table(
        "administrator_actions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("detail", sa.String(500), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_administrator_actions"),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("administrator_actions")
    op.drop_index("ix_administrator_sessions_administrator_id", table_name="administrator_sessions")
    op.drop_table("administrator_sessions")
    op.drop_column("sites", "software")
    op.drop_column("sites", "last_seen")
