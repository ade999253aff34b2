"""The page of `geovq report` in a browser: sliders, the explorer, and what a reader with other senses or a phone meets."""

import json

import pytest

from tests.browser import DESKTOP, PHONE
from tests.cli.programs import geovq

BYTES = 8_000_000


@pytest.fixture(scope="module")
def page(work, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    words = ("--images", work / "photographs", "--out", path, "--max-images", 2, "--crop", 40)
    found = geovq("report", work / "photos.npz", *words)
    assert found.returncode == 0, found.stderr
    assert f"wrote {path}, 0." in found.stdout
    return path


def test_the_page_is_one_small_file_with_all_parts_in_order(page):
    html = page.read_text()
    assert len(html.encode()) < BYTES
    parts = ("compare", "errors", "rate", "codebook", "tokens", "explorer", "latents", "scores", "origin")
    places = [html.index(f'<section id="{part}"') for part in parts]
    assert places == sorted(places)
    assert html.count('class="numbers"') == 1
    assert html.count("<strong>") == 4
    assert "geovq report" in html[places[-1] :]


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wrong_asked_for_or_inaccessible(browser, page, size, dark):
    browser.open(page, size=size, dark=dark)
    assert browser.blank_images() == []
    assert browser.violations() == []
    assert browser.overflow() == 0
    assert browser.complaints() == []
    assert browser.requests() == []


def test_what_a_page_does_wrong_is_noticed(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("""<title>bad</title><img src="data:image/png;base64,AAAA"><img src="http://127.0.0.1:9/a.png">
        <div style="width: 9999px">wide</div><script>throw new Error("thrown")</script>""")
    browser.open(bad)
    assert len(browser.blank_images()) == 2
    assert any(each.startswith("image-alt") for each in browser.violations())
    assert browser.overflow() > 0
    assert any("thrown" in each for each in browser.complaints())
    assert browser.requests() == ["http://127.0.0.1:9/a.png"]


def test_the_slider_wipes_between_the_versions_that_are_chosen(browser, page):
    browser.open(page)
    wipe = ".wipe .stage .left"
    width = "return getComputedStyle(document.querySelector(arguments[0])).clipPath"
    assert browser.run(width, wipe) == "inset(0px 50% 0px 0px)"
    slider = browser.find(".wipe input[type=range]")[0]
    slider.send_keys("\ue014")  # the right arrow
    assert browser.run(width, wipe) == "inset(0px 49% 0px 0px)"
    stage = browser.find(".wipe .stage")[0]
    move = "const b = arguments[0].getBoundingClientRect(); arguments[0].dispatchEvent(new PointerEvent('pointerdown',"
    browser.run(f"{move} {{clientX: b.left + b.width / 4, clientY: b.top}}))", stage)
    assert browser.run(width, wipe) == "inset(0px 75% 0px 0px)"
    assert slider.get_attribute("aria-valuetext") == "25 % left version"

    texts = [each.text for each in browser.find(".wipe .caption")]
    assert texts[0].startswith("Left: ")
    assert "original" in texts[0]
    assert "tokens by Nearest" in texts[1]
    before = browser.find(wipe)[0].get_attribute("src")
    browser.find(".wipe .left-choice option[value=autoencoder]")[0].click()
    after = browser.find(wipe)[0].get_attribute("src")
    assert before != after
    assert "autoencoder, no tokens" in browser.find(".wipe .caption")[0].text
    browser.run("arguments[0].click()", browser.find("input[name=image]")[1])
    assert browser.find(wipe)[0].get_attribute("src") != after
    assert browser.complaints() == []


def test_the_explorer_shows_the_codes_of_a_token_and_the_image_with_one(browser, page):
    browser.open(page)
    data = json.loads(browser.run("return document.getElementById('explorer-data').textContent"))
    assert len(data) == 2
    tokens = browser.find(".explorer:not([hidden]) .token")
    assert len(tokens) == len(data[0]["tokens"])
    assert tokens[0].get_attribute("aria-pressed") == "true"
    tokens[2].click()
    assert [each.get_attribute("aria-pressed") for each in tokens[:3]] == ["false", "false", "true"]
    wanted = data[0]["tokens"][2]
    titles = [each.text for each in browser.find(".explorer:not([hidden]) .panel h3")]
    assert titles == [tokens[2].get_attribute("aria-label"), *(group["title"] for group in wanted["groups"])]

    change = browser.find(".explorer:not([hidden]) .change")[0]
    assert not change.is_displayed()
    option = browser.find(".explorer:not([hidden]) .options:last-of-type button")[-1]
    option.send_keys("\n")  # with the keyboard
    chosen = wanted["groups"][-1]["options"][-1]
    assert change.is_displayed()
    assert change.get_attribute("src") == chosen["patch"]
    assert browser.find(".explorer:not([hidden]) .caption")[0].text == chosen["said"]
    browser.find(".explorer:not([hidden]) .options button")[0].click()
    assert not change.is_displayed()

    browser.run("arguments[0].click()", browser.find("input[name=explored]")[1])
    assert [each.get_attribute("data-number") for each in browser.find(".explorer:not([hidden])")] == ["1"]
    assert browser.complaints() == []


def test_the_latents_are_drawn_twice_and_each_path_is_decoded_in_three_ways(browser, page):
    browser.open(page)
    assert len(browser.find("#latents svg")) == 2
    captions = [each.text for each in browser.find("#latents .film figcaption")]
    assert [each.split(":")[0].split(", through")[0] for each in captions[:3]] == [
        "straight line",
        "shortest path, Euclidean",
        "shortest path, pullback",
    ]
    assert len(captions) == 9


def test_scores_say_what_they_mean(browser, page):
    browser.open(page)
    meanings = [each.get_attribute("title") for each in browser.find("#scores abbr")]
    assert all(len(each) > 20 for each in meanings)
    browser.find("#scores summary")[0].click()
    assert [each.text for each in browser.find("#scores details dd")] == meanings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-images", 0), "max_images: expected a whole number of at least 1"),
        (("--crop", 4), "expected crops of at least 8x8 pixels"),
        (("--crop", 48, "--seed", 1), "expected at most 3,000 pixels on a page, found more after 2 images"),
        (("--images", "nowhere"), "nowhere: expected a folder of images"),
        (("--out", "."), ".: expected a file to write, found a folder"),
    ],
)
def test_bad_input_is_refused_in_one_line(work, words, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("geovq.cli.findings.systems.MOST_PIXELS", 3000)
    found = geovq("report", work / "photos.npz", "--images", work / "photographs", *words)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1, found.stderr
    assert message in found.stderr
