from __future__ import annotations

import base64
import shutil

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from tests.deploy.browsing import CHROMIUM, watched_pages
from tests.deploy.service.serving import HTML_LABEL, Running, replace_bundle

sync_api = pytest.importorskip("playwright.sync_api")
KEY = "a-key-for-the-page"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

DROP = """([content, name]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
    const target = document.getElementById("drop");
    for (const type of ["dragover", "drop"])
        target.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
PASTE = """([content, name]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
}"""


@pytest.fixture
def opened(browser):
    """Opens pages; what their consoles complain about fails the test, but each refusal: the page tells."""
    with watched_pages(browser, silent="responded with a status of 4") as open_page:
        yield open_page


@pytest.fixture
def page(opened, service):
    return filled(opened(service.url))


def filled(page):
    """The page, once it knows its model."""
    sync_api.expect(page.locator("#about")).to_contain_text("with")
    return page


@pytest.fixture(scope="module")
def table_service(table_bundle, tmp_path_factory):
    with Running(table_bundle.folder, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


def photo(content, name="photo.jpg"):
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


def answers(page, n=1):
    found = page.locator("#answers li")
    sync_api.expect(found).to_have_count(n)
    return found


def test_a_chosen_file_gets_a_label_and_bars(page, service, jpegs):
    expected = service.post(files=[("image", jpegs[0])]).json()["predictions"][0]
    page.set_input_files("#files", photo(jpegs[0]))
    answer = answers(page)
    assert answer.locator(".label").inner_text() == expected["label"]
    assert answer.locator("dt").count() == 2
    assert answer.locator(".value").first.inner_text() == f"{100 * expected['probability']:.1f} %"
    assert "ms" in page.locator("#note").inner_text()
    assert answer.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 160


@pytest.mark.parametrize("script", [DROP, PASTE], ids=["dropped", "pasted"])
def test_a_file_also_comes_by_drop_and_by_paste(page, jpegs, script):
    page.evaluate(script, [base64.b64encode(jpegs[30]).decode(), "given.jpg"])
    answer = answers(page)
    assert answer.locator(".name").inner_text() == "given.jpg"
    assert answer.locator(".track").count() == 2


def test_no_button_is_in_the_way_where_nothing_else_is_asked_for(page):
    assert page.locator("#again").is_hidden()


def test_several_files_are_a_list(page, jpegs):
    page.set_input_files("#files", [photo(jpegs[i], f"{i}.jpg") for i in (0, 20, 39)])
    assert answers(page, 3).locator(".name").all_inner_texts() == ["0.jpg", "20.jpg", "39.jpg"]
    assert "3 images" in page.locator("#note").inner_text()


def test_a_bad_file_shows_its_reason(page):
    page.set_input_files("#files", photo(b"no image"))
    assert "not an image" in answers(page).locator(".error").inner_text()
    assert page.locator(".label").count() == 0


def test_a_bad_file_spoils_no_other(page, jpegs):
    page.set_input_files("#files", [photo(jpegs[0]), photo(b"no image")])
    assert answers(page, 2).locator(".label").count() == 1
    assert page.locator(".error").count() == 1


def test_a_refusal_is_told_in_words(page, jpegs):
    page.set_input_files("#files", [photo(jpegs[0])] * 5)
    page.wait_for_selector("#note.bad")
    assert "limit" in page.locator("#note").inner_text()


@pytest.mark.parametrize(
    ("made", "about"),
    [
        ("bundle", "Classifies images into 2 classes, with "),
        ("two_labels_bundle", "Gives an image 2 labels, with "),
        ("tags_bundle", "Gives an image 3 labels, with "),
        ("encoder_bundle", "Embeds images, with "),
    ],
)
def test_the_page_says_what_a_model_does_and_shows_all_that_it_answers(opened, made, about, request, jpegs, tmp_path):
    bundle = request.getfixturevalue(made)
    with Running(bundle.folder, tmp_path / "log") as running:
        page = filled(opened(running.url))
        assert page.locator("#about").inner_text().startswith(about)
        page.set_input_files("#files", photo(jpegs[0]))
        shown = answers(page).locator(".label").inner_text()
        predictor = featx.Predictor(bundle)
        if made == "encoder_bundle":
            assert shown == f"{predictor.embed(jpegs[:1]).shape[1]} numbers"
        else:
            assert shown == ", ".join(map(str, np.atleast_1d(predictor.predict(jpegs[:1])[0])))
        page.close()


def test_labels_and_names_with_html_are_shown_as_text(page, jpegs):
    page.set_input_files("#files", photo(jpegs[0], "<i>name</i>.jpg"))
    answer = answers(page)
    assert HTML_LABEL in answer.locator("dt").all_inner_texts()
    assert answer.locator("b").count() == 0
    assert answer.locator(".name").inner_text() == "<i>name</i>.jpg"


def test_other_columns_are_asked_for(opened, table_service, jpegs):
    page = filled(opened(table_service.url))
    assert page.locator("#columns label").all_inner_texts()[0].startswith("price")
    page.set_input_files("#files", photo(jpegs[0]))
    assert "price" in page.locator("#note").inner_text()
    page.fill("[name=price]", "3.5")
    page.select_option("[name=colour]", "green")
    page.click("#again")
    answer = answers(page)
    given = {"price": "3.5", "colour": "green"}
    expected = table_service.post(files=[("photo", jpegs[0])], data=given).json()["predictions"][0]
    assert answer.locator(".label").inner_text() == str(expected["label"])
    assert answer.locator(".value").first.inner_text() == f"{100 * expected['probability']:.1f} %"


@pytest.fixture(scope="module")
def sides_service(tiny, goods, places, tmp_path_factory):
    """Of a column of lists of images, one of images that may be missing, and a number."""
    encoder = featx.ImageEncoder(tiny, cache=False, verbose=0)
    columns = make_column_transformer(
        (clone(encoder).set_params(combine="mean"), "photo"),
        (make_pipeline(clone(encoder).set_params(on_missing="nan"), SimpleImputer()), "back"),
        (StandardScaler(), ["price"]),
    )
    photos = goods["photo"].to_list()
    table = goods.assign(photo=[[photo, photos[0]] for photo in photos], back=photos[::-1])
    model = make_pipeline(columns, LogisticRegression()).fit(table, places)
    folder = tmp_path_factory.mktemp("sides")
    featx.export_bundle(model, folder / "bundle")
    with Running(folder / "bundle", folder / "log") as running:
        yield running


@pytest.mark.parametrize("with_back", [True, False], ids=["with a back", "without"])
def test_all_images_of_a_row_and_a_second_column_are_sent_together(with_back, opened, sides_service, jpegs):
    page = opened(sides_service.url)
    assert page.locator("#what").inner_text() == "Drop photo here, all images of one row"
    assert page.locator("#columns label").all_inner_texts()[0].startswith("back")
    assert page.locator("[name=back]").evaluate("field => [field.type, field.multiple]") == ["file", False]
    page.fill("[name=price]", "3.5")
    if with_back:
        page.set_input_files("[name=back]", photo(jpegs[5]))
    page.set_input_files("#files", [photo(jpegs[i], f"{i}.jpg") for i in (0, 20)])
    answer = answers(page)
    files = [("photo", jpegs[0]), ("photo", jpegs[20]), *([("back", jpegs[5])] if with_back else [])]
    expected = sides_service.post(files=files, data={"price": "3.5"}).json()["predictions"][0]
    assert answer.locator(".value").first.inner_text() == f"{100 * expected['probability']:.1f} %"
    assert answer.locator(".name").inner_text() == "0.jpg, 20.jpg"
    assert answer.locator("img").count() == 2
    assert answer.locator(".error").count() == (0 if with_back else 1)
    assert "2 images" in page.locator("#note").inner_text()


def test_the_keyboard_reaches_everything(opened, table_service):
    page = filled(opened(table_service.url))
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.name || document.activeElement.id || document.activeElement.tagName")
        )
    assert reached == ["price", "colour", "files", "again", "A", "A"]


def test_a_phone_needs_no_sideways_scrolling(opened, service, jpegs):
    page = filled(opened(service.url, viewport={"width": 360, "height": 700}))
    page.set_input_files("#files", [photo(jpegs[0], "a-very-long-name" * 10 + ".jpg"), photo(jpegs[1])])
    answers(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_asks_nobody_but_its_service(page, service, jpegs):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    filled(page).set_input_files("#files", photo(jpegs[0]))
    answers(page)
    assert {url for url in asked if not url.startswith(("blob:", "data:"))} == {
        f"{service.url}/{path}" for path in ("", "metadata", "predict")
    }


@pytest.fixture
def keyed(served_bundle, tmp_path):
    """A service that asks for a key, of a bundle that can be replaced."""
    folder = shutil.copytree(served_bundle, tmp_path / "birds")
    with Running(folder, tmp_path / "log", key=KEY) as running:
        yield running


def test_the_page_asks_for_a_key_where_one_is_needed(opened, keyed, jpegs):
    page = opened(keyed.url)
    sync_api.expect(page.locator("#drop")).to_be_hidden()
    for key, told in (("another-key-of-16-letters", "does not know"), (KEY, "")):
        page.fill("#key input", key)
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#note")).to_contain_text(told)
    filled(page).set_input_files("#files", photo(jpegs[0]))
    assert answers(page).locator(".label").count() == 1
    assert page.locator("#key").is_hidden()
    assert page.locator("h1").inner_text() == page.title() == "birds"
    assert KEY not in keyed.log


def test_no_key_is_asked_for_where_none_is_needed(page):
    assert page.locator("#key").is_hidden()


def test_a_bundle_of_other_columns_changes_the_form_of_an_open_page(opened, keyed, table_bundle, jpegs, tmp_path):
    page = opened(keyed.url)
    page.fill("#key input", KEY)
    page.keyboard.press("Enter")
    filled(page).set_input_files("#files", photo(jpegs[0]))
    answers(page)
    assert page.locator("#columns label").count() == 0
    replace_bundle(tmp_path / "birds", table_bundle.folder)
    assert keyed.post("/reload").json()["changed"]
    page.set_input_files("#files", photo(jpegs[0]))
    sync_api.expect(page.locator("#note")).to_contain_text("The model was replaced")
    assert page.locator("#columns label").count() == 2
    page.fill("[name=price]", "3.5")
    page.select_option("[name=colour]", "green")
    page.click("#again")
    assert answers(page).locator(".label").inner_text() in ("china", "flower")


def test_a_reload_to_the_same_columns_does_not_disturb(opened, keyed, bundle, jpegs, tmp_path):
    page = opened(keyed.url)
    page.fill("#key input", KEY)
    page.keyboard.press("Enter")
    filled(page)
    replace_bundle(tmp_path / "birds", bundle.folder)
    assert keyed.post("/reload").json()["changed"]
    page.set_input_files("#files", photo(jpegs[0]))
    assert answers(page).locator(".label").inner_text() in ("china", "flower")


def test_the_docs_show_the_interface_and_ask_nobody_but_the_service(opened, service):
    asked = []
    page = opened("about:blank")
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.url + "/docs")
    sync_api.expect(page.locator(".opblock-summary-path")).to_have_count(5)
    page.locator(".opblock-summary-path", has_text="predict").click()
    sync_api.expect(page.locator(".opblock-body")).to_contain_text("Malformed, or no image could be used.")
    own = {
        f"{service.url}/{path}" for path in ("docs", "docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "openapi.json")
    }
    assert {url for url in asked if not url.startswith(("blob:", "data:"))} == own


def test_docs_behind_a_key_open_once_the_browser_has_the_key_as_a_password(opened, served_bundle, tmp_path, jpegs):
    with Running(served_bundle, tmp_path / "log", "--protect", "docs", key=KEY) as running:
        page = opened("about:blank", http_credentials={"username": "anybody", "password": KEY})
        page.goto(running.url + "/docs")
        sync_api.expect(page.locator(".opblock-summary-path").first).to_be_visible()
        page.goto(running.url)  # it has its own way to ask
        page.fill("#key input", KEY)
        page.keyboard.press("Enter")
        filled(page).set_input_files("#files", photo(jpegs[0]))
        answers(page)
        page.close()
