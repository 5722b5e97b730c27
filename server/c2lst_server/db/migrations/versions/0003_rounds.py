"""Rounds and how they stand at each site."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "rounds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_id", sa.String(16), nullable=False),
        sa.Column("offer", sa.Text(), nullable=False),
        sa.Column("started", Moment, nullable=False),
        sa.Column("deadline", Moment, nullable=False),
        sa.Column("cancelled", Moment, nullable=True),
        sa.Column("closed", Moment, nullable=True),
        sa.Column("driver", sa.String(64), nullable=True),
        sa.Column("driver_until", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_rounds"),
        sa.UniqueConstraint("round_id", name="uq_rounds_round_id"),
    )
    op.create_table(
        "round_sites",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stage", sa.String(16), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=True),
        sa.Column("eta_seconds", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(16), nullable=True),
        sa.Column("reason", sa.String(16), nullable=True),
        sa.Column("offered", Moment, nullable=True),
        sa.Column("answered", Moment, nullable=True),
        sa.Column("unreachable_since", Moment, nullable=True),
        sa.Column("asked", Moment, nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_round_sites"),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name="fk_round_sites_round_id", ondelete="CASCADE"),
        sa.UniqueConstraint("round_id", "site", name="uq_round_sites_round_id_site"),
    )
    op.create_index("ix_round_sites_round_id", "round_sites", ["round_id"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_round_sites_round_id", table_name="round_sites")
    op.drop_table("round_sites")
    op.drop_table("rounds")
