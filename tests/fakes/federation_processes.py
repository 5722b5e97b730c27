"""Supervisors of the centre and of a site as their own processes, with the parts of `federation_parts`.

`python -m fakes.federation_processes centre PORT`, `... bare PORT` (SuperLink alone, whose runs nobody takes), `... site`, and
`... slow-site` (all as it is, but for a worker whose work can be slowed down); homes come from the environment.
"""

from __future__ import annotations

import sys

from c2lst_shared.flower.supervisor import Event
from c2lst_shared.stopping import stop_on_signal

PARTS = "fakes.federation_parts"


def _report(event: Event) -> None:
    print(event.model_dump_json(exclude_none=True), flush=True)


def main() -> None:
    with stop_on_signal() as stop:
        if sys.argv[1] in {"centre", "bare"}:
            from c2lst_server.federation import superlink
            from c2lst_server.federation.superlink import Parts, run_superlink
            from c2lst_server.settings import Settings

            if sys.argv[1] == "bare":
                all_services = superlink.centre_services
                superlink.centre_services = lambda *given: all_services(*given)[:1]
            parts = Parts(driver=f"{PARTS}:drive", open_rounds=f"{PARTS}:open_rounds")
            run_superlink(Settings(), int(sys.argv[2]), _report, stop, parts=parts)
        else:
            from c2lst_client.federation.join import Parts as SiteParts
            from c2lst_client.federation.join import join
            from c2lst_client.settings import Settings as SiteSettings

            if sys.argv[1] == "slow-site":
                site = SiteParts(worker=("fakes.slow_worker", "{home}"))
            else:
                site = SiteParts(handler=f"{PARTS}:handle", check=f"{PARTS}:check", worker=())
            join(SiteSettings(), _report, stop, parts=site)


if __name__ == "__main__":
    main()
