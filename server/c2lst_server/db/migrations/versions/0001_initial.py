"""Sites, enrolment tokens and releases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "sites",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("added", Moment, nullable=False),
        sa.Column("enrolled", Moment, nullable=True),
        sa.Column("public_key_pem", sa.String(2000), nullable=True),
        sa.Column("key_fingerprint", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sites"),
        sa.UniqueConstraint("name", name="uq_sites_name"),
    )
    op.create_table(
        "enrolment_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.Column("used", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_enrolment_tokens"),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"], name="fk_enrolment_tokens_site_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_sha256", name="uq_enrolment_tokens_token_sha256"),
    )
    op.create_index("ix_enrolment_tokens_site_id", "enrolment_tokens", ["site_id"])
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organ", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("published", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_releases"),
        sa.UniqueConstraint("organ", "number", name="uq_releases_organ_number"),
        sa.UniqueConstraint("run_id", name="uq_releases_run_id"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("releases")
    op.drop_index("ix_enrolment_tokens_site_id", table_name="enrolment_tokens")
    op.drop_table("enrolment_tokens")
    op.drop_table("sites")
