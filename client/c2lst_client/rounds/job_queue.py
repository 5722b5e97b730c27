"""The site's queue of rounds, for the centre and the site's people: one row per round, whatever comes how often.

A round is queued once, by its identifier. Workers take rounds up by `leases.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from c2lst_client.rounds.queue_database import Job, QueueDatabase, as_job, find_job, get_job
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import DeclineReason, RoundOffer, SiteState


@dataclass(frozen=True)
class Decision:
    """What becomes of an offer."""

    state: SiteState  # declined, waiting or queued
    reason: DeclineReason | None = None
    slide: str | None = None


class JobQueue(QueueDatabase):
    """Offers come in, people decide, and both may take a round back."""

    def receive(self, offer: RoundOffer, decide: Callable[[], Decision]) -> Job:
        """Take in an offer: a new one is decided on, one that is there already stays as it is."""
        with self._writing() as connection:
            if find_job(connection, offer.round_id) is None:
                decision, now = decide(), self._clock()
                connection.execute(
                    "INSERT INTO rounds (round_id, offer, slide, state, reason, received, updated) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (offer.round_id, offer.model_dump_json(), decision.slide, decision.state, decision.reason, now, now),
                )
            return get_job(connection, offer.round_id)

    def get(self, round_id: str) -> Job:
        """Return the round that `round_id`, or an unambiguous beginning of it, names.

        Raises:
            BadInput: there is none, or there are several.
        """
        found = [job for job in self.all() if job.round_id.startswith(round_id)] if round_id else []
        if len(found) != 1:
            known = ", ".join(job.round_id for job in found or self.all()) or "none yet"
            raise BadInput(f"{round_id!r} names {len(found) or 'no'} round{'s' * (len(found) > 1)}; the rounds are: {known}.")
        return found[0]

    def all(self) -> list[Job]:
        """Return all rounds in the order in which they came."""
        self._expire()
        with self._open() as connection:
            return [as_job(row) for row in connection.execute("SELECT * FROM rounds ORDER BY received, round_id")]

    def approve(self, round_id: str, slide: str) -> Job:
        """Queue a round that waits, to work on this slide.

        Raises:
            BadInput: it does not wait.
        """
        return self._decide(round_id, "UPDATE rounds SET state = 'queued', slide = :value, updated = :now", slide)

    def decline(self, round_id: str) -> Job:
        """Decline a round that waits.

        Raises:
            BadInput: it does not wait.
        """
        return self._decide(round_id, "UPDATE rounds SET state = 'declined', reason = :value, updated = :now", "person")

    def cancel(self, round_id: str) -> Job:
        """Give a round up: at once when it does not run, else its worker is asked to stop.

        One that was never offered is remembered, so that an offer that comes late finds it cancelled.
        """
        with self._writing() as connection:
            now = self._clock()
            connection.execute(
                "INSERT INTO rounds (round_id, state, received, updated) VALUES (?, 'cancelled', ?, ?) ON CONFLICT DO NOTHING",
                (round_id, now, now),
            )
            connection.execute(
                "UPDATE rounds SET state = 'cancelled', updated = ? WHERE round_id = ? AND state IN ('waiting', 'queued')",
                (now, round_id),
            )
            connection.execute("UPDATE rounds SET cancel = 1 WHERE round_id = ? AND state = 'running'", (round_id,))
            return get_job(connection, round_id)

    def _decide(self, round_id: str, update: str, value: str) -> Job:
        job = self.get(round_id)
        with self._writing() as connection:
            changed = connection.execute(
                f"{update} WHERE round_id = :id AND state = 'waiting'",
                {"value": value, "now": self._clock(), "id": job.round_id},
            )
            if not changed.rowcount:
                state = get_job(connection, job.round_id).state
                raise BadInput(f"Round {job.round_id} is {state} and does not wait for a decision.")
            return get_job(connection, job.round_id)
