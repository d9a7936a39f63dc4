"""Pieces of a page. Whatever comes from data is escaped here, once."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Html(str):
    """Text that is HTML already; any other text is escaped before it becomes part of a page."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    title: str
    html: str = ""
    left_out: str = ""
    """Why there is nothing to show; the page says so at its end."""

    @property
    def anchor(self) -> str:
        """The id of its heading."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def shown(text: object) -> str:
    """Return text without control characters, of which some turn what follows around."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def html(text: object) -> Html:
    """Return text as HTML; what is HTML already stays as it is."""
    return text if isinstance(text, Html) else Html(escape(shown(text)))


def tag(name: str, *inside: object, **attributes: str) -> Html:
    """Return an element; attributes may end in `_`, for `class` is a word of Python.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(shown(value))}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{given}>{''.join(map(html, inside))}</{name}>")


def joined(parts: Sequence[object]) -> Html:
    """Return parts one after another."""
    return Html("".join(map(html, parts)))


def paragraph(*inside: object) -> Html:
    """Return a paragraph."""
    return tag("p", *inside)


def table(
    heads: Sequence[object],
    rows: Sequence[Sequence[object]],
    caption: str,
    numbers: Collection[int] = (),
    *,
    classes: Sequence[str] = (),
) -> Html:
    """Return a table in a box of its own that scrolls sideways where it is too wide.

    Args:
        heads: of the columns.
        rows: cells; the first of each is the row's head. A cell that is a whole `<td>` stays one.
        caption: what is in it.
        numbers: columns that end at the right.
        classes: of the rows, if they have any.
    """
    head = joined([_cell("th", text, place in numbers, "col") for place, text in enumerate(heads)])
    body = []
    for place, row in enumerate(rows):
        first = _cell("th", row[0], 0 in numbers, "row")
        cells = [_cell("td", text, n in numbers) for n, text in enumerate(row) if n]
        kind = {"class_": classes[place]} if classes and classes[place] else {}
        body.append(tag("tr", first, *cells, **kind))
    inside = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head)),
        tag("tbody", joined(body)),
    )
    return tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(kind: str, text: object, is_number: bool, scope: str = "") -> Html:
    if isinstance(text, Html) and text.startswith("<td"):
        return text
    attributes = {"class_": "number"} if is_number else {}
    if scope:
        attributes["scope"] = scope
    return tag(kind, text, **attributes)


def figure(drawings: Sequence[Html], caption: object, *, wide: bool = False) -> Html:
    """Return drawings side by side where there is room, over one sentence about them."""
    boxes = [
        tag("div", one, class_="drawing", tabindex="0", role="group", aria_label="drawing")
        for one in drawings
    ]
    kind = "drawings wide" if wide else "drawings"
    return tag("figure", tag("div", *boxes, class_=kind), tag("figcaption", caption))


def details(summary: str, inside: Html) -> Html:
    """Return something that is folded away."""
    return tag("details", tag("summary", summary), inside)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> count(1, "video"), count(1200, "video"), count(2, "recording of it", "recordings of it")
    ('1 video', '1,200 videos', '2 recordings of it')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
