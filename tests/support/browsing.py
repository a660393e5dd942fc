"""Chromium as the tests of pages need it: sizes, light and dark, its log and its requests."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"


def start_chromium(*, root):
    """Return a driver of a headless Chromium; root may not use its sandbox."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--force-device-scale-factor=1",
        "--hide-scrollbars",
        *(("--no-sandbox",) if root else ()),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


class Browser:
    """A browser that shows one page after the other.

    Attributes
    ----------
    driver : selenium.webdriver.Chrome
        What drives it.
    """

    def __init__(self, driver, folder):
        self.driver, self._folder = driver, folder
        self.resize(1280, 900)
        self.prefer("light")
        driver.get("about:blank")
        self.console()
        self.requests()

    def resize(self, width, height):
        """Make the page's window `width` times `height` CSS pixels, down to a phone's."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme):
        """Have the system prefer "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def print_media(self):
        """Show the page as it is printed."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})

    def open(self, page, fragment=""):
        """Open a page, a path or the pieces of a document, from disk."""
        if not isinstance(page, Path):
            text = "".join(page)
            page = self._folder / "page.html"
            page.write_bytes(text.encode("utf-8"))
        self.driver.get(page.as_uri() + fragment)

    def run(self, script, *arguments):
        """Return what the body of a JavaScript function returns."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        """Return all elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        """Return the only element that a CSS selector finds."""
        (found,) = self.all(selector)
        return found

    def text(self, selector):
        """Return an element's text, shown or not."""
        return self.one(selector).get_property("textContent")

    def console(self):
        """Return what the page logged since it was last asked: errors, warnings, violated policies."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Return the addresses other than of files on disk that were asked for since it was last asked."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        addresses = [params["request"]["url"] for params in asked]
        return [address for address in addresses if not re.match("file:|data:|about:", address)]

    def screenshot(self, name, *, full=True):
        """Keep a picture as tests/screenshots/NAME.png: of the whole page, or of what the window shows."""
        SCREENSHOTS.mkdir(exist_ok=True)
        shown = {"format": "png", "captureBeyondViewport": full}
        if full:
            width, height = self.run(
                "const d = document.documentElement; return [d.clientWidth, d.scrollHeight];"
            )
            shown["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", shown)
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))
