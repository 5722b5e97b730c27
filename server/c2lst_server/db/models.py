"""What the server remembers beside its files: who may ask for what and who did what, which run became which release,
rounds, and trainings."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Boolean, DateTime, Dialect, Float, ForeignKey, MetaData, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

INVITED, ACTIVE, SUSPENDED = "invited", "active", "suspended"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets time zones, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC."""
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return UTC, aware."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Root of the tables; constraints have names, so that a migration can find them on every database."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


class Site(Base):
    """One institution."""

    __tablename__ = "sites"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32), unique=True)
    state: Mapped[str] = mapped_column(String(16))  # invited, active or suspended
    added: Mapped[datetime] = mapped_column(UtcDateTime)
    enrolled: Mapped[datetime | None] = mapped_column(UtcDateTime)
    public_key_pem: Mapped[str | None] = mapped_column(String(2000))
    key_fingerprint: Mapped[str | None] = mapped_column(String(64))  # SHA-256 of the public key's DER bytes
    server: Mapped[str | None] = mapped_column(String(300))  # the URL under which it knows this server
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it last showed who it is, to the minute
    software: Mapped[str | None] = mapped_column(String(40))  # the version of c2lst that it named then
    tokens: Mapped[list[EnrolmentToken]] = relationship(back_populates="site", cascade="all, delete-orphan")


class EnrolmentToken(Base):
    """A token that was given out; only its digest is kept."""

    __tablename__ = "enrolment_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    expires: Mapped[datetime] = mapped_column(UtcDateTime)
    used: Mapped[datetime | None] = mapped_column(UtcDateTime)
    site: Mapped[Site] = relationship(back_populates="tokens")


class SiteToken(Base):
    """An access token that a site holds for some minutes; only its digest is kept."""

    __tablename__ = "site_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    expires: Mapped[datetime] = mapped_column(UtcDateTime)
    site: Mapped[Site] = relationship()


class SeenAssertion(Base):
    """An assertion that was shown, for as long as it could be shown again."""

    __tablename__ = "seen_assertions"
    __table_args__ = (UniqueConstraint("site_id", "jti"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    jti: Mapped[str] = mapped_column(String(64))
    expires: Mapped[datetime] = mapped_column(UtcDateTime)


class Administrator(Base):
    """Somebody who may ask the interface for more than sites may; only the digest of the token is kept."""

    __tablename__ = "administrators"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32), unique=True)
    scopes: Mapped[str] = mapped_column(String(200))  # separated by spaces
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    added: Mapped[datetime] = mapped_column(UtcDateTime)
    expires: Mapped[datetime] = mapped_column(UtcDateTime)


class AdministratorSession(Base):
    """An administrator who is signed in at a browser; only the digest of what the browser shows is kept."""

    __tablename__ = "administrator_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    administrator_id: Mapped[int] = mapped_column(ForeignKey("administrators.id", ondelete="CASCADE"), index=True)
    session_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    ends: Mapped[datetime] = mapped_column(UtcDateTime)  # however much it is used
    used: Mapped[datetime] = mapped_column(UtcDateTime)  # to the minute
    administrator: Mapped[Administrator] = relationship()


class AdministratorAction(Base):
    """Something that was done, and by whom. Names stay when who has them is removed."""

    __tablename__ = "administrator_actions"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    who: Mapped[str] = mapped_column(String(64))
    via: Mapped[str] = mapped_column(String(16))  # one of `actions.Via`
    action: Mapped[str] = mapped_column(String(32))  # one of `actions.Action`
    subject: Mapped[str] = mapped_column(String(100))  # name of what it was done to
    detail: Mapped[str | None] = mapped_column(String(500))


class Release(Base):
    """A release that was made visible."""

    __tablename__ = "releases"
    __table_args__ = (UniqueConstraint("organ", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    organ: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    run_id: Mapped[str] = mapped_column(String(64), unique=True)
    weights_sha256: Mapped[str] = mapped_column(String(64))
    published: Mapped[datetime] = mapped_column(UtcDateTime)


class Round(Base):
    """Work that was offered to some sites."""

    __tablename__ = "rounds"

    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[str] = mapped_column(String(16), unique=True)
    offer: Mapped[str] = mapped_column(Text)  # JSON of `wire.RoundOffer`, the same for every site
    started: Mapped[datetime] = mapped_column(UtcDateTime)
    deadline: Mapped[datetime] = mapped_column(UtcDateTime)
    cancelled: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when somebody gave it up
    closed: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when nothing more was asked
    driver: Mapped[str | None] = mapped_column(String(64))  # who drives it now
    driver_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sites: Mapped[list[RoundSite]] = relationship(
        back_populates="round", cascade="all, delete-orphan", order_by="RoundSite.site"
    )


class RoundSite(Base):
    """How a round stands at one site, as the site last said. The name stays when the site is removed."""

    __tablename__ = "round_sites"
    __table_args__ = (UniqueConstraint("round_id", "site"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("rounds.id", ondelete="CASCADE"), index=True)
    site: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))  # not_sent, offered, or one of `wire.SiteState`
    stage: Mapped[str | None] = mapped_column(String(16))
    step: Mapped[int | None]
    steps: Mapped[int | None]
    eta_seconds: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(16))
    offered: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when the offer was first sent
    answered: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when the site last answered
    unreachable_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    asked: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it was last sent a request
    result: Mapped[str | None] = mapped_column(Text)  # JSON of `wire.RoundResult`
    round: Mapped[Round] = relationship(back_populates="sites")


class Training(Base):
    """A training that was queued for trainers, as it stands; what it makes lies in the folder of its run."""

    __tablename__ = "trainings"

    id: Mapped[int] = mapped_column(primary_key=True)
    training_id: Mapped[str] = mapped_column(String(16), unique=True)
    run_id: Mapped[str] = mapped_column(String(64), unique=True)
    plan: Mapped[str] = mapped_column(Text)  # JSON of `trainings.plan.TrainingPlan`
    state: Mapped[str] = mapped_column(String(16))  # queued, running, finished, failed or cancelled
    queued: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)  # when it may be tried (again)
    started: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it was first taken up
    updated: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it last said how far it is
    ended: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel: Mapped[bool] = mapped_column(Boolean)  # whether a running one was asked to stop
    owner: Mapped[str | None] = mapped_column(String(64))  # who works on it
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    crashes: Mapped[int]  # ends without a word since it last got any further
    furthest: Mapped[int]  # units of work that were ever done, to see whether a crash repeats itself
    stage: Mapped[str | None] = mapped_column(String(16))
    step: Mapped[int | None]
    steps: Mapped[int | None]
    eta_seconds: Mapped[int | None]  # at `updated`
    loss: Mapped[float | None] = mapped_column(Float)
    curve: Mapped[str | None] = mapped_column(Text)  # JSON: a bounded list of [step, mean loss]
    error: Mapped[str | None] = mapped_column(String(16))  # one of `wire.ErrorCode`
    detail: Mapped[str | None] = mapped_column(Text)  # the error in words, which may name paths: not for HTTP
    metrics: Mapped[str | None] = mapped_column(Text)  # JSON: name -> value, of a finished one
