from __future__ import annotations

import base64
import shutil

import pytest

from tests.deploy.service.serving import HTML_LABEL, Running

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
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


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def is_complaint(message) -> bool:
    """The console repeats each refusal, which the page tells in words."""
    return message.type == "error" and "responded with a status of 4" not in message.text


@pytest.fixture
def opened(browser):
    """Opens pages; what their consoles complain about fails the test."""
    complaints, pages = [], []

    def open_page(url, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        sync_api.expect(page.locator("#about")).to_contain_text("with")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not complaints


@pytest.fixture
def page(opened, service):
    return opened(service.url)


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


def test_labels_and_names_with_html_are_shown_as_text(page, jpegs):
    page.set_input_files("#files", photo(jpegs[0], "<i>name</i>.jpg"))
    answer = answers(page)
    assert HTML_LABEL in answer.locator("dt").all_inner_texts()
    assert answer.locator("b").count() == 0
    assert answer.locator(".name").inner_text() == "<i>name</i>.jpg"


def test_other_columns_are_asked_for(opened, table_service, jpegs):
    page = opened(table_service.url)
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


def test_the_keyboard_reaches_everything(opened, table_service):
    page = opened(table_service.url)
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.name || document.activeElement.id || document.activeElement.tagName")
        )
    assert reached == ["price", "colour", "files", "again", "A", "A"]


def test_a_phone_needs_no_sideways_scrolling(opened, service, jpegs):
    page = opened(service.url, viewport={"width": 360, "height": 700})
    page.set_input_files("#files", [photo(jpegs[0], "a-very-long-name" * 10 + ".jpg"), photo(jpegs[1])])
    answers(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_asks_nobody_but_its_service(page, service, jpegs):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    sync_api.expect(page.locator("#about")).to_contain_text("with")
    page.set_input_files("#files", photo(jpegs[0]))
    answers(page)
    assert {url for url in asked if not url.startswith(("blob:", "data:"))} == {
        f"{service.url}/{path}" for path in ("", "metadata", "predict")
    }
