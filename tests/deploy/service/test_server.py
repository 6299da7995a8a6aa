from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

import httpx
import numpy as np
import pytest
from PIL import Image

import featx
from featx.deploy.service import _server
from tests.deploy.service.serving import Running, as_base64, as_file, as_form, needs_proc, png_that_declares, wait_for


def run(folder, *options):
    command = [sys.executable, "serve.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def reason(response, status):
    assert response.status_code == status, response.text
    return response.json()["error"]


def last_words(connection) -> bytes:
    """What a server sends before it closes the connection."""
    received = b""
    with connection:
        try:
            while part := connection.recv(65536):
                received += part
        except ConnectionResetError:
            pass
    return received


def test_a_form_of_images_is_answered_as_the_predictor_answers(service, served_bundle, jpegs):
    answer = service.post(files=as_form(*jpegs[:3])).json()
    predictor = featx.Predictor(served_bundle)
    assert [row["label"] for row in answer["predictions"]] == predictor.predict(jpegs[:3]).tolist()
    got = [list(row["probabilities"].values()) for row in answer["predictions"]]
    np.testing.assert_allclose(got, predictor.predict_proba(jpegs[:3]), atol=1e-6)
    for row in answer["predictions"]:
        assert row["error"] == ""
        assert row["probability"] == row["probabilities"][row["label"]]
    assert 0 < answer["seconds"] < 60


def test_json_gets_the_same_answer_as_a_form(service, jpegs):
    form = service.post(files=as_form(*jpegs[:2], name="files")).json()
    as_json = service.post(json={"images": as_base64(*jpegs[:2])}).json()
    assert as_json["predictions"] == form["predictions"]


def test_embeddings_are_those_of_the_predictor(service, served_bundle, jpegs):
    rows = service.post("/embed", files=as_form(jpegs[0])).json()["embeddings"]
    np.testing.assert_allclose([rows[0]["embedding"]], featx.Predictor(served_bundle).embed(jpegs[:1]), atol=1e-6)


def test_a_service_needs_neither_featx_nor_torch_nor_scikit_learn(service, jpegs):
    service.post(files=as_form(jpegs[0]))
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in service.log.splitlines() if "|" in line}
    assert {"predictor", "onnxruntime"} <= imported
    assert not imported & {"featx", "torch", "sklearn", "pandas", "scipy", "openvino"}


def test_a_bad_image_is_a_row_and_spoils_no_other(service, jpegs):
    response = service.post(files=as_form(jpegs[0], jpegs[1][:200], b"text"))
    rows = response.json()["predictions"]
    assert response.status_code == 200
    assert [row["label"] is None for row in rows] == [False, True, True]
    assert "damaged" in rows[1]["error"]
    assert "not an image" in rows[2]["error"]


def test_what_is_no_image_is_422(service):
    assert "not an image" in reason(service.post(files=as_form(b"text")), 422)


def test_images_none_of_which_can_be_used_are_422_and_each_has_its_reason(service):
    response = service.post(files=as_form(b"text", b""))
    assert reason(response, 422) == "None of 2 images can be used."
    assert "0 bytes" in response.json()["predictions"][1]["error"]


def test_a_form_without_images_is_422(service):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert "no 'image'" in reason(service.post(content=b"--x--\r\n", headers=headers), 422)


def test_an_empty_file_is_422(service):
    assert "0 bytes" in reason(service.post(files=as_form(b"")), 422)


def test_an_empty_list_is_422(service):
    assert "no 'image'" in reason(service.post(json={"images": []}), 422)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"images": [NaN]}'])
def test_malformed_json_is_422(service, body):
    reason(service.post(content=body, headers={"content-type": "application/json"}), 422)


@pytest.mark.parametrize("body", [[], {}, {"images": "x"}, {"images": [], "x": 1}, {"images": ["a"], "columns": [1]}])
def test_other_json_than_expected_is_422(service, body):
    reason(service.post(json=body), 422)


def test_malformed_base64_is_422_and_a_row_among_others(service, jpegs):
    assert "base64" in reason(service.post(json={"images": ["*"]}), 422)
    rows = service.post(json={"images": ["*", 7, *as_base64(jpegs[0])]}).json()["predictions"]
    assert [bool(row["error"]) for row in rows] == [True, True, False]


def test_a_malformed_form_is_422(service):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert "form" in reason(service.post(content=b"no boundary here", headers=headers), 422)


def test_a_form_that_breaks_off_is_422(service, jpegs):
    whole = httpx.Request("POST", service.url, files=as_form(jpegs[0]))
    headers = {"content-type": whole.headers["content-type"]}
    assert "breaks off" in reason(service.post(content=whole.read()[:-20], headers=headers), 422)


def test_an_unknown_column_is_422(service, jpegs):
    assert "'price'" in reason(service.post(files=as_form(jpegs[0]), data={"price": "1"}), 422)


@pytest.mark.parametrize("kind", ["text/plain", "image", "application/x-www-form-urlencoded", ""])
def test_another_type_of_content_is_415(service, kind):
    assert "multipart/form-data" in reason(service.post(content=b"x", headers={"content-type": kind}), 415)


def test_compressed_content_is_415(service):
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert "gzip" in reason(service.post(content=b"x", headers=headers), 415)


def test_too_many_bytes_are_413_and_the_limit_is_named(service):
    assert "1,000,000" in reason(service.post(files=as_form(bytes(5_000_000))), 413)


def test_too_many_bytes_are_413_also_where_their_number_is_not_declared(service):
    parts = (bytes(100_000) for _ in range(50))
    headers = {"content-type": "application/json"}
    assert "1,000,000" in reason(service.post(content=parts, headers=headers), 413)


def test_too_many_images_are_413_and_the_limit_is_named(service, jpegs):
    assert "4" in reason(service.post(files=as_form(*jpegs[:5])), 413)
    assert "4" in reason(service.post(json={"images": as_base64(*jpegs[:5])}), 413)


def test_too_many_pixels_are_413_and_the_limit_is_named(service, jpegs):
    huge = png_that_declares(20_000, 20_000)
    assert "1,000,000" in reason(service.post(files=as_form(huge)), 413)
    rows = service.post(files=as_form(huge, jpegs[0])).json()["predictions"]
    assert "1,000,000" in rows[0]["error"]
    assert rows[1]["label"]


def test_an_unknown_path_is_404_in_json(service):
    assert reason(httpx.get(service.url + "/nothing"), 404) == "Not Found"
    assert reason(httpx.get(service.url + "/predict"), 405)


def test_metadata_is_the_card_without_digests_and_with_the_limits(service):
    metadata = httpx.get(service.url + "/metadata").json()
    assert metadata["task"] == "classification"
    assert metadata["limits"]["max_images"] == 4
    assert not {"files", "sha256"} & set(metadata)


def test_the_log_has_a_short_line_of_json_a_request(service, jpegs):
    service.post("/predict?" + "x" * 5000, headers={"x-request-id": "mine"}, files=as_form(*jpegs[:3]))
    wait_for(lambda: "mine" in service.log)
    (line,) = (line for line in service.lines if line.get("request_id") == "mine")
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert line["seconds"] > 0
    wanted = {"level": "info", "message": "POST /predict", "route": "/predict", "status": 200, "images": 3}
    assert wanted.items() <= line.items()
    assert len(json.dumps(line)) < 350


def drip(connection, data) -> bool:
    """Send the same again and again, for a minute; returns whether the server gave up before."""
    with suppress(OSError):
        for _ in range(600):
            connection.sendall(data)
            time.sleep(0.1)
        return False
    return True


def test_a_body_that_never_ends_is_408(service):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    connection = service.raw(head + b"{")
    dripping = threading.Thread(target=drip, args=(connection, b" "))
    dripping.start()
    words = last_words(connection)
    dripping.join()
    assert words.startswith(b"HTTP/1.1 408")


def test_what_is_no_http_is_400(service):
    assert last_words(service.raw(b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "start",
    [
        b"GET /" + b"x" * 500_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 500_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 50_000,
        b"POST /embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-Trailer: x\r\n" * 50_000,
    ],
    ids=["path", "header", "headers", "trailers"],
)
def test_a_head_without_end_is_not_waited_for(service, start):
    connection = service.raw()
    with suppress(OSError):  # it hangs up before it has heard all of it
        connection.sendall(start)
    last_words(connection)  # ends, though nothing more is sent
    assert service.get("/health").status_code == 200


@pytest.mark.parametrize("target", [b"OPTIONS *", b"CONNECT a:1", b"GET http://[", b"GET /\xff"], ids=range(4))
def test_unusual_requests_are_answered_with_an_error(service, target):
    words = last_words(service.raw(target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    assert words.startswith(b"HTTP/1.1 4")
    assert service.get("/health").status_code == 200


def test_a_thousand_connections_at_once_are_each_answered_and_the_service_goes_on(service, jpegs):
    request = httpx.Request("POST", service.url + "/predict", files=as_form(jpegs[0]))
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {request.headers['content-type']}\r\n"
    body = request.read()
    connections = [service.raw() for _ in range(1000)]
    for connection in connections:
        connection.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    statuses = [last_words(connection)[9:12] for connection in connections]
    assert set(statuses) <= {b"200", b"429"}
    assert service.post(files=as_form(jpegs[0])).status_code == 200


def test_a_full_queue_is_429_and_says_when_to_come_back(served_bundle, tmp_path, photos):
    slow = as_file(Image.fromarray(photos[0]).resize((3000, 2000)))
    with Running(served_bundle, tmp_path / "log", "--queue", "2", "--n-jobs", "1") as running:
        with ThreadPoolExecutor(8) as pool:
            responses = list(pool.map(lambda _: running.post(files=as_form(slow)), range(8)))
        refused = [response for response in responses if response.status_code == 429]
        assert {response.status_code for response in responses} == {200, 429}
        assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
        assert running.post(files=as_form(slow)).status_code == 200


def test_an_order_to_stop_under_load_loses_no_request_that_was_accepted(served_bundle, tmp_path, photos):
    photo = as_file(Image.fromarray(photos[0]).resize((1600, 1200)))
    answered, lost = [], []

    def load(running):
        with httpx.Client(timeout=600) as client:
            while True:
                try:
                    answered.append(client.post(running.url + "/predict", files=as_form(photo)).status_code)
                except httpx.ConnectError:  # no longer accepted
                    return
                except httpx.TransportError as error:
                    lost.append(repr(error))
                    return

    with Running(served_bundle, tmp_path / "log") as running:
        threads = [threading.Thread(target=load, args=[running]) for _ in range(12)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(answered) > 12)
        assert running.stop() == 0, running.log
        for thread in threads:
            thread.join()
    assert not lost
    assert set(answered) == {200}


def test_a_service_that_stops_is_not_ready(served_bundle, tmp_path, photos):
    slow = as_file(Image.fromarray(photos[0]).resize((6000, 4000)))
    with Running(served_bundle, tmp_path / "log", "--n-jobs", "1") as running, httpx.Client() as client:
        assert client.get(running.url + "/health").status_code == 200
        with ThreadPoolExecutor(4) as pool:
            late = [pool.submit(running.post, files=as_form(slow)) for _ in range(4)]
            wait_for(lambda: client.get(running.url + "/health").json()["requests"] == 4)
            running.terminate()
            wait_for(lambda: client.get(running.url + "/ready").status_code == 503)
            assert [response.result().status_code for response in late] == [200] * 4


@needs_proc
def test_memory_stays_flat_over_many_requests(service, jpegs):
    def ask(n):
        with httpx.Client(timeout=600) as client:
            for i in range(n):
                client.post(service.url + "/predict", files=as_form(*jpegs[i % 37 :][:3], b"bad"))

    ask(150)
    before = service.memory("VmRSS")
    ask(500)
    assert service.memory("VmRSS") < before + 4  # 8 kB a request, less than two of its photos


def test_help_names_every_option(served_bundle):
    done = run(served_bundle, "--help")
    options = "host port n-jobs queue max-images max-bytes max-pixels timeout name api-key-file protect"
    assert done.returncode == 0
    assert all(f"--{option}" in done.stdout for option in options.split())


@pytest.mark.parametrize(
    "option",
    [
        ("--max-bytes", "much"),
        ("--max-bytes", "0"),
        ("--max-bytes", "1TB"),
        ("--n-jobs", "0"),
        ("--n-jobs", "all"),
        ("--queue", "0"),
        ("--queue", "many"),
        ("--timeout", "-1"),
        ("--timeout", "long"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_words(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        _server.main(option)
    assert re.search(f"argument {option[0]}: got .*{option[1]}.*[,.] expected", capsys.readouterr().err, re.IGNORECASE)


def test_a_damaged_bundle_is_refused_in_words(served_bundle, tmp_path):
    folder = shutil.copytree(served_bundle, tmp_path / "damaged")
    card = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**card, "task": "other"}))
    done = run(folder)
    assert done.returncode == 2
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_told(served_bundle):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(served_bundle, "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert re.search("^serve.py: error: Cannot listen at 127.0.0.1, port .*: Address already in use", done.stderr)


def test_an_address_of_another_machine_is_told(served_bundle):
    done = run(served_bundle, "--port", "0", "--host", "192.0.2.1")  # which is nobody's
    assert done.returncode == 2
    assert "Cannot listen at 192.0.2.1, port 0: " in done.stderr
    assert "while attempting" not in done.stderr


def test_a_port_that_is_none_is_told(served_bundle, capsys):
    for port in ("99999", "-1", "http"):
        with pytest.raises(SystemExit, match="2"):
            _server.main([f"--port={port}"])
        assert "expected a number from 0 to 65535" in capsys.readouterr().err, port
    done = run(served_bundle, "--port=99999")
    assert done.returncode == 2
    assert "expected a number from 0 to 65535" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_ctrl_c_ends_a_service_that_does_not_yet_run_quietly(served_bundle, tmp_path):
    keys = tmp_path / "keys"  # read first, and until somebody has written to it
    os.mkfifo(keys)
    command = [sys.executable, str(served_bundle / "serve.py"), "--api-key-file", str(keys), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    opened: list[int] = []

    def is_read() -> bool:
        with suppress(OSError):  # nobody reads it yet
            opened.append(os.open(keys, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    wait_for(is_read)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    os.close(opened[0])
    assert (process.returncode, err) == (130, "")


def test_an_answer_does_not_wait_until_its_head_is_acknowledged():
    with (
        _server._listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
