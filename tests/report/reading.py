"""A report as a reader meets it: headings, tables, figures and words, by Python's own HTML parser."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = ("meta", "br", "img", "link", "input")
FOREIGN = ("path", "use", "title", "text", "g", "defs", "svg", "tspan")


class Reader(HTMLParser):
    """Reads a page; fails on elements that are not closed in order.

    ``tables[heading]`` are the tables under each heading, as rows of cells; ``drawn`` the texts inside figures
    without those that show on pointing, which are `tips`; `said` all other text; `elements` every element with
    its attributes.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.drawn: list[str] = []
        self.tips: list[str] = []
        self.said: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self._heading = ""
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self._heading = ""
        elif tag == "table":
            self.tables.setdefault(self._heading, []).append([])
        elif tag == "tr":
            self.tables[self._heading][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self._heading][-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, text):
        if "svg" in self._open:
            (self.tips if self._open[-1] == "title" else self.drawn).append(text)
        elif self._open and self._open[-1] != "style":
            if self._open[-1] in ("h1", "h2", "h3"):
                self._heading += text
            if "td" in self._open or "th" in self._open:
                self.tables[self._heading][-1][-1][-1] += text
            self.said.append(text)

    def table(self, heading: str, number: int = 0) -> list[list[str]]:
        """The rows of a table, the head first."""
        return self.tables[heading][number]

    def row(self, heading: str, name: str, number: int = 0) -> list[str]:
        """The row that begins with `name`."""
        return next(row for row in self.table(heading, number) if row[0] == name)

    @property
    def text(self) -> str:
        """All words outside of figures, with single spaces."""
        return " ".join(" ".join(self.said).split())


def value(cell: str) -> float:
    """The number that a cell begins with: a percentage or points as a share."""
    word = cell.split()[0].replace(",", "")
    if word.endswith("%"):
        return float(word[:-1]) / 100
    return float(word) / (100 if "points" in cell else 1)
