from __future__ import annotations

import itertools
import json
import re
import shutil
from base64 import b64decode, b64encode
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

import featx
from featx.deploy.export._web import RUNTIME_FILES
from featx.exceptions import ExportError, UnknownNameError
from featx.images import Preprocess
from featx.images._decode import decode
from featx.images._transparency import lay_on_plain
from tests.deploy.browsing import CHROMIUM, NPM, ask_page, fetch_runtime, static_server, watched_pages
from tests.deploy.service.serving import HTML_LABEL, as_file

sync_api = pytest.importorskip("playwright.sync_api")
needs_a_browser = pytest.mark.skipif(not (CHROMIUM and NPM), reason="chromium or npm is not installed")

PREPARE = """async ([cases]) => {
    const { prepare } = await import("./pixels.mjs");
    const bytes = (content) => Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const text = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    return cases.map(([content, width, height, how]) => text(prepare(bytes(content), width, height, how)));
}"""
HAND_OVER = """([content, name, how]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
    const paste = new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
    const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
    const drag = ["dragover", "drop"].map((type) => new DragEvent(type, options));
    for (const event of how === "paste" ? [paste] : drag) document.getElementById("drop").dispatchEvent(event);
}"""
ALONE = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


@pytest.fixture(scope="module")
def web_bundle(tiny, crops, tmp_path_factory):
    """A bundle with its page and the runtime; one of its two labels is HTML."""
    places = np.array([HTML_LABEL, "plain"]).repeat(len(crops) // 2)
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0).fit(crops, places)
    made = featx.export_bundle(model, tmp_path_factory.mktemp("bundles") / "web", extras="web")
    if NPM:
        fetch_runtime(made.folder)
    return made


@pytest.fixture
def opened(browser):
    """Opens pages; what their consoles complain about fails the test, but which files are missing: the page tells."""
    with watched_pages(browser, silent="responded with a status of 404") as open_page:

        def open_ready(url, **options):
            page = open_page(f"{url}/web/", **options)
            sync_api.expect(page.locator("#note")).not_to_contain_text("Loading", timeout=120_000)
            return page

        yield open_ready


@pytest.fixture(scope="module")
def address(web_bundle):
    with static_server(web_bundle.folder) as url:
        yield url


@pytest.fixture
def page(opened, address):
    return opened(address)


def photo(content, name="photo.jpg"):
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


def answers(page, n=1):
    found = page.locator("#answers li")
    sync_api.expect(found).to_have_count(n, timeout=60_000)
    sync_api.expect(page.locator("#answers")).not_to_have_attribute("aria-busy", "true")
    return found


def with_page(model, folder, runtime, **options):
    """A bundle with a page, and the runtime that another one has."""
    bundle = featx.export_bundle(model, folder, extras="web", **options)
    shutil.copytree(runtime.folder / "web" / "onnxruntime-web", folder / "web" / "onnxruntime-web")
    return bundle


@needs_a_browser
def test_a_chosen_file_gets_the_answer_of_the_predictor(page, web_bundle, jpegs):
    predictor = featx.Predictor(web_bundle)
    for content in (jpegs[0], jpegs[30]):
        (expected,) = predictor.predict_table([content])
        page.set_input_files("#files", photo(content))
        answer = answers(page)
        assert answer.locator(".label").inner_text() == expected["label"]
        assert answer.locator(".value").first.inner_text() == f"{100 * expected['probability']:.1f} %"
        assert answer.locator("dt").count() == 2
        assert answer.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 160
        assert "One image in" in page.locator("#note").inner_text()


@needs_a_browser
@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_file_also_comes_by_drop_and_by_paste(page, jpegs, how):
    page.evaluate(HAND_OVER, [b64encode(jpegs[30]).decode(), "given.jpg", how])
    assert answers(page).locator(".name").inner_text() == "given.jpg"


@needs_a_browser
def test_labels_and_names_with_html_are_shown_as_text(page, jpegs):
    page.set_input_files("#files", photo(jpegs[0], "<i>name</i>.jpg"))
    answer = answers(page)
    assert HTML_LABEL in answer.locator("dt").all_inner_texts()
    assert answer.locator("b, i:not(.track i)").count() == 0
    assert answer.locator(".name").inner_text() == "<i>name</i>.jpg"


@needs_a_browser
def test_a_bad_file_shows_its_reason_and_spoils_no_other(page, jpegs):
    huge = as_file(Image.new("L", (9_500, 9_500)), "PNG")
    page.set_input_files("#files", [photo(b"no image"), photo(jpegs[0]), photo(huge), photo(jpegs[1])])
    assert answers(page, 4).locator(".label").count() == 2
    assert (
        page.locator("li")
        .nth(0)
        .locator(".error")
        .inner_text()
        .startswith("The browser cannot read this file: it is damaged, or")
    )
    assert "9500 x 9500 pixels, more than 89000000" in page.locator("li").nth(2).locator(".error").inner_text()


@needs_a_browser
def test_the_page_asks_nobody_but_its_server(opened, address, jpegs):
    page = opened(address)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.set_input_files("#files", photo(jpegs[0]))
    answers(page)
    modules = {f"web/{name}" for name in ("", "answers.mjs", "page.mjs", "model.mjs", "pixels.mjs")}
    runtime = {f"web/onnxruntime-web/{name}" for name in RUNTIME_FILES}
    ours = {f"{address}/{name}" for name in ("bundle.json", "model.onnx", *modules, *runtime)}
    assert {url for url in asked if not url.startswith(("blob:", "data:"))} == ours


@needs_a_browser
def test_the_commands_of_the_readme_leave_nothing_but_the_runtime(web_bundle):
    assert not list(web_bundle.folder.glob("*.tgz"))
    fetched = web_bundle.folder / "web" / "onnxruntime-web"
    assert {path.name for path in fetched.iterdir()} == set(RUNTIME_FILES)


@needs_a_browser
def test_the_page_says_which_files_are_missing(opened, web_bundle, tmp_path):
    shutil.copytree(web_bundle.folder, tmp_path / "bundle", ignore=shutil.ignore_patterns("onnxruntime-web"))
    with static_server(tmp_path / "bundle") as url:
        assert "README.md has the commands" in opened(url).locator("#note.bad").inner_text()
        (tmp_path / "bundle" / "model.onnx").unlink()
        assert "model.onnx cannot be read (404)" in opened(url).locator("#note.bad").inner_text()


@needs_a_browser
def test_the_keyboard_reaches_the_field_and_a_phone_needs_no_sideways_scrolling(opened, address, jpegs):
    page = opened(address, viewport={"width": 360, "height": 700})
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    page.set_input_files("#files", [photo(jpegs[0], "a-very-long-name" * 10 + ".jpg"), photo(jpegs[1])])
    answers(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@needs_a_browser
def test_a_server_that_isolates_the_page_gives_it_threads(opened, web_bundle, jpegs):
    with static_server(web_bundle.folder, ALONE) as url:
        page = opened(url)
        assert page.evaluate("crossOriginIsolated")
        page.set_input_files("#files", photo(jpegs[0]))
        assert answers(page).locator(".label").count() == 1


def files_of_every_kind(photos):
    crop = Image.fromarray(photos[0][100:340, 50:400])
    exif = Image.Exif()
    transparent, icon = crop.copy(), Image.new("RGBA", (90, 60), (255, 255, 255, 0))
    transparent.putalpha(Image.linear_gradient("L").resize(crop.size).point(lambda level: 255 * (level > 99)))
    icon.paste((250, 252, 255, 255), (20, 10, 50, 40))
    yield from ((f"PNG {mode}", as_file(crop.convert(mode), "PNG")) for mode in ("RGB", "L", "P", "1"))
    for subsampling in (0, 1, 2):
        yield f"JPEG {subsampling}", as_file(crop, quality=85, subsampling=subsampling)
    yield "progressive", as_file(crop, quality=85, progressive=True)
    yield "grey JPEG", as_file(crop.convert("L"))
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        yield f"orientation {orientation}", as_file(crop, exif=exif)
    yield "WebP without loss", as_file(crop, "WEBP", lossless=True)
    yield "BMP", as_file(crop, "BMP")
    yield "cut out", as_file(transparent, "PNG")
    yield "white icon", as_file(icon, "PNG")


@needs_a_browser
def test_decoded_files_give_pillows_pixels_bit_for_bit(page, web_bundle, photos):
    preprocess = Preprocess(**web_bundle.manifest["inputs"][0]["preprocess"])
    predictor = featx.Predictor(web_bundle)
    for name, content in files_of_every_kind(photos):
        answer = ask_page(page, content, preprocess.size)
        np.testing.assert_array_equal(answer["pixels"], preprocess(decode(content)), err_msg=name)
        expected = predictor.outputs([content], ["label", "probabilities", "embedding"])
        np.testing.assert_allclose(answer["embedding"], expected["embedding"][0], rtol=1e-4, atol=1e-6, err_msg=name)
        assert answer["label"] == expected["label"][0], name
        probabilities = [probability for _, probability in answer["probabilities"]]
        np.testing.assert_allclose(probabilities, expected["probabilities"][0], atol=1e-5, err_msg=name)


@needs_a_browser
def test_every_preprocessing_gives_pillows_pixels_bit_for_bit(page, photos):
    random, cases, expected = np.random.default_rng(0), [], []
    for fit, interpolation, more in itertools.product(
        ("crop", "squash", "pad"), ("nearest", "bilinear", "bicubic", "lanczos"), (None, 1, 37)
    ):
        size = int(random.integers(1, 120))
        mean = None if more is None else (0.1, 0.5, 0.9)
        preprocess = Preprocess(size, more and size + more, fit, interpolation, mean)
        for height, width in [(1, 1), (3, 250), *random.integers(1, 300, (3, 2)).tolist()]:
            image = photos[0][:height, :width]
            if width % 3 == 0:
                image = np.dstack([image, random.integers(0, 256, (height, width), dtype=np.uint8)])
            cases.append([b64encode(image.tobytes()).decode(), width, height, asdict(preprocess)])
            expected.append(preprocess(lay_on_plain(Image.fromarray(np.ascontiguousarray(image)))))
    for case, pixels, text in zip(cases, expected, page.evaluate(PREPARE, [cases]), strict=True):
        got = Image.frombytes("RGB", pixels.shape[:2], b64decode(text))
        np.testing.assert_array_equal(np.asarray(got), pixels, err_msg=str(case[1:]))


@needs_a_browser
@pytest.mark.parametrize(
    ("head", "labels"),
    [
        (LogisticRegression(), [3, 5]),
        (LogisticRegression(), [False, True]),
        (LogisticRegression(), [1.0, 2.0]),
        (LinearSVC(), ["a", "b"]),
        (Ridge(), [1.25, 7.5]),
    ],
    ids=["integers", "bools", "floats", "without probabilities", "regression"],
)
def test_labels_of_all_kinds_are_the_predictors(opened, web_bundle, tiny, crops, jpegs, tmp_path, head, labels):
    y = np.array(labels).repeat(len(crops) // 2)
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    bundle = with_page(make_pipeline(encoder, head).fit(crops, y), tmp_path / "bundle", web_bundle)
    with static_server(bundle.folder) as url:
        answered = [ask_page(opened(url), content, 32)["label"] for content in (jpegs[0], jpegs[30])]
    expected = featx.Predictor(bundle).predict([jpegs[0], jpegs[30]]).tolist()
    assert answered == (pytest.approx(expected, rel=1e-5) if isinstance(head, Ridge) else expected)


@needs_a_browser
@pytest.mark.parametrize(
    ("head", "labels"),
    [
        (RandomForestClassifier(5, random_state=0), [["a", "x"], ["b", HTML_LABEL]]),
        (KNeighborsClassifier(3), [[False, True], [True, False]]),
        (Ridge(), [[1.25, 7.5], [-3.5, 2.0]]),
    ],
    ids=["text", "bools", "regression"],
)
def test_labels_of_several_outputs_are_shown_side_by_side(
    opened, web_bundle, tiny, crops, jpegs, tmp_path, head, labels
):
    y = np.array(labels).repeat(len(crops) // 2, axis=0)
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    bundle = with_page(make_pipeline(encoder, head).fit(crops, y), tmp_path / "bundle", web_bundle)
    (expected,) = featx.Predictor(bundle).predict([jpegs[30]]).tolist()
    with static_server(bundle.folder) as url:
        page = opened(url)
        answer = ask_page(page, jpegs[30], 32)
        page.set_input_files("#files", photo(jpegs[30]))
        shown = answers(page).locator(".label").inner_text()
    assert answer["label"] == (pytest.approx(expected, rel=1e-5) if isinstance(head, Ridge) else expected)
    assert answer["probabilities"] is None
    assert len(shown.split(", ")) == 2


@needs_a_browser
def test_a_bundle_that_takes_missing_images_has_a_page_too(opened, web_bundle, tiny, crops, places, jpegs, tmp_path):
    model = featx.image_pipeline(encoder=tiny, cache=False, verbose=0, on_error="nan", on_missing="nan")
    bundle = with_page(model.fit(crops, places), tmp_path / "bundle", web_bundle)
    assert bundle.manifest["inputs"][0]["absent"]
    with static_server(bundle.folder) as url:
        assert ask_page(opened(url), jpegs[0], 32)["label"] == "china"


def test_both_pages_of_a_bundle_show_answers_by_the_same_code_and_in_the_same_style(web_bundle):
    of_the_service = (web_bundle.folder / "page.html").read_text()
    in_the_browser = (web_bundle.folder / "web" / "index.html").read_text()
    style = re.compile("<style>.*</style>", re.DOTALL)
    assert style.search(of_the_service)[0] == style.search(in_the_browser)[0]
    assert (web_bundle.folder / "web" / "answers.mjs").read_text() in of_the_service


def test_the_page_is_yours_to_change(web_bundle, tmp_path):
    folder = shutil.copytree(web_bundle.folder, tmp_path / "bundle")
    page = folder / "web" / "index.html"
    assert not any(name.startswith("web/") for name in json.loads((folder / "bundle.json").read_text())["files"])
    page.write_text(page.read_text().replace("An image model", "Temples and flowers"))
    assert featx.Predictor(folder).classes_.tolist() == [HTML_LABEL, "plain"]


def refused(model, folder, sample=None):
    with pytest.raises(ExportError) as error:
        featx.export_bundle(model, folder, extras=["web"], sample=sample)
    assert not folder.exists()
    return str(error.value)


def test_a_bundle_that_a_page_cannot_answer_is_refused_by_name(tiny, table_model, crops, places, tmp_path):
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    assert "got the columns 'photo', 'price', 'colour'" in refused(table_model, tmp_path / "bundle")
    assert "got an ImageEncoder alone" in refused(encoder, tmp_path / "bundle")
    boosted = make_pipeline(encoder, AdaBoostClassifier(n_estimators=2)).fit(crops, places)
    assert "a head that stays scikit-learn's (" in refused(boosted, tmp_path / "bundle")
    days = pd.to_datetime(["2024-01-01", "2024-02-01"]).to_numpy().repeat(len(crops) // 2)
    dated = make_pipeline(encoder, LogisticRegression()).fit(crops, days)
    assert "classes that are dates" in refused(dated, tmp_path / "bundle")
    both = make_pipeline(make_union(encoder, clone(encoder).set_params(layers="conv1")), LogisticRegression())
    assert "got several encoders of one image" in refused(both.fit(crops, places), tmp_path / "bundle")
    several = make_pipeline(clone(encoder).set_params(combine="mean"), LogisticRegression())
    rows = [[crop, crop] for crop in crops]
    assert "got several images a row" in refused(several.fit(rows, places), tmp_path / "bundle")


def test_a_bundle_with_fast_pixels_has_no_page(tiny, crops, places, tmp_path):
    pytest.importorskip("cykooz_resizer", reason="needs pip install 'featx[fast]'")
    fast = featx.image_pipeline(encoder=tiny, decode="fast", cache=False, verbose=0).fit(crops, places)
    assert "got decode='fast" in refused(fast, tmp_path / "bundle")


def test_an_unknown_extra_is_named(tmp_path):
    with pytest.raises(UnknownNameError, match="docker"):
        featx.export_bundle(object(), tmp_path / "bundle", extras="dockers")
