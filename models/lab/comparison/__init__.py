"""What generative models are good for, as comparisons: one command each, one folder, one page."""

from __future__ import annotations

import time
from pathlib import Path

from ..evaluation.generation import format_report
from ..progress import print_line, progress_bar
from ..report.page import write_page
from ..run import Run
from .augmentation import Augmentation
from .bayes import Bayes
from .labels import Labels
from .missing import Missing
from .subject import Given, Kept, Subject

TITLE = "Uses of generative models"
SUBJECTS: dict[str, Subject] = {
    "labels": Labels(),
    "bayes": Bayes(),
    "augmentation": Augmentation(),
    "missing": Missing(),
}
OFTEN = 10.0  # seconds after which the page is written anew


def compare(name: str, given: Given) -> Path:
    """Measure all that a comparison asks for, and is not measured yet; the page that shows it.

    The page grows with it, and shows the other comparisons of the folder too.
    """
    subject = SUBJECTS[name]
    with Run(given.folder).held():
        kept = Kept(given.folder, name, given.data)
        every = list(subject.measurements(given))
        written = time.monotonic()
        with progress_bar(len(every), "comparing") as bar:
            for measurement in every:
                bar.set_postfix_str(measurement.text, refresh=True)
                if not kept.has(measurement.about):
                    kept.add(measurement.about | measurement.measure())
                    if time.monotonic() - written > OFTEN:
                        show(given)
                        written = time.monotonic()
                bar.update()
        print_line(format_report(subject.rows(kept.records)))
        return show(given)


def show(given: Given) -> Path:
    """Write the page of all that is measured in a folder."""
    sections = []
    for name, subject in SUBJECTS.items():
        kept = Kept(given.folder, name, given.data)
        if kept.records:
            sections.append(subject.section(kept))
    return write_page(given.folder, TITLE, sections)
