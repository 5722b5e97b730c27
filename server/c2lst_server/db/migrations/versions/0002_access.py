"""Access tokens of sites, the assertions that were shown for them, and administrators."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add them. Sites that enrolled before do not say under which URL they know the server: their first token asks for it."""
    op.add_column("sites", sa.Column("server", sa.String(300), nullable=True))
    op.create_table(
        "site_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_site_tokens"),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_site_tokens_site_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_sha256", name="uq_site_tokens_token_sha256"),
    )
    op.create_index("ix_site_tokens_site_id", "site_tokens", ["site_id"])
    op.create_table(
        "seen_assertions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("jti", sa.String(64), nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_seen_assertions"),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_seen_assertions_site_id", ondelete="CASCADE"),
        sa.UniqueConstraint("site_id", "jti", name="uq_seen_assertions_site_id_jti"),
    )
    op.create_index("ix_seen_assertions_site_id", "seen_assertions", ["site_id"])
    op.create_table(
        "administrators",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("scopes", sa.String(200), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("added", Moment, nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_administrators"),
        sa.UniqueConstraint("name", name="uq_administrators_name"),
        sa.UniqueConstraint("token_sha256", name="uq_administrators_token_sha256"),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("administrators")
    op.drop_index("ix_seen_assertions_site_id", table_name="seen_assertions")
    op.drop_table("seen_assertions")
    op.drop_index("ix_site_tokens_site_id", table_name="site_tokens")
    op.drop_table("site_tokens")
    op.drop_column("sites", "server")
