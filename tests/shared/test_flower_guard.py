"""A guarded process reaches what it may and nothing else; each case is a process of its own, as the guard stays for ever."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def _run(program: str, allowed: str = "['central.example.org:443']") -> str:
    text = f"from c2lst_shared.flower.guard import allow_only\nallow_only({allowed})\n{textwrap.dedent(program)}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('192.0.2.1', 443), 1)",
        "import socket; socket.getaddrinfo('telemetry.flower.ai', 443)",
        "import socket; socket.gethostbyname('telemetry.flower.ai')",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "import urllib.request; urllib.request.urlopen('https://telemetry.flower.ai/api/v1/event', timeout=2)",
        "import httpx; httpx.get('http://192.0.2.1/', timeout=2)",
        "import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 80))",
    ],
)
def test_other_places_are_refused(program: str) -> None:
    said = _run(program)

    assert "is not a place that this process may" in said or "is not a name that this process may" in said


@pytest.mark.parametrize("program", ["import os; os.system('true')", "import subprocess; subprocess.run(['true'])"])
def test_programs_are_refused(program: str) -> None:
    assert "may not start programs" in _run(program)


def test_this_machine_is_reached() -> None:
    program = """
        import socket
        listening = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(listening.getsockname()).close()
        listening.close()
        print("reached")
    """
    assert _run(program) == "reached\n"


def test_named_server_is_reached_at_its_own_port_only() -> None:
    program = """
        import socket
        for port in (443, 80):
            probe = socket.socket()
            probe.settimeout(0.3)
            try:
                probe.connect(("192.0.2.7", port))
            except ConnectionRefusedError as error:
                print(port, error)
            except OSError:
                print(port, "tried")
    """
    said = _run(program, "['https://192.0.2.7']")

    assert "443 tried" in said
    assert "80 192.0.2.7 is not a place" in said


def test_redirect_to_another_host_is_refused() -> None:
    program = """
        import http.server, threading, httpx
        class Elsewhere(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(307); self.send_header("Location", "http://192.0.2.1/"); self.end_headers()
            def log_message(self, *_): pass
        server = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            httpx.get(f"http://127.0.0.1:{server.server_port}/", follow_redirects=True)
        except httpx.ConnectError as error:
            print("refused:", error)
    """
    assert "refused: 192.0.2.1 is not a" in _run(program)
