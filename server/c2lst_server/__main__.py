"""`python -m c2lst_server`: the same as `c2lst-server`, for launchers that start modules (`accelerate launch --module`)."""

from c2lst_server.cli import main

if __name__ == "__main__":
    main()
