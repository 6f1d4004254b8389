"""What one can do about cells and columns, for errors: in the settings of a file, or in Python."""

from __future__ import annotations

from coplay.data.words import quoted


class Remedies:
    """What one can do about the cells of a table file: settings of its source."""

    def leave_out(self, name: str) -> str:
        """Say how a column is left out."""
        return f"without = [{quoted(name)}] leaves the column out"

    def as_classes(self, name: str) -> str:
        """Say how a column becomes categories."""
        return f"categories = [{quoted(name)}] reads them as classes"

    def as_numbers(self, name: str) -> str:
        """Say how whole numbers become amounts."""
        return f"numbers = [{quoted(name)}] reads them as amounts"

    def too_long(self, name: str) -> str:
        """Say what to do about numbers with too many digits."""
        return f"leave the column out with without = [{quoted(name)}], or read it as categories"

    def marked(self, name: str, are_usual: bool) -> str:
        """Say what to do about numbers with other marks in them.

        Args:
            name: The column.
            are_usual: Whether numbers are read as Python writes them.
        """
        if are_usual:
            return f"set thousands or decimal to the mark in it; {self.leave_out(name)}"
        return f"its marks are not those of decimal and thousands; {self.leave_out(name)}"

    def no_number(self, name: str, text: str) -> str:
        """Say what to do about a cell that is no number."""
        return (
            f"mend it, or set missing_marks = [{quoted(text)}] if it stands for a missing value, "
            f"or categories = [{quoted(name)}]; {self.leave_out(name)}"
        )

    def dressed(self, name: str) -> str:
        """Say what to do about numbers with signs beside them."""
        return (
            f"take it out and put it into the column's name, or categories = [{quoted(name)}] "
            f"reads them as classes; {self.leave_out(name)}"
        )

    def missing(self, rows: str) -> str:
        """Say what to do about missing cells.

        Args:
            rows: How many rows have some.
        """
        return (
            f'set missing = "drop rows" to leave out {rows}, or missing = "keep" for models that '
            "learn from incomplete rows, or leave columns out with without"
        )

    def none_complete(self) -> str:
        """Say what to do where every row has a missing cell."""
        return "leave columns out with without"

    def mark_as_category(self, listed: str) -> str:
        """Say how categories become missing values."""
        return f"missing_marks = [{listed}] changes that"

    def zeros(self, name: str) -> str:
        """Say how zeros before numbers are kept."""
        return f"categories = [{quoted(name)}] reads them as texts"

    def thousands(self) -> str:
        """Say how points become marks between thousands."""
        return 'set thousands = "." and decimal = "," if it is a thousand'


class InMemory(Remedies):
    """What one can do about data that are in memory: play has no settings for their cells.

    Example:
        >>> InMemory().leave_out("dose")
        "or leave 'dose' out of the data"
    """

    def leave_out(self, name: str) -> str:
        """Say how a column is left out."""
        return f"or leave {quoted(name)} out of the data"

    def as_classes(self, name: str) -> str:
        """Say how a column becomes categories."""
        return f"in a frame, the type category makes {quoted(name)} classes"

    def as_numbers(self, name: str) -> str:
        """Say how whole numbers become amounts."""
        return f"play(…, variables=…) with kind = 'real' makes {quoted(name)} an amount"

    def too_long(self, name: str) -> str:
        """Say what to do about numbers with too many digits."""
        return (
            f"leave {quoted(name)} out of the data if it only names the rows, or give it the type "
            "category in a frame"
        )

    def marked(self, name: str, are_usual: bool) -> str:
        """Say what to do about numbers with other marks in them."""
        return f"make it numbers before, {self.leave_out(name)}"

    def no_number(self, name: str, text: str) -> str:
        """Say what to do about a cell that is no number."""
        return (
            "mend it, put None in its place if it stands for a missing value, give the column the "
            f"type category in a frame, {self.leave_out(name)}"
        )

    def dressed(self, name: str) -> str:
        """Say what to do about numbers with signs beside them."""
        return f"make it numbers before, {self.leave_out(name)}"

    def missing(self, rows: str) -> str:
        """Say what to do about missing cells."""
        return (
            f'play(…, missing="drop rows") leaves out {rows}, and missing="keep" keeps them for '
            "models that learn from incomplete rows; or leave columns out of the data"
        )

    def none_complete(self) -> str:
        """Say what to do where every row has a missing cell."""
        return 'leave columns out of the data, or keep the rows with play(…, missing="keep")'

    def mark_as_category(self, listed: str) -> str:
        """Say how categories become missing values."""
        return "put None in its place if it stands for a missing value"

    def zeros(self, name: str) -> str:
        """Say how zeros before numbers are kept."""
        return "in a frame, the type category keeps them"

    def thousands(self) -> str:
        """Say how points become marks between thousands."""
        return "make it a number before if it is a thousand"
