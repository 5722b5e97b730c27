"""Trainings that were queued for trainers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "trainings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("training_id", sa.String(16), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("queued", Moment, nullable=False),
        sa.Column("not_before", Moment, nullable=False),
        sa.Column("started", Moment, nullable=True),
        sa.Column("updated", Moment, nullable=True),
        sa.Column("ended", Moment, nullable=True),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=True),
        sa.Column("lease_until", Moment, nullable=True),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("furthest", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(16), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=True),
        sa.Column("eta_seconds", sa.Integer(), nullable=True),
        sa.Column("loss", sa.Float(), nullable=True),
        sa.Column("curve", sa.Text(), nullable=True),
        sa.Column("error", sa.String(16), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("metrics", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_trainings"),
        sa.UniqueConstraint("training_id", name="uq_trainings_training_id"),
        sa.UniqueConstraint("run_id", name="uq_trainings_run_id"),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("trainings")
