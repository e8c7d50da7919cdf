"""What Prunescope makes of each network of the zoo, as docs/zoo.md: ``python -m tests.zoo.table``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import NetworkError
from analysis.network import Group
from tests.zoo.networks import BY_NAME, ZOO
from tests.zoo.opened import from_module, from_pt2

PATH = Path(__file__).parents[2] / "docs" / "zoo.md"
_HEADER = (
    "| network | groups | exact | approximate | refused | module | .pt2 | hard because | first refusal |"
)
_ANSWER = "the network's answer"
_INTRODUCTION = """# The zoo

Small networks, each built in a way that breaks pruning tools (`tests/zoo/`). For each: how many groups of
coupled layers were found, how many of them lose channels *exactly* (removed equals masked), *approximately*
(a normalisation's statistics change) or not at all, and whether it opens from a module and from the file
that `torch.export.save` writes. The last layer's outputs are always refused: they are the answer; the first
refusal for another reason is given. The tests check every group with an oracle that shares no code with the
pruning, and fail if a network falls behind its row. Written by `python -m tests.zoo.table`.
"""


@dataclass(frozen=True)
class Row:
    """One network: counts of its groups, whether it opens, and the first reason for a refusal."""

    name: str
    groups: int
    exact: int
    approximate: int
    refused: int
    from_module: bool
    from_pt2: bool
    note: str
    reason: str


def row(name: str) -> Row:
    """What Prunescope makes of a network now."""
    groups: tuple[Group, ...] = ()
    reason = ""
    try:
        groups = from_module(name).groups
    except NetworkError as error:
        reason = str(error)
    opens = bool(groups)
    try:
        from_file = bool(from_pt2(name).groups)
    except NetworkError as error:
        from_file, reason = False, reason or str(error)
    verdicts = Counter(group.verdict for group in groups)
    reasons = [g.reason for g in groups if g.verdict == "refused" and not g.reason.endswith(_ANSWER)]
    return Row(
        name,
        len(groups),
        verdicts["exact"],
        verdicts["approximate"],
        verdicts["refused"],
        opens,
        from_file,
        BY_NAME[name].note,
        reason or next(iter(reasons), ""),
    )


def rows() -> list[Row]:
    """A row for every network of the zoo."""
    return [row(network.name) for network in ZOO]


def write(path: Path, table: list[Row]) -> None:
    """Write the table as Markdown."""
    lines = [_INTRODUCTION, _HEADER, "| --- |" + " ---: |" * 4 + " --- |" * 4]
    for entry in table:
        numbers = (entry.groups, entry.exact, entry.approximate, entry.refused)
        opens = ("yes" if way else "no" for way in (entry.from_module, entry.from_pt2))
        cells = (entry.name, *map(str, numbers), *opens, entry.note, entry.reason)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    exact, total = sum(r.exact for r in table), sum(r.groups for r in table)
    refused, approximate = sum(r.refused for r in table), sum(r.approximate for r in table)
    lines.append(
        f"\n{len(table)} networks, {sum(r.from_module for r in table)} opened from a module and "
        f"{sum(r.from_pt2 for r in table)} from a file; {total} groups: {exact} exact, "
        f"{approximate} approximate, {refused} refused."
    )
    path.write_text("\n".join(lines) + "\n")


def read(path: Path) -> dict[str, Row]:
    """The rows that :func:`write` wrote, by network."""
    found = {}
    for line in path.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 9 and cells[1].isdecimal():
            groups, exact, approximate, refused = map(int, cells[1:5])
            opens, from_file = (cell == "yes" for cell in cells[5:7])
            found[cells[0]] = Row(
                cells[0], groups, exact, approximate, refused, opens, from_file, cells[7], cells[8]
            )
    return found


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


if __name__ == "__main__":
    write(PATH, rows())
