from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from http.server import HTTPServer
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.exceptions import ImageReadError, ParameterError
from featx.images import DecodeError, Doors, _http, open_column
from featx.images._http import HttpImage
from tests.images.web import (
    HOST,
    break_off_in_headers,
    drip,
    drip_headers,
    drop,
    flood,
    lie_about_length,
    redirect,
    stall,
    web_server,
)


@pytest.fixture
def web():
    with web_server() as server:
        yield server


@pytest.fixture
def jpeg(files) -> bytes:
    return Path(files[0]).read_bytes()


@pytest.fixture
def few_seconds(monkeypatch) -> None:
    monkeypatch.setattr(_http, "MAX_SECONDS", 0.6)


def test_images_of_a_web_server_are_embedded_as_their_bytes_are(web, files, tiny):
    urls = [web.serve(f"/{i}.jpg", Path(file).read_bytes()) for i, file in enumerate(files[:5])]
    rows = featx.ImageEncoder(tiny, cache=False, allow_http=[HOST]).transform(urls)
    np.testing.assert_array_equal(rows, featx.ImageEncoder(tiny, cache=False).transform(files[:5]))


def test_nothing_is_asked_for_without_opting_in(web, jpeg, tiny):
    url = web.serve("/a.jpg", jpeg)
    with pytest.raises(ImageReadError, match="read only with allow_http=True"):
        featx.ImageEncoder(tiny, cache=False).transform([url])
    assert not web.asked


def test_an_address_that_is_not_public_is_read_only_if_its_host_is_named(web, jpeg, tiny):
    url = web.serve("/a.jpg", jpeg)
    for host in (HOST, "localhost"):
        with pytest.raises(ImageReadError, match=rf"{host} has the address .*not public.*allow_http=\['{host}'\]"):
            featx.ImageEncoder(tiny, cache=False, allow_http=True).transform([url.replace(HOST, host)])
    assert not web.asked
    with pytest.raises(ImageReadError, match="not among those that allow_http names"):
        featx.ImageEncoder(tiny, cache=False, allow_http=["example.org"]).transform([url])
    assert not web.asked


def test_an_image_with_an_etag_is_asked_for_and_not_read_again(web, jpeg, files, store, tiny):
    url = web.serve("/a.jpg", jpeg, '"one"')
    encoder = featx.ImageEncoder(tiny, cache=store, allow_http=[HOST])
    first = encoder.transform([url])
    assert web.asked == {"GET": 1}
    np.testing.assert_array_equal(encoder.transform([url]), first)
    assert web.asked == {"GET": 1, "HEAD": 1}
    web.serve("/a.jpg", Path(files[1]).read_bytes(), '"two"')
    other = encoder.transform([url])
    assert web.asked == {"GET": 2, "HEAD": 2}
    np.testing.assert_array_equal(other, encoder.transform(files[1:2]))


@pytest.mark.parametrize("tag", [None, 'W/"one"'], ids=["no ETag", "a weak one"])
def test_without_an_etag_that_names_the_content_it_is_read_each_time(tag, web, jpeg, files, store, tiny):
    url = web.serve("/a.jpg", jpeg, tag)
    encoder = featx.ImageEncoder(tiny, cache=store, allow_http=[HOST])
    encoder.transform([url])
    web.serve("/a.jpg", Path(files[1]).read_bytes(), tag)
    np.testing.assert_array_equal(encoder.transform([url]), encoder.transform(files[1:2]))


def test_an_etag_that_changes_in_mid_run_never_names_the_old_content(web, jpeg, files, store, tiny):
    """The answer's own ETag counts: between a HEAD and a GET the image may be another."""
    url = web.serve("/a.jpg", jpeg, '"one"')
    encoder = featx.ImageEncoder(tiny, cache=store, allow_http=[HOST])
    encoder.transform([url])

    def changing(handler) -> None:
        handler.send_response(200)
        handler.send_header("ETag", '"two"' if handler.command == "HEAD" else '"three"')
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(Path(files[1]).read_bytes())

    web.behaviors["/a.jpg"] = changing
    encoder.transform([url])
    del web.behaviors["/a.jpg"]
    web.serve("/a.jpg", Path(files[2]).read_bytes(), '"two"')
    np.testing.assert_array_equal(encoder.transform([url]), encoder.transform(files[2:3]))


def test_a_server_that_breaks_off_is_asked_again(web, jpeg, tiny):
    url, tries = web.url("/a.jpg"), []

    def third_time_lucky(handler) -> None:
        tries.append(1)
        if len(tries) < 3:
            drop(handler)
            return
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(jpeg)

    web.behaviors["/a.jpg"] = third_time_lucky
    assert HttpImage(url, (HOST,)).read() == jpeg
    assert len(tries) == 3


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        (drop, "the server broke off"),
        (break_off_in_headers, "broke off before the content"),
        (lie_about_length(b"short"), "broke off after 5 of 10 bytes"),
        (lambda handler: handler.send_error(503), "HTTP 503"),
        (lambda handler: handler.send_error(404), "no such file"),
        (lambda handler: handler.send_error(403), "HTTP 403 Forbidden"),
        (redirect("ftp://example.org/a.jpg"), "redirected from http to ftp, which is not followed"),
        (redirect("file:///etc/hostname"), "redirected from http to file"),
        (redirect("/a.jpg"), "redirected more than 5 times"),
        (redirect(""), "redirected from http to nowhere"),
        (redirect("http://10.0.0.1/a.jpg"), "10.0.0.1 is not among those that allow_http names"),
        (redirect("http://[::1]/a.jpg"), "not among"),
    ],
    ids=lambda value: value if isinstance(value, str) else "answer",
)
def test_a_bad_answer_is_the_reason_of_one_row(behavior, reason, web, files, tiny):
    web.behaviors["/a.jpg"] = behavior
    encoder = featx.ImageEncoder(tiny, cache=False, allow_http=[HOST])
    with pytest.raises(ImageReadError, match=reason) as raised:
        encoder.transform([files[0], web.url("/a.jpg"), files[1]])
    assert raised.value.table["position"].tolist() == [1]


@pytest.mark.parametrize("behavior", [stall, drip, drip_headers])
@pytest.mark.usefixtures("few_seconds")
def test_a_server_that_never_ends_is_left(behavior, web):
    web.behaviors["/a.jpg"] = behavior
    with pytest.raises(DecodeError, match=r"took longer than 0.6 s"):
        HttpImage(web.url("/a.jpg"), (HOST,)).read()


def test_more_bytes_than_an_image_has_are_not_read(web, monkeypatch):
    monkeypatch.setattr(_http, "MAX_BYTES", 1_000_000)
    web.behaviors["/a.jpg"] = flood
    with pytest.raises(DecodeError, match="more than 1,000,000 bytes"):
        HttpImage(web.url("/a.jpg"), (HOST,)).read()


def test_a_redirection_to_a_public_address_alone_is_followed(web, jpeg, monkeypatch):
    """Which addresses are public is asked at every step."""
    web.serve("/there.jpg", jpeg)
    web.behaviors["/a.jpg"] = redirect("/there.jpg")
    assert HttpImage(web.url("/a.jpg"), (HOST,)).read() == jpeg
    asked = []
    real = _http._address_of

    def once_public(host, port, hosts):
        asked.append(host)
        return (HOST, port) if len(asked) == 1 else real(host, port, hosts)

    monkeypatch.setattr(_http, "_address_of", once_public)
    with pytest.raises(DecodeError, match="which is not public"):
        HttpImage(web.url("/a.jpg")).read()
    assert asked == [HOST, HOST]


def test_names_with_blanks_and_letters_of_all_scripts_are_asked_for(web, jpeg):
    web.files["/a%20b%C3%A9.jpg"] = jpeg, None
    assert HttpImage(web.url("/a bé.jpg"), (HOST,)).read() == jpeg
    assert HttpImage(web.url("/a%20b%C3%A9.jpg?q=é"), (HOST,)).read() == jpeg


@pytest.mark.parametrize("url", ["http:///a.jpg", "http://example.org:port/a.jpg", "http://" + "a" * 70 + "/a.jpg"])
def test_a_url_without_a_usable_host_has_a_reason(url):
    with pytest.raises(DecodeError, match="host"):
        HttpImage(url).read()


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path):
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)]), datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "pem").write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    with HTTPServer((HOST, 0), None) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *args: None
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(DecodeError, match=r"the certificate of .* is not trusted"):
            HttpImage(f"https://{HOST}:{server.server_address[1]}/a.jpg", (HOST,)).read()


@pytest.mark.parametrize("hosts", ["example.org", 1, [1], {"a"}])
def test_wrong_hosts_are_refused(hosts, files, tiny):
    with pytest.raises(ParameterError, match="allow_http"):
        featx.ImageEncoder(tiny, allow_http=hosts).fit(files[:1])


def test_other_schemes_are_refused_with_those_that_are_read():
    (image,) = open_column(["ftp://example.org/a.jpg"], Doors(allow_http=True)).sources
    with pytest.raises(DecodeError, match="URLs of ftp:// are not read; those of az, file"):
        image.read()
