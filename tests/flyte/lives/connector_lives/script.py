"""What happens in a life, written beforehand from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

__all__ = ["Life", "Turn", "write_life"]

Task = Literal["work", "walk", "predict"]
Create = Literal["once", "twice", "at once", "repeated", "lost"]
Story = Literal["plain", "failing", "recovering", "aborted", "timed out", "lost", "given up"]

LONG = 300.0
"""Seconds that a job sleeps which has to be stopped: whoever forgets it is found out."""
_SPARE_ATTEMPTS = 3

_STORIES: dict[Story, int] = {
    "plain": 42,
    "failing": 6,
    "recovering": 6,
    "aborted": 30,
    "timed out": 6,
    "lost": 7,
    "given up": 3,
}
_CREATES: dict[Create, int] = {"once": 68, "twice": 8, "at once": 14, "repeated": 10}
_TASKS: dict[Task, int] = {"work": 85, "walk": 11, "predict": 4}


@dataclass(frozen=True)
class Turn:
    """One attempt.

    Attributes:
        act: What the job does: seconds to sleep, ``fail`` or ``recover``.
        create: How CreateTask is called. ``repeated``: Propeller dies before it has noted the
            answer, and calls again; ``lost``: no answer comes, and it goes on to the next attempt.
        timeout: Seconds until the attempt is aborted for the next one.
        pause: Seconds before the next attempt.
    """

    act: str
    create: Create = "once"
    timeout: float | None = None
    pause: float = 0.0


@dataclass(frozen=True)
class Life:
    """All attempts of one node.

    Attributes:
        number: Which life it is.
        story: What it is about.
        task: Name of the task.
        turns: Its attempts; those beyond are like the last one.
        attempts: How many there may be.
        abort: Seconds until the execution is aborted.
        seed: For what Propeller does by chance.
    """

    number: int
    story: Story
    task: Task
    turns: tuple[Turn, ...]
    attempts: int
    abort: float | None
    seed: int

    @property
    def word(self) -> str:
        """What its function has to return, with the job's name."""
        return f"life {self.number}"

    @property
    def acts(self) -> str:
        """The input that says what each attempt's job does."""
        return ";".join(turn.act for turn in self.turns)

    def turn(self, attempt: int) -> Turn:
        """The attempt of a number."""
        return self.turns[min(attempt, len(self.turns) - 1)]

    @property
    def may_fail(self) -> bool:
        """Whether its function fails for good."""
        return self.story == "failing" or self.task == "predict"


def write_life(seed: int, number: int) -> Life:
    """The life of a number; the same for the same seed."""
    rng = random.Random(f"{seed}/{number}")
    story = _drawn(rng, _STORIES)
    abort: float | None = None
    last = Turn(_quick(rng), _drawn(rng, _CREATES))
    turns: tuple[Turn, ...] = (last,)
    if story == "failing":
        turns = (Turn("fail", last.create),)
    elif story == "recovering":
        turns = (Turn("recover", _drawn(rng, _CREATES)), last)
    elif story == "aborted":
        act = str(LONG) if rng.random() < 0.8 else last.act
        abort = rng.choice((0.0, rng.uniform(0, 0.5), rng.uniform(0, 1.5), rng.uniform(0.5, 3)))
        turns = (Turn(act, last.create),)
    elif story == "timed out":
        turns = (Turn(str(LONG), last.create, timeout=rng.uniform(0, 2.5)), last)
    elif story in ("lost", "given up"):
        pause = rng.choice((0.0, rng.uniform(0, 1), rng.uniform(1.5, 3.5)))
        lost = Turn(str(LONG), "lost", pause=pause)
        turns = (lost,) * rng.choice((1, 1, 2))
        turns += (last,) if story == "lost" else ()
    task = _drawn(rng, _TASKS) if story in ("plain", "aborted", "given up") else "work"
    if rng.random() < 0.1 and story != "aborted":
        task = "walk"
    spare = 0 if story == "given up" else _SPARE_ATTEMPTS
    attempts = len(turns) + spare
    return Life(number, story, task, turns, attempts, abort, rng.getrandbits(32))


def _quick(rng: random.Random) -> str:
    return f"{rng.choice((0.0, 0.0, 0.0, rng.uniform(0, 1.0))):.2f}"


def _drawn(rng: random.Random, weights: dict[str, int]) -> str:  # type: ignore[type-var]
    return rng.choices(list(weights), list(weights.values()))[0]
