from __future__ import annotations

import json
import logging
import warnings

import httpx
import pytest

from featx.deploy.service._log import log_as_json
from featx.deploy.service._request import REASONS
from tests.deploy.service.serving import as_base64, as_form, needs_proc, wait_for


def line_of(service, identifier) -> dict:
    wait_for(lambda: any(line.get("request_id") == identifier for line in service.lines))
    (line,) = (line for line in service.lines if line.get("request_id") == identifier)
    return line


@pytest.mark.parametrize("given", ["a", "7f3a-22.x", "A" * 128, "trace:1/2+3=~_"])
def test_a_sane_request_id_is_kept_in_answer_and_log(service, given):
    assert service.get("/health", headers={"x-request-id": given}).headers["x-request-id"] == given
    assert line_of(service, given)["route"] == "/health"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "A" * 129,
        "with space",
        '"}{"level": "error"',
        "tab\there",
        "\xe9".encode(),
        "a;b",
        "<b>",
        "%0a",
    ],
    ids=range(9),
)
def test_any_other_gets_a_new_one_and_leaves_no_trace(service, given):
    got = service.get("/health", headers={"x-request-id": given}).headers["x-request-id"]
    assert got != given
    assert len(got) == 32
    assert line_of(service, got)["status"] == 200
    assert all(set(line) <= set(line_of(service, got)) | {"refused"} for line in service.lines if "route" in line)


def test_a_control_character_in_a_header_is_no_http(service):
    assert service.get("/health", headers={"x-request-id": "\x1b[31mred"}).status_code == 400


def test_a_request_cannot_write_a_line_of_its_own(service):
    head = (
        b"GET /%0a{%22level%22:%22error%22} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: a\r\n b\r\n\r\n"
    )
    with service.raw(head) as connection:
        answer = connection.recv(65536)
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))
    text = [line for line in service.log.splitlines() if not line.startswith("import time:")]
    assert all(json.loads(line)["level"] in ("info", "warning") for line in text)


def test_each_answer_names_the_model(service):
    model = service.get("/metadata").json()["model"]
    assert len(model["digest"]) == 64
    for path in ("/health", "/ready", "/nothing", "/", "/metrics"):
        assert service.get(path).headers["x-model"] == f"{model['name']}@{model['digest']}"
    assert service.post(content=b"x").headers["x-model"].endswith(model["digest"])


def test_refusals_are_counted_by_reason(service, jpegs):
    before = service.metrics()
    service.post(content=b"x", headers={"content-type": "text/plain"})
    service.post(json={"images": as_base64(*jpegs[:5])})
    service.post(content=b"{", headers={"content-type": "application/json"})
    service.post(files=as_form(b"no image"))
    after = service.metrics()
    counted = {name: after[name] - before[name] for name in after if name.startswith("featx_refusals")}
    more = {name.split('"')[1] for name, n in counted.items() if n == 1}
    assert more == {"content_type", "too_many_images", "malformed", "unusable_images"}
    assert len(counted) == len(REASONS)


def test_predictions_are_measured_by_stage(service, jpegs):
    before = service.metrics()
    service.post(files=as_form(*jpegs[:3], b"bad"))
    after = service.metrics()

    def more(name):
        return after[name] - before.get(name, 0)

    stages = {"read": 1, "queue": 4, "decode": 4, "predict": 4, "total": 1}
    assert {stage: more(f'featx_seconds_count{{stage="{stage}"}}') for stage in stages} == stages
    assert more('featx_requests_total{route="/predict",status="200"}') == 1
    assert more('featx_rows_total{result="good"}') == 3
    assert more('featx_rows_total{result="bad"}') == 1
    spent = {stage: more(f'featx_seconds_sum{{stage="{stage}"}}') for stage in stages}
    assert spent["predict"] > 0
    assert spent["read"] < spent["total"]
    assert after["featx_queue_length"] == after["featx_active_requests"] == 0


@needs_proc
def test_memory_and_the_models_digest_are_metrics(service):
    samples, model = service.metrics(), service.get("/metadata").json()["model"]
    assert abs(samples["process_resident_memory_bytes"] / 1e6 - service.memory("VmRSS")) < 50
    assert samples[f'featx_model_info{{digest="{model["digest"]}",name="{model["name"]}"}}'] == 1


def test_metrics_are_openmetrics_for_who_asks(service):
    response = service.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
    assert service.get("/metrics").headers["content-type"].startswith("text/plain")


def test_many_paths_and_methods_and_ids_make_no_new_series(service):
    service.get("/nothing")
    with httpx.Client(base_url=service.url) as client:
        for method in ("GET", "BREW", "PUT"):
            client.request(method, "/predict/0")
            client.request(method, "/metadata")
        before = {line.rsplit(" ", 1)[0] for line in client.get("/metrics").text.splitlines()}
        for i in range(1000):
            client.request(f"M{i}", f"/{i}/{'x' * i}?reason={i}", headers={"x-request-id": f"r{i}"})
            client.request(f"M{i}", "/metadata", headers={"content-type": f"image/{i}", "accept": str(i)})
        after = {line.rsplit(" ", 1)[0] for line in client.get("/metrics").text.splitlines()}
    assert after - before <= {'featx_requests_total{route="/metrics",status="200"}'}


def test_a_service_logs_no_warning(service, jpegs):
    service.post(files=as_form(jpegs[0], b"bad", jpegs[1][:300]))
    service.post(content=b"text", headers={"content-type": "image/jpeg"})
    for path in ("/metrics", "/docs", "/openapi.json", "/ready"):
        service.get(path)
    said = [line for line in service.lines if line["level"] != "info"]
    assert all(line["message"].startswith("Invalid HTTP request") for line in said)  # of another test
    assert "Warning" not in service.log


@pytest.mark.parametrize(
    ("kind", "content", "status", "reason"),
    [
        ("image/jpeg", b"text", 422, "not an image"),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "not an image"),
        ("application/octet-stream", b"", 422, "0 bytes"),
        ("image/png", bytes(1_100_000), 413, "1,000,000"),
        ("video/mp4", b"x", 415, "image/*"),
        ("image", b"x", 415, "image/*"),
        ("text/html", b"<img>", 415, "image/*"),
    ],
    ids=["text", "svg", "empty", "too large", "a video", "half a type", "a page"],
)
def test_an_image_body_that_is_none_is_refused(service, kind, content, status, reason):
    response = service.post(content=content, headers={"content-type": kind})
    assert response.status_code == status
    assert reason in response.json()["error"]


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "application/octet-stream"])
def test_an_image_body_is_answered_as_a_form_is(service, jpegs, kind):
    for path, key in (("/predict", "predictions"), ("/embed", "embeddings")):
        raw = service.post(path, content=jpegs[3], headers={"content-type": kind}).json()
        assert raw[key] == service.post(path, files=as_form(jpegs[3])).json()[key]


def test_python_warnings_become_lines_of_json(capfd):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        log_as_json()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("two\nlines", stacklevel=1)
    finally:
        logging.captureWarnings(False)
        root.handlers[:], root.level = handlers, level
    (line,) = capfd.readouterr().err.splitlines()
    assert "two\nlines" in json.loads(line)["message"]
