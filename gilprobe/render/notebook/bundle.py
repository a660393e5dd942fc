"""Render the model for a notebook: HTML, and the terminal's text where HTML can't be shown."""

from __future__ import annotations

from functools import singledispatch

from gilprobe.model.audit_result import AuditResult, AuditSet
from gilprobe.model.leak_report import LeakReport
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.notebook.html_page import HtmlPage
from gilprobe.render.shared.page import PLAIN, Page
from gilprobe.render.terminal import write_result
from gilprobe.render.text.audit_text import write_audit, write_audits
from gilprobe.render.text.leaks_text import write_leaks
from gilprobe.render.text.trace_text import write_process
from gilprobe.report import Report
from gilprobe.results import ResultSet, ScenarioResult


def bundle(shown: object) -> dict[str, str]:
    """Render an object of the model for a notebook.

    Parameters
    ----------
    shown : Report, ScenarioResult, ResultSet, AuditResult, AuditSet, LeakReport
        The object.

    Returns
    -------
    dict of str to str
        MIME type -> text: ``text/html`` and ``text/plain``. Foreign text is escaped.
    """
    page, text = HtmlPage(), Page(PLAIN)
    write(shown, page)
    write(shown, text)
    return {"text/html": page.finished(), "text/plain": text.finished()}


@singledispatch
def write(shown: object, page: Page) -> None:  # noqa: ARG001 - registered functions need it
    """Write an object onto a page; each type registers its own function."""
    raise TypeError(f"a notebook can show reports, results, audits and leaks, got {type(shown).__name__}")


@write.register
def _(shown: Report, page: Page) -> None:
    write_process(page, TracedProcess(source="", report=shown))


@write.register
def _(shown: ScenarioResult, page: Page) -> None:
    write_result(page, shown)


@write.register
def _(shown: ResultSet, page: Page) -> None:
    for result in shown.scenarios:
        write_result(page, result)


@write.register
def _(shown: AuditResult, page: Page) -> None:
    write_audit(page, shown)


@write.register
def _(shown: AuditSet, page: Page) -> None:
    write_audits(page, shown.audits, shown.unaudited)


@write.register
def _(shown: LeakReport, page: Page) -> None:
    write_leaks(page, shown)
