"""Flower's SuperLink in a process that connects to nothing outside, with a control API that asks for a token."""

from __future__ import annotations

import hmac
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c2lst_shared.flower.guard import allow_only
from c2lst_shared.logs import LogFormat, take_over, write_logs


def main() -> None:
    """Run `flower-superlink` with the arguments after the first two: the file of the control API's token, and how to log."""
    token = Path(sys.argv[1]).read_text()
    write_logs(LogFormat(sys.argv[2]))
    sys.argv = ["flower-superlink", *sys.argv[3:]]
    allow_only([])
    starting = importlib.import_module("flwr.superlink.cli.flower_superlink")
    take_over("flwr", logging.WARNING)
    starting.__dict__["load_control_authn_plugin"] = lambda: _token_plugin(token)  # Flower has no setting for it
    starting.flower_superlink()


def _token_plugin(token: str) -> Any:
    """Return a plugin of Flower's own kind, which lets in whoever shows `token` and nobody else."""
    from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin

    class TokenPlugin(NoOpControlAuthnPlugin):  # type: ignore[misc]  # flwr is not typed for us
        def validate_tokens_in_metadata(self, metadata: Sequence[tuple[str, str | bytes]]) -> tuple[bool, Any]:
            shown = [value.encode() if isinstance(value, str) else value for _, value in metadata]
            if len(shown) == 1 and hmac.compare_digest(shown[0], token.encode()):
                return super().validate_tokens_in_metadata(metadata)
            return False, None

    return TokenPlugin()


if __name__ == "__main__":
    main()
