from __future__ import annotations

import pytest

from gilprobe.render.html import export_processes
from gilprobe.traced import TracedProcess

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_opens_from_disk_without_a_complaint_and_without_network(browser, report, scheme):
    browser.prefer(scheme)
    browser.open(export_processes([TracedProcess("x.json", report)]))
    assert browser.run("return gilprobe.data.processes.length") == 1
    assert browser.console() == []
    assert browser.requests() == []
