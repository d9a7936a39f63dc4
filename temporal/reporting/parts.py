"""Pieces of a page. Whatever comes from data is escaped here, once."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_BETWEEN: Final = re.compile(r"([+_/-])(?=\w)")
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


def breakable(text: object) -> Html:
    """Return a name that may go on in another line after a sign between its words."""
    return text if isinstance(text, Html) else Html(_BETWEEN.sub(r"\1<wbr>", html(text)))


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign.

    >>> signed(0.25, 2)
    '+0.25'
    """
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def decimal(value: float, digits: int = 3) -> str:
    """Return a figure as it is set, with a minus that is no hyphen."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


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
    head: int = 0,
) -> Html:
    """Return a table under its caption, in a box that scrolls sideways where it is too wide.

    Args:
        heads: of the columns; none are shown if all are empty.
        rows: cells. One that is a whole `<td>` stays one.
        caption: what is in it.
        numbers: columns that end at the right.
        classes: of the rows, if they have any.
        head: the column that names the row.
    """
    first = joined([_cell("th", text, place in numbers, "col") for place, text in enumerate(heads)])
    body = []
    for place, row in enumerate(rows):
        cells = [
            _cell("th", breakable(text), n in numbers, "row")
            if n == head
            else _cell("td", text, n in numbers)
            for n, text in enumerate(row)
        ]
        kind = {"class_": classes[place]} if classes and classes[place] else {}
        body.append(tag("tr", *cells, **kind))
    top = [tag("thead", tag("tr", first))] if any(heads) else []
    inside = tag("table", *top, tag("tbody", *body), aria_label=caption)
    box = tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return tag("div", tag("p", caption, class_="caption"), box, class_="table")


def _cell(kind: str, text: object, is_number: bool, scope: str = "") -> Html:
    if isinstance(text, Html) and text.startswith("<td"):
        return text
    attributes = {"class_": "number"} if is_number else {}
    if scope:
        attributes["scope"] = scope
    return tag(kind, text, **attributes)


def figure(
    drawings: Sequence[Html], caption: object, *, wide: bool = False, first: Html | None = None
) -> Html:
    """Return drawings side by side where there is room, over one sentence about them.

    Args:
        drawings: small ones, or, if `wide`, such as take the whole width each.
        caption: what they show.
        wide: one drawing a line.
        first: a wide one that is over the others.
    """
    boxes = [
        tag("div", one, class_="drawing", tabindex="0", role="group", aria_label="drawing")
        for one in (*([first] if first is not None else []), *drawings)
    ]
    kind = "drawings wide" if wide else "drawings"
    above = [tag("div", boxes.pop(0), class_="drawings wide")] if first is not None else []
    return tag("figure", *above, tag("div", *boxes, class_=kind), tag("figcaption", caption))


def details(summary: str, inside: Html) -> Html:
    """Return something that is folded away."""
    return tag("details", tag("summary", summary), inside)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> count(1, "video"), count(1200, "video"), count(2, "recording of it", "recordings of it")
    ('1 video', '1,200 videos', '2 recordings of it')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
