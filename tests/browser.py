"""A headless Chromium for the tests of pages: what it complained of, what it asked for, and whether a page is accessible."""

import contextlib
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

DESKTOP, PHONE = (1200, 900), (390, 844)
"""Width and height of the window."""

_SECONDS = 180
"""That a script may take: axe-core looks at every element."""

_LOOKED_AT = {"exclude": [["svg.chart > *"]]}
"""Not at what is inside of charts, whose letters have the colour of the page's: it takes most of the time."""

_TOLD = '{resultTypes: ["violations"]}'

_SERIOUS = ("serious", "critical")


class Browser:
    """A page in a window."""

    def __init__(self, driver: Any):
        self.driver = driver

    def open(self, path: pathlib.Path, *, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
        """Opens a file, with nothing heard before."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a script returns."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> list[Any]:
        """Elements by a selector of CSS."""
        return self.driver.find_elements("css selector", selector)

    def complaints(self) -> list[str]:
        """What the console says."""
        return [each["message"] for each in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for, but for the page itself and what is inside it."""
        events = [json.loads(each["message"])["message"] for each in self.driver.get_log("performance")]
        urls = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "file:"))]

    def blank_images(self) -> list[str]:
        """Alternative texts of visible images that were not decoded."""
        script = "return [...document.images].filter(i => !i.hidden && !(i.complete && i.naturalWidth)).map(i => i.alt)"
        return self.run(script)

    def violations(self) -> list[str]:
        """Serious faults that axe-core finds, with the elements."""
        from axe_selenium_python import Axe

        axe = Axe(self.driver)
        axe.inject()
        found = [each for each in axe.run(_LOOKED_AT, _TOLD)["violations"] if each["impact"] in _SERIOUS]
        return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with an empty profile; tests skip where there is none."""
    with start_browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@contextlib.contextmanager
def start_browser(profile: pathlib.Path) -> Iterator[Browser]:
    """A browser with an empty profile; skips the test where there is none.

    Args:
        profile: An empty folder.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; pip install 'geovq[dev]'")
    pytest.importorskip("axe_selenium_python", reason="axe-selenium-python is not installed; pip install 'geovq[dev]'")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("no chromium or chromedriver on PATH; apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for each in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=paths[1]))
    driver.set_script_timeout(_SECONDS)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
