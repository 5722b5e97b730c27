"""Flower's SuperNode in a process that can speak to the centre and to this machine, and to nothing else."""

from __future__ import annotations

import sys

from c2lst_shared.flower.guard import allow_only


def main() -> None:
    """Run `flower-supernode` with the arguments after the first ones, which name where it may connect to."""
    allowed = sys.argv[1].split(",")
    sys.argv = ["flower-supernode", *sys.argv[2:]]
    allow_only(allowed)
    from flwr.supernode.cli import flower_supernode

    flower_supernode()


if __name__ == "__main__":
    main()
