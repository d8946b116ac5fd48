"""What drush prints, and where: results and questions to standard output, its log and errors to standard error."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO


class DrushFailure(Exception):
    """A command failed; drush prints the message in a box and exits with 1.

    Attributes:
        source: the file of drush that says so.
    """

    def __init__(self, message: str, *, source: str = "ExceptionHandler.php") -> None:
        super().__init__(message)
        self.source = source


class UserAbort(Exception):
    """Somebody answered no."""


@dataclass(frozen=True, slots=True)
class Console:
    """The streams of one command.

    Attributes:
        output: results.
        errors: log lines.
        answers: where questions are answered from.
        answer: what ``--yes`` or ``--no`` answers to every question; None asks.
    """

    output: TextIO
    errors: TextIO
    answers: TextIO
    answer: bool | None = None

    def log(self, level: str, message: str) -> None:
        """Print one line of the log."""
        gap = " " if level != "error" else "  "
        print(f" [{level}]{gap}{message}", file=self.errors)

    def print(self, text: str) -> None:
        """Print a result."""
        print(text, file=self.output)

    def print_json(self, value: object) -> None:
        """Print a result as drush's JSON formatter does."""
        self.print(json.dumps(value, indent=4, ensure_ascii=False))

    def confirm(self, question: str) -> None:
        """Ask; go on for a yes.

        Raises:
            UserAbort: the answer is no.
            DrushFailure: nobody answers.
        """
        if self.answer is not None:
            self.print(f"\n // {question}: {'yes' if self.answer else 'no'}.\n")
            if not self.answer:
                raise UserAbort
            return
        print(f"\n {question} (yes/no) [yes]:\n > ", end="", file=self.output, flush=True)
        line = self.answers.readline()
        if not line:
            raise DrushFailure("Aborted.", source="QuestionHelper.php")
        if line.strip().lower()[:1] not in ("", "y"):
            raise UserAbort

    def print_failure(self, failure: DrushFailure) -> None:
        """Print what went wrong as Symfony's console renders exceptions."""
        rows = [line for text in str(failure).split("\n") for line in textwrap.wrap(text, 110) or [""]]
        width = max(map(len, rows))
        box = [" " * (width + 4), *(f"  {row.ljust(width)}  " for row in rows), " " * (width + 4)]
        print(f"\nIn {failure.source}:", *box, "", sep="\n", file=self.errors)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Symfony's console draws it."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"

    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"

    return "\n".join([rule, line(headers), rule, *map(line, rows), rule])


def plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a list of rows as drush prints results for people."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    rule = " " + " ".join("-" * (width + 2) for width in widths) + " "

    def line(row: Sequence[str]) -> str:
        return "  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "  "

    return "\n".join([rule, line(headers), rule, *map(line, rows), rule])


def properties(values: Mapping[str, str]) -> str:
    """Return named values, one a line."""
    width = max(map(len, values))
    return "\n".join(f" {name.ljust(width)} : {value}" for name, value in values.items())
