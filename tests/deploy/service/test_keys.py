from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from featx.deploy.service._keys import VARIABLE, Keys, read_keys
from featx.exceptions import ParameterError
from tests.deploy.service.serving import Running, as_form

KEY = "Zq7-a_key.for+tests="
OTHER = "another-key-of-someone"


@pytest.fixture(scope="module")
def keyed(served_bundle, tmp_path_factory):
    """A service that asks for a key, also for its metrics and its docs."""
    log = tmp_path_factory.mktemp("log") / "log"
    with Running(served_bundle, log, "--protect", "metrics", "docs", "--max-bytes", "1MB", key=KEY) as running:
        yield running


def test_a_browser_opens_the_docs_and_the_metrics_with_the_key_as_the_password(keyed):
    for path in ("/docs", "/openapi.json", "/metrics"):
        refused = httpx.get(keyed.url + path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="any name, and the API key as the password"'
        assert refused.json()["error"].endswith("In a browser: as the password, with any name.")
        assert httpx.get(keyed.url + path, auth=("anybody", KEY)).status_code == 200
        for wrong in (("anybody", OTHER), (KEY, ""), (KEY, KEY[:-1])):
            assert httpx.get(keyed.url + path, auth=wrong).status_code == 401
        for header in ("Basic", "Basic !", "Basic YQ", f"Basic {KEY}"):
            assert httpx.get(keyed.url + path, headers={"authorization": header}).status_code == 401


def test_a_password_that_a_browser_sends_unasked_changes_nothing(keyed, jpegs):
    for path in ("/predict", "/embed", "/reload"):
        refused = httpx.post(keyed.url + path, auth=("anybody", KEY), files=as_form(jpegs[0]), timeout=60)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    refused = httpx.get(keyed.url + "/metadata", auth=("anybody", KEY))  # else a browser would ask over the page
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/predict", "/embed", "/reload"])
@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": KEY}, {"authorization": f"Bearer {KEY}"}, {"AUTHORIZATION": f"bearer  {KEY}"}],
    ids=["X-API-Key", "Bearer", "bearer"],
)
def test_either_header_opens(keyed, path, headers, jpegs):
    assert httpx.post(keyed.url + path, headers=headers, files=as_form(jpegs[0]), timeout=60).status_code == 200


WRONG = {
    "none": {},
    "empty": {"x-api-key": ""},
    "another": {"x-api-key": OTHER},
    "a part": {"x-api-key": KEY[:-1]},
    "more": {"x-api-key": KEY + "x"},
    "other case": {"x-api-key": KEY.swapcase()},
    "overlong": {"x-api-key": KEY * 400},
    "not ASCII": {"x-api-key": "sch\xf6n".encode()},
    "bytes": {"x-api-key": bytes(range(128, 256))},
    "basic": {"authorization": f"Basic {KEY}"},
    "no scheme": {"authorization": KEY},
    "bearer of nothing": {"authorization": "Bearer"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_anything_else_is_401(keyed, headers, jpegs):
    for path in ("/predict", "/reload"):
        response = httpx.post(keyed.url + path, headers=headers, files=as_form(jpegs[0]), timeout=60)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert "X-API-Key" in response.json()["error"]
    for path in ("/metadata", "/metrics", "/docs", "/openapi.json"):
        assert httpx.get(keyed.url + path, headers=headers).status_code == 401


def test_a_key_beyond_the_limit_of_a_head_is_refused(keyed):
    response = httpx.get(keyed.url + "/metadata", headers={"x-api-key": KEY * 10_000})
    assert response.status_code == 400


def test_a_key_in_the_address_opens_nothing(keyed, jpegs):
    assert httpx.post(f"{keyed.url}/predict?x-api-key={KEY}", files=as_form(jpegs[0])).status_code == 401


def test_a_large_body_without_a_key_is_refused_before_it_is_read(keyed):
    assert httpx.post(keyed.url + "/predict", files=as_form(bytes(900_000)), timeout=60).status_code == 401


def test_probes_and_the_page_need_no_key(keyed):
    for path in ("/", "/health", "/ready"):
        assert httpx.get(keyed.url + path).status_code == 200


def test_the_key_is_neither_logged_nor_shown(keyed, jpegs):
    keyed.post(files=as_form(jpegs[0]))
    keyed.post("/embed", headers={"x-request-id": KEY.replace("=", "~") + "-but-mine"}, files=as_form(jpegs[0]))
    keyed.get("/metrics")
    assert KEY not in keyed.log
    for path in ("/metadata", "/metrics", "/openapi.json", "/docs", "/ready", "/"):
        assert KEY not in keyed.get(path).text
    assert KEY not in repr(Keys([KEY]))


def test_the_interface_says_that_a_key_is_needed(keyed):
    document = keyed.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"ApiKey", "Bearer"}
    assert document["paths"]["/reload"]["post"]["security"] == document["paths"]["/predict"]["post"]["security"]
    assert "security" not in document["paths"]["/ready"]["get"]


def test_without_a_key_there_is_no_reload(service):
    assert service.post("/reload").status_code == 404
    assert "/reload" not in service.get("/openapi.json").json()["paths"]


def test_a_file_holds_several_keys(tmp_path):
    file = tmp_path / "keys"
    file.write_bytes(f"\ufeff{KEY}\r\n\r\n  {OTHER}\n".encode())
    keys = read_keys(file, {})
    assert all(keys.admit("/predict", [(b"x-api-key", key.encode())]) for key in (KEY, OTHER))
    assert not keys.admit("/predict", [(b"x-api-key", b"")])


def test_no_key_at_all_is_none():
    assert read_keys(None, {}) is None


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "short", "with a space in its middle", "sch\xf6ner-schl\xfcssel", "x" * 513, KEY + "\x00"],
    ids=["empty", "blank", "short", "with spaces", "not ASCII", "overlong", "with a control character"],
)
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(tmp_path, text):
    file = tmp_path / "keys"
    file.write_text(text, "utf-8")
    for source in ((file, {}), (None, {VARIABLE: text})):
        with pytest.raises(ParameterError, match="Expected 16 to 512") as caught:
            read_keys(*source)
        assert not text.strip() or text.strip() not in str(caught.value)


def test_keys_in_both_places_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="both"):
        read_keys(tmp_path / "keys", {VARIABLE: KEY})


@pytest.mark.parametrize(
    ("options", "reason"),
    [(["--api-key-file", "nowhere"], "nowhere"), (["--protect", "docs"], "without an API key")],
    ids=["no file", "nothing to protect with"],
)
def test_a_service_does_not_start_open_by_mistake(served_bundle, options, reason):
    command = [sys.executable, "serve.py", "--port", "0", *options]
    done = subprocess.run(command, cwd=served_bundle, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert reason in done.stderr
