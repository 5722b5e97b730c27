"""A journey whose release is in memory, also in the processes that it starts."""

from c2lst_client.journey import Journey
from fakes.toy_release import toy_release


class OfflineJourney(Journey):
    """A journey that starts from a release in memory; pulling and verifying have tests of their own."""

    def release(self, name):
        return toy_release()
