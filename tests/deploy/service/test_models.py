from __future__ import annotations

import asyncio
import json
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import featx
from featx._manifest import write_manifest
from featx.deploy._bundle import KIND
from featx.deploy.service._metrics import Metrics
from featx.deploy.service._models import Models
from featx.deploy.service._request import REASONS, Limits
from featx.exceptions import BundleError
from tests.deploy.service.serving import Running, as_base64, as_form, replace_bundle, wait_for

KEY = "a-key-for-these-tests"


@pytest.fixture
def folder(served_bundle, tmp_path):
    """A bundle to replace."""
    return shutil.copytree(served_bundle, tmp_path / "model")


@pytest.fixture
def running(folder, tmp_path):
    """A service of it."""
    with Running(folder, tmp_path / "log", key=KEY) as running:
        yield running


@pytest.fixture
def models(folder):
    return Models(folder, Limits(), Metrics(REASONS))


def digest_of(folder) -> str:
    return json.loads((folder / "bundle.json").read_text())["sha256"]


def reload(running) -> dict:
    response = running.post("/reload")
    assert response.status_code == 200, response.text
    return response.json()


def test_a_replaced_bundle_takes_over(running, folder, bundle, jpegs):
    old, new = digest_of(folder), digest_of(bundle.folder)
    assert reload(running) == {"model": {"name": "model", "digest": old}, "changed": False}
    replace_bundle(folder, bundle.folder)
    assert running.get("/metadata").json()["model"]["digest"] == old  # until it is told
    assert reload(running) == {"model": {"name": "model", "digest": new}, "changed": True}
    answer = running.post(files=as_form(*jpegs[:3]))
    assert answer.headers["x-model"] == f"model@{new}"
    expected = featx.Predictor(bundle.folder).predict(jpegs[:3]).tolist()
    assert [row["label"] for row in answer.json()["predictions"]] == expected
    assert running.get("/metadata").json()["classes"]["values"] == ["china", "flower"]
    samples = running.metrics()
    models = [name for name in samples if name.startswith("featx_model_info")]
    assert models == [f'featx_model_info{{digest="{new}",name="model"}}']
    assert samples['featx_reloads_total{result="taken"}'] == samples['featx_reloads_total{result="unchanged"}'] == 1
    assert f"model@{new} takes over from model@{old}" in running.log


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_sighup_is_the_order_where_there_is_no_key(folder, bundle, tmp_path):
    with Running(folder, tmp_path / "log") as running:
        replace_bundle(folder, bundle.folder)
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "takes over" in running.log)
        assert running.get("/ready").json()["model"]["digest"] == digest_of(bundle.folder)
        (folder / "model.onnx").unlink()
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "reload refused" in running.log)
        assert "model.onnx is missing" in running.get("/ready").json()["reload"]["error"]


def test_no_request_is_lost_or_answered_by_two_models(running, folder, served_bundle, bundle, jpegs):
    predictors = {digest_of(place): featx.Predictor(place) for place in (served_bundle, bundle.folder)}
    expected = {digest: predictor.predict(jpegs[:2]).tolist() for digest, predictor in predictors.items()}
    done, seen, wrong = threading.Event(), set(), []

    def load():
        with httpx.Client(timeout=600, headers=running.headers) as client:
            while not done.is_set():
                answer = client.post(running.url + "/predict", files=as_form(*jpegs[:2]))
                digest = answer.headers["x-model"].partition("@")[2]
                seen.add(digest)
                labels = [row["label"] for row in answer.json().get("predictions", [])]
                if answer.status_code != 200 or labels != expected[digest]:
                    wrong.append(answer.text)

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load) for _ in range(4)]
        for place in (bundle.folder, served_bundle, bundle.folder):
            replace_bundle(folder, place)
            assert reload(running)["changed"]
            wait_for(lambda place=place: digest_of(place) in seen or wrong)
            seen.clear()
        done.set()
        for one in loads:
            one.result()
    assert not wrong


def test_a_request_that_has_begun_is_answered_by_the_model_that_it_began_with(running, folder, bundle, jpegs):
    request = httpx.Request("POST", running.url + "/predict", files=as_form(jpegs[0]))
    body, kind = request.read(), request.headers["content-type"]
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    old = digest_of(folder)
    with running.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:100]) as connection:
        wait_for(lambda: running.get("/health").json()["requests"] == 1)
        replace_bundle(folder, bundle.folder)
        assert reload(running)["changed"]
        connection.sendall(body[100:])
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert f"x-model: model@{old}" in answer
    assert '"plain"' in answer  # a class of the old one


def cut(folder):
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1000])


def change_a_bit(folder):
    graph = folder / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)


def cut_the_manifest(folder):
    (folder / "bundle.json").write_bytes((folder / "bundle.json").read_bytes()[:200])


def rewrite(folder, **changes):
    """Write a manifest that fits its files, and says something else."""
    manifest = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").unlink()
    own = ("format", "featx", "files", "sha256")
    content = {key: value for key, value in (manifest | changes).items() if key not in own and value != "absent"}
    write_manifest(folder, KIND, content, manifest["featx"])


def no_graph(folder):
    (folder / "model.onnx").write_bytes(b"no graph")
    rewrite(folder)


def another_code(folder):
    with open(folder / "predictor" / "deploy" / "_predictor.py", "a") as file:
        file.write("# newer\n")
    rewrite(folder)


DAMAGES = {
    "cut": (cut, "model.onnx is damaged"),
    "a bit": (change_a_bit, "model.onnx is damaged"),
    "a file is missing": (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is missing"),
    "half a manifest": (cut_the_manifest, "bundle.json is damaged"),
    "no manifest": (lambda folder: (folder / "bundle.json").unlink(), "has no bundle.json"),
    "no folder": (shutil.rmtree, "is not there"),
    "no graph": (no_graph, "cannot be run by ONNX Runtime"),
    "classes of another model": (
        lambda folder: rewrite(folder, outputs=["label", "probabilities", "nothing"], dtype="nothing"),
        "nothing",
    ),
    "no inputs": (lambda folder: rewrite(folder, inputs="absent"), "KeyError: 'inputs'"),
    "another code": (another_code, "Restart the service"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_bundle_that_cannot_serve_is_refused_and_the_old_one_goes_on(models, folder, bundle, damage, reason):
    old = models.current
    replace_bundle(folder, bundle.folder)
    damage(folder)
    with pytest.raises(BundleError, match=reason):
        asyncio.run(models.reload())
    assert models.current is old
    assert str(folder.parent) not in models.failure.error
    replace_bundle(folder, bundle.folder)
    assert asyncio.run(models.reload())
    assert models.failure is None
    assert models.current.digest == digest_of(bundle.folder)


def test_a_refused_reload_is_told_in_the_answer_the_log_and_ready(running, folder, jpegs):
    assert running.get("/ready").json()["reload"] is None
    change_a_bit(folder)
    answer = running.post("/reload")
    assert answer.status_code == 409
    assert "model.onnx is damaged" in answer.json()["error"]
    ready = running.get("/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["reload"]["error"] == answer.json()["error"]
    assert running.post(files=as_form(jpegs[0])).status_code == 200
    (line,) = (line for line in running.lines if line["level"] == "error")
    assert "reload refused" in line["message"]
    samples = running.metrics()
    assert samples['featx_reloads_total{result="refused"}'] == 1
    assert samples['featx_refusals_total{reason="reload_refused"}'] == 1
    change_a_bit(folder)  # back
    reload(running)
    assert running.get("/ready").json()["reload"] is None


def test_a_bundle_that_is_replaced_while_it_is_read_is_refused(models, folder, bundle, table_bundle, monkeypatch):
    replace_bundle(folder, bundle.folder)

    def open_then_replace(self, *arguments, _open=featx.Predictor._open):
        opened = _open(self, *arguments)
        replace_bundle(folder, table_bundle.folder)
        return opened

    monkeypatch.setattr(featx.Predictor, "_open", open_then_replace)
    with pytest.raises(BundleError, match="replaced while it was read"):
        asyncio.run(models.reload())


def test_two_orders_at_once_are_obeyed_in_turn(models, folder, bundle):
    replace_bundle(folder, bundle.folder)

    async def twice():
        return await asyncio.gather(models.reload(), models.reload())

    assert sorted(asyncio.run(twice())) == [False, True]


def test_a_bundle_of_other_columns_changes_what_is_asked_for(running, folder, table_bundle, jpegs):
    replace_bundle(folder, table_bundle.folder)
    reload(running)
    document = running.get("/openapi.json").json()
    form = document["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["photo", "price", "colour"]
    assert [entry["name"] for entry in running.get("/metadata").json()["inputs"]] == ["photo", "price", "colour"]
    refused = running.post(files=as_form(jpegs[0]))
    assert refused.status_code == 422
    assert "'price' (number)" in refused.json()["error"]
    row = {"photo": as_base64(jpegs[0])[0], "price": 2, "colour": "red"}
    assert running.post(json=[row]).status_code == 200


def test_a_bundle_that_only_embeds_predicts_no_more(running, folder, tiny, crops, jpegs, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    replace_bundle(folder, featx.export_bundle(encoder.fit(crops), tmp_path / "embeds").folder)
    reload(running)
    assert running.post(files=as_form(jpegs[0])).status_code == 404
    assert running.post("/embed", files=as_form(jpegs[0])).status_code == 200
    assert "/predict" not in running.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("name", ["birds", "V\xf6gel 1", 'a"b\\c\nd', "x@y"], ids=["plain", "umlaut", "quotes", "at"])
def test_a_name_of_any_letters_is_shown_whole_and_quoted_in_the_header(served_bundle, name):
    metrics = Metrics(REASONS)
    model = Models(served_bundle, Limits(), metrics, name=name).current
    assert model.name == name
    header = model.header.decode("ascii")
    assert header.endswith(f"@{digest_of(served_bundle)}")
    assert (header.count("@"), header.count(" "), header.count("\n")) == (1, 0, 0)
    (line,) = (line for line in metrics.write("")[0].decode().splitlines() if line.startswith("featx_model_info{"))
    assert line.endswith('"} 1.0')
