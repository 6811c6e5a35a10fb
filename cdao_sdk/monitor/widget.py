"""The notebook's widget: it puts values into ipywidgets, and hears their buttons."""

# ipywidgets ships no type information.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, Checkbox, Dropdown, HBox, Text, VBox

from cdao_sdk.monitor import widget_html as html
from cdao_sdk.monitor.notebook_lines import CHOICES, lines_of, page_of
from cdao_sdk.monitor.widget_state import STOP_ALL, Actions, Courses, Fetching, Stops, jobs_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdao_sdk.monitor.notebook_lines import Line, Page
    from cdao_sdk.monitor.snapshot import JobRow, Snapshot

__all__ = ["LINES_A_PAGE", "MonitorWidget"]

LINES_A_PAGE = 20
"""So many lines have widgets; all others wait on other pages."""


class MonitorWidget:
    """A table of jobs that may be painted from any thread.

    Args:
        actions: What its buttons do.

    Attributes:
        root: The widget to display.
        opened: Names of the jobs whose details are shown.
    """

    def __init__(self, actions: Actions) -> None:
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._toggled: set[str] = set()
        self._page = 0
        self._choice = "all"
        self._is_open = True
        self._courses = Courses()
        self._stops = Stops(actions, self.refresh)
        self.fetching = Fetching()
        self.opened: set[str] = set()

        # Apart from what is painted each second: a screen reader tells it when it changes.
        self._spoken = HTML()
        self._head, self._foot = HTML(), HTML()
        self._tools = _Tools(self, actions, self._stops)
        self._slots: list[_Slot] = []
        self._heads = _classed(
            HBox([HTML(html.FIRST_HEAD), HTML(html.column_heads())]), "cdao-heads"
        )
        self._table = _classed(VBox([self._heads]), "cdao-table")
        parts = [HTML(html.style()), self._head, self._spoken]
        parts += [self._tools.box, self._table, self._foot]
        self.root: Any = _classed(VBox(parts), "cdao-w")

    def paint(self, snapshot: Snapshot) -> None:
        """Show where the jobs stand now; only what differs travels to the browser."""
        with self._lock:
            self._snapshot = snapshot
            self._courses.see(snapshot)
            self.refresh()

    def refresh(self) -> None:
        """Show the last snapshot again, after a click or with new log lines."""
        with self._lock:
            snapshot = self._snapshot
            if snapshot is None or not self._is_open:
                return
            lines = lines_of(snapshot, self._toggled, self._choice)
            page = page_of(lines, self._page, LINES_A_PAGE)
            self._page = page.number
            self._head.value = html.head_html(snapshot)
            self._spoken.value = html.spoken_html(snapshot)
            self._foot.value = html.footer_html(snapshot, self._stops.notice)
            self._tools.show(snapshot, page)
            self._show_lines(page.lines)

    def _show_lines(self, lines: Sequence[Line]) -> None:
        while len(self._slots) < len(lines):
            self._slots.append(_Slot(self))
        for slot, line in zip(self._slots, lines, strict=False):
            slot.show(line)
        children = (self._heads, *(slot.box for slot in self._slots[: len(lines)]))
        if self._table.children != children:
            self._table.children = children

    def toggle(self, line: Line) -> None:
        """Open what is closed, and the other way round."""
        with self._lock:
            chosen = self._toggled if line.is_group else self.opened
            chosen.symmetric_difference_update({line.key})
            self.fetching.forget(line.key)
            self.refresh()

    def turn_to(self, *, page: int | None = None, by: int = 0, choice: str | None = None) -> None:
        """Show another page, or other jobs."""
        with self._lock:
            self._choice = choice or self._choice
            self._page = max(0, (self._page if page is None else page) + by)
            self.refresh()

    def click_stop(self, name: str = STOP_ALL) -> None:
        """A click on the stop button of a job, or of all."""
        with self._lock:
            jobs = self._snapshot.jobs if self._snapshot else ()
            self._stops.click(name, (row for row in jobs if name in (STOP_ALL, row.name)))
            self.refresh()

    def keep(self) -> None:
        """The first click on a stop button was a mistake."""
        with self._lock:
            self._stops.disarm()
            self.refresh()

    def courses_of(self, row: JobRow) -> Mapping[str, Sequence[tuple[float, float]]]:
        """How its metrics went."""
        return self._courses.of(row)

    def stop_button(self, button: Any, row: JobRow) -> None:
        """Set a job's stop button to what it does now."""
        asked = self._stops.is_asked(row.name)
        armed = self._stops.is_armed(row.name)
        words = "Stopping …" if asked else "Confirm: stop this job" if armed else "Stop job …"
        _set(button, description=words, disabled=asked, tooltip=f"Stop {row.label}; asks once more")
        _mark(button, "cdao-armed", on=armed)
        _show(button, visible=self._stops.is_possible and not row.is_over)

    def end(self, text: str) -> None:
        """Give all widgets back but one, which shows the end.

        A page that was loaded again does not know the output any more that becomes HTML now, but
        it still knows this widget.

        Args:
            text: The end as HTML.
        """
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            others = _all(self.root)[1:]
            self.root.children = (HTML(text),)
            self.root.remove_class("cdao-w")
            for name in ("jp-RenderedHTMLCommon", "jp-RenderedHTML"):  # as JupyterLab shows HTML
                self.root.add_class(name)
            for widget in others:
                widget.close()


class _Tools:
    """The line of buttons above the table."""

    def __init__(self, owner: MonitorWidget, actions: Actions, stops: Stops) -> None:
        self._stops = stops
        self._choice = Dropdown(options=list(CHOICES), value="all", description="Show")
        _on_value(self._choice, lambda: owner.turn_to(page=0, choice=self._choice.value))
        self._earlier = _button("◂ Earlier", "Earlier jobs", lambda: owner.turn_to(by=-1))
        self._later = _button("Later ▸", "Later jobs", lambda: owner.turn_to(by=1))
        self._place = _classed(HTML(), "cdao-pageinfo")
        stopped = "the execution" if stops.stops_execution else "every job that goes on"
        self._stop = _button("", f"Stop {stopped}; asks once more", owner.click_stop)
        self._keep = _button("Keep running", "Do not stop anything", owner.keep)
        leave = actions.leave or (lambda: None)
        self._leave = _button("Stop watching", "End this view; the jobs go on", leave)
        _classed(self._stop, "cdao-danger")
        _show(self._leave, visible=actions.leave is not None)
        gap = _classed(HTML(), "cdao-gap")
        paging = [self._choice, self._earlier, self._place, self._later]
        self.box = _classed(HBox([*paging, gap, self._keep, self._stop, self._leave]), "cdao-tools")

    def show(self, snapshot: Snapshot, page: Page) -> None:
        """Set them to what they do now."""
        is_long = len(snapshot.jobs) > LINES_A_PAGE
        _show(self._choice, visible=is_long)
        for each in (self._earlier, self._place, self._later):
            _show(each, visible=page.count > 1)
        last = page.first + len(page.lines) - 1
        self._place.value = f"{page.first:,}–{last:,} of {page.total:,}"
        _set(self._earlier, disabled=page.number == 0)
        _set(self._later, disabled=page.number == page.count - 1)
        going_on = [row for row in snapshot.jobs if not row.is_over]
        _show(self._keep, visible=self._show_stop(snapshot, going_on))

    def _show_stop(self, snapshot: Snapshot, going_on: Sequence[JobRow]) -> bool:
        """Set the button for all; returns whether its next click stops."""
        stops = self._stops
        armed = stops.is_armed(STOP_ALL)
        left = [row.label for row in going_on if not stops.is_asked(row.name)]
        if stops.stops_execution:
            may_stop, is_asked = snapshot.outcome == "running", stops.is_asked(STOP_ALL)
            words, what = "Stop execution …", "the execution"
        else:
            may_stop, is_asked = bool(going_on), not left
            words, what = "Stop all jobs …", jobs_words(left)
        words = f"Confirm: stop {what}" if armed else "Stopping …" if is_asked else words
        _set(self._stop, description=words, disabled=is_asked)
        _mark(self._stop, "cdao-armed", on=armed)
        _show(self._stop, visible=stops.is_possible and may_stop)
        return armed


class _Slot:
    """A place for a line; the next page puts another line into it."""

    def __init__(self, owner: MonitorWidget) -> None:
        self._owner = owner
        self._line: Line | None = None
        self._details: _Details | None = None
        self._button = _classed(_button("", "", self._click), "cdao-open")
        self._cells = HTML()
        self._row = _classed(HBox([self._button, self._cells]), "cdao-row")
        self.box: Any = _classed(VBox([self._row]), "cdao-slot")

    def _click(self) -> None:
        if self._line is not None:
            self._owner.toggle(self._line)

    def show(self, line: Line) -> None:
        """Show a line, and the details of a job that is open."""
        self._line = line
        is_open = line.is_open if line.is_group else line.key in self._owner.opened
        count = f" ×{len(line.elements):,}" if line.is_group else ""
        what = "the jobs" if line.is_group else "the details"
        _set(
            self._button,
            description=f"{'▾' if is_open else '▸'} {line.label}{count}",
            tooltip=f"{'Close' if is_open else 'Open'} {what} of {line.label}",
        )
        _set(self._cells, value=html.cells_html(line))
        _mark(self.box, "cdao-in-group", on=line.depth > 0)
        children = (self._row,)
        if is_open and not line.is_group:
            self._details = self._details or _Details(self._owner)
            self._details.show(line.rows[0])
            children = (self._row, self._details.box)
        if self.box.children != children:
            self.box.children = children


class _Details:
    """What an open row shows."""

    def __init__(self, owner: MonitorWidget) -> None:
        self._owner = owner
        self._row: JobRow | None = None
        self._stop = _classed(_button("", "", self._click_stop), "cdao-danger")
        # Apart, so that an ARN stays selected while metrics move.
        self._actions, self._moving, self._facts, self._log = HTML(), HTML(), HTML(), HTML()
        self._query = Text(placeholder="Search the log", continuous_update=True)
        _on_value(self._query, self._show_log)
        self._follow = Checkbox(value=True, description="Follow", indent=False)
        _on_value(self._follow, self._show_log)
        _set(self._query, tooltip="Show only the log lines that contain this")
        _set(self._follow, tooltip="Show new log lines as they come")
        buttons = _classed(HBox([self._stop, self._actions]), "cdao-bar-of-actions")
        search = _classed(HBox([self._query, self._follow]), "cdao-log-tools")
        parts = [buttons, self._moving, self._facts, search, self._log]
        self.box: Any = _classed(VBox(parts), "cdao-details")

    def _click_stop(self) -> None:
        if self._row is not None:
            self._owner.click_stop(self._row.name)

    def show(self, row: JobRow) -> None:
        """Show a job."""
        if self._row is None or self._row.name != row.name:
            self._row = row
            _set(self._query, value="")
            _set(self._follow, value=True)
        self._row = row
        self._owner.stop_button(self._stop, row)
        _set(self._actions, value=html.actions_html(row))
        _set(self._moving, value=html.moving_html(row, self._owner.courses_of(row)))
        _show(self._moving, visible=bool(self._moving.value))
        _set(self._facts, value=html.facts_html(row))
        _show(self._follow, visible=not row.is_over)
        if self._follow.value or row.is_over:
            self._show_log()

    def _show_log(self) -> None:
        if self._row is not None:
            lines = self._owner.fetching.lines_of(self._row)
            _set(self._log, value=html.log_html(lines, self._query.value))


def _button(words: str, tooltip: str, click: Callable[[], None]) -> Any:
    button = Button(description=words, tooltip=tooltip)

    def clicked(_: object) -> None:
        click()

    button.on_click(clicked)
    return button


def _on_value(widget: Any, changed: Callable[[], None]) -> None:
    def observed(_: object) -> None:
        changed()

    widget.observe(observed, "value")


def _classed(widget: Any, name: str) -> Any:
    widget.add_class(name)
    return widget


def _set(widget: Any, **values: object) -> None:
    """Set what differs; one message for all of it."""
    differing = {key: value for key, value in values.items() if getattr(widget, key) != value}
    if differing:
        with widget.hold_sync():
            for key, value in differing.items():
                setattr(widget, key, value)


def _mark(widget: Any, name: str, *, on: bool) -> None:
    (widget.add_class if on else widget.remove_class)(name)


def _show(widget: Any, *, visible: bool) -> None:
    _set(widget.layout, display=None if visible else "none")


def _all(widget: Any) -> list[Any]:
    children = getattr(widget, "children", ())
    return [widget, *(each for child in children for each in _all(child))]
