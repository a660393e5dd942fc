"""A Qt application that draws 60 frames a second while a thread compares texts: it stutters.

Needs PyQt6. It runs without a screen.
"""

from __future__ import annotations

import difflib
import os
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PyQt6.QtCore import QThread, QTimer
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QApplication, QWidget
from spent import spent

SECONDS = 4
OLD = [f"line {number % 97} of the text" for number in range(900)]
NEW = [f"line {number % 89} of the text" for number in range(900)]


class Comparing(QThread):
    """Compares two texts in the background, again and again."""

    def run(self) -> None:
        """Compare until the application ends."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with spent("difflib"):
                difflib.SequenceMatcher(None, OLD, NEW).ratio()
            time.sleep(0.002)


class Picture(QWidget):
    """Draws something that moves."""

    frames = 0

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Draw one frame."""
        self.frames += 1
        with spent("paintEvent"):
            painter = QPainter(self)
            for line in range(60):
                painter.drawLine(0, line * 5, 300, (line * 5 + self.frames) % 300)
            painter.end()


def main() -> None:
    """Show the picture for some seconds."""
    application = QApplication(sys.argv[:1])
    picture = Picture()
    picture.resize(300, 300)
    picture.show()
    tick, thread = QTimer(), Comparing()
    tick.timeout.connect(picture.update)
    tick.start(16)
    thread.finished.connect(application.quit)
    thread.start()
    application.exec()
    thread.wait()
    print(f"{picture.frames} frames in {SECONDS} s")


if __name__ == "__main__":
    main()
