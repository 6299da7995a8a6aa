#!/usr/bin/env bash
# requests 2.34.2 (urllib3 2.8.0) takes an answer that breaks off in the middle of its headers for a whole one.
#
# Guess: a connection that is closed before the blank line after the headers is an error, as it is where the body is shorter
#        than its Content-Length: ConnectionError in requests, IncompleteRead in urllib.
# Seen:  requests.get(), with raise_for_status(), and urllib.request.urlopen() give status 200, the headers that came,
#        the last one cut in its value, and an empty body: an empty file, as far as a program can tell. http.client
#        reads headers until a blank line or the end of what there is. aiohttp 3.14.5 and httpx 0.28.1 raise.
# Works: pip in a temporary folder, a socket on loopback; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1 aiohttp==3.14.5
"$work/venv/bin/python" - <<'PY'
import asyncio
import socket
import threading
import urllib.request

import aiohttp
import httpx
import requests

listening = socket.create_server(("127.0.0.1", 0))


def answer() -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jp")


threading.Thread(target=answer, daemon=True).start()
url = f"http://127.0.0.1:{listening.getsockname()[1]}/a.jpg"

got = requests.get(url)
got.raise_for_status()
print("requests:", got.status_code, dict(got.headers), got.content)
assert (got.headers["Content-Type"], got.content) == ("image/jp", b""), "it was another behaviour"
with urllib.request.urlopen(url) as opened:
    read = opened.read()
    print("urllib:", opened.status, dict(opened.headers), read)
    assert (opened.headers["Content-Type"], read) == ("image/jp", b""), "it was another behaviour"


async def ask() -> None:
    async with aiohttp.ClientSession() as session, session.get(url):
        pass


for name, call, error in (
    ("httpx", lambda: httpx.get(url), httpx.RemoteProtocolError),
    ("aiohttp", lambda: asyncio.run(ask()), aiohttp.ServerDisconnectedError),
):
    try:
        call()
    except error as raised:
        print(f"{name}: {type(raised).__name__}")
    else:
        raise AssertionError("it was another behaviour")
PY
