"""What the server remembers beside its files: who may ask for what, and which run became which release."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, ForeignKey, MetaData, String, TypeDecorator, UniqueConstraint
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
