"""How bad it gets in one schedule: the chances of each fault, and the dice that decide."""

from __future__ import annotations

import random
from enum import Enum, auto
from typing import NamedTuple

from google.api_core.exceptions import from_http_status

from bqdump.adapters.google import errors
from bqdump.core.errors import BqdumpError
from bqdump.ports.warehouse import JobError


class Fate(Enum):
    """What becomes of one request."""

    ANSWERED = auto()
    LOST = auto()  # it never arrived
    LATE = auto()  # the caller was told that it failed, and it arrives some time afterwards
    UNANSWERED = auto()  # it was carried out, and the answer was lost
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()


class Damage(Enum):
    """What happens to the body of an answer."""

    FLIPPED = auto()  # it arrives with another bit
    CUT = auto()  # it breaks off in the middle


class Weather(NamedTuple):
    """Chances of one schedule: what happens to requests, to processes, to jobs.

    leftovers: a job that fails has written files. losing: a job that succeeds has left rows out. unlisted: a listing
    of jobs leaves one out. expiring: a read session ends while a stream is asked for. rewriting: what
    another run has staged is written anew. tries: how often the retrying
    wrappers ask; few, so that errors reach the flow. shuffled: the answers of a batch come in another order. damaged: a
    body breaks off or arrives with another bit, which documents show by their checksums, and parts of files do not.
    """

    lost: float
    late: float
    unanswered: float
    crash: float
    crashes: int
    stall: float
    job_repeatable: float
    job_permanent: float
    job_quota: float
    leftovers: float
    losing: float
    unlisted: float
    tries: int
    expiring: float
    rewriting: float
    shuffled: float = 0.0
    damaged: float = 0.0


# What does not fit into a note is cut, by its bytes.
MESSAGES = (
    "something is wrong for good",
    "表が見つかりません。" * 1000,
    "\x00\x1b[2J" * 2000,
    "🙈" * 3000,
    '"\\' * 3000,
)
CALM = Weather(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0)


def forecast(rng: random.Random) -> Weather:
    """The weather of a schedule: fine, rough, or dangerous in one way or another."""
    if rng.random() < 0.1:
        return CALM
    rate = rng.choice((0.0, 0.01, 0.03, 0.1))
    return Weather(
        lost=rate * rng.random(),
        late=rate * rng.random() / 2,
        unanswered=rate * rng.random(),
        crash=rng.choice((0.0, 0.005, 0.02, 0.05)),
        crashes=rng.randint(1, 6),
        stall=rng.choice((0.0, 0.002, 0.01)),
        job_repeatable=rng.choice((0.0, 0.0, 0.1, 0.5)),
        job_permanent=rng.choice((0.0, 0.0, 0.0, 0.1)),
        job_quota=rng.choice((0.0, 0.0, 0.0, 0.1)),
        leftovers=rng.choice((0.0, 0.5, 1.0)),
        losing=rng.choice((0.0, 0.0, 0.0, 0.2)),
        unlisted=rng.choice((0.0, 0.0, 0.5)),
        tries=rng.choice((2, 3, 8)),
        expiring=random.Random(str(rng.getstate())).choice((0.0, 0.0, 0.05, 0.2)),
        shuffled=random.Random(f"{rng.getstate()} shuffled").choice((0.0, 0.0, 0.5)),
        damaged=random.Random(f"{rng.getstate()} changed").choice((0.0, 0.0, 0.1)),
        rewriting=random.Random(f"{rng.getstate()} rewriting").choice((0.0, 0.0, 0.5)),
    )


class Dice:
    """Every decision about latency and faults. After `clear_up` nothing fails and nothing is slow."""

    def __init__(self, seed: str, weather: Weather) -> None:
        self.rng = random.Random(seed)
        self.weather, self._crashes = weather, weather.crashes
        # Of their own, so that the other faults of a schedule stay where they are.
        self._answers, self._bodies = random.Random(f"{seed} answers"), random.Random(f"{seed} bodies")
        self._damaged: set[tuple[str, int]] = set()

    def shuffles(self) -> bool:
        """Whether the answers of this batch come in another order."""
        return self._answers.random() < self.weather.shuffled

    def damage(self, name: str, start: int, *, of_file: bool) -> Damage | None:
        """What happens to the body of this answer; something happens to one reading of each place at most."""
        dice = self._bodies if of_file else self._answers
        if (name, start) in self._damaged or dice.random() >= self.weather.damaged:
            return None
        self._damaged.add((name, start))
        return self._bodies.choice(tuple(Damage))

    def refusal(self, operation: str, subject: str) -> BqdumpError:
        """What a request that may be repeated fails with, by its status as Google's client raises it."""
        error = from_http_status(self._answers.choice((408, 429, 500, 502, 503, 504)), "it did not arrive")
        return errors.translate(error, operation, subject)

    def clear_up(self) -> None:
        """From now on every request is answered, and every job succeeds where it can."""
        self.weather = CALM

    def latency(self) -> float:
        """Seconds that a request or its answer takes; often nothing, seldom a stall."""
        roll = self.rng.random()
        if roll < self.weather.stall:
            return self.rng.uniform(10.0, 300.0)
        if roll < 0.4:
            return 0.0
        return self.rng.uniform(0.01, 0.3) if roll < 0.93 else self.rng.uniform(0.3, 6.0)

    def fate(self) -> Fate:
        """What becomes of the next request."""
        weather, roll = self.weather, self.rng.random()
        for chance, fate in ((weather.lost, Fate.LOST), (weather.late, Fate.LATE),
                             (weather.unanswered, Fate.UNANSWERED)):  # fmt: skip
            if roll < chance:
                return fate
            roll -= chance
        if roll < weather.crash and self._crashes:
            self._crashes -= 1
            return self.rng.choice((Fate.CRASH_BEFORE, Fate.CRASH_AFTER))
        return Fate.ANSWERED

    def kill_after(self) -> float | None:
        """After how many seconds a new process is killed, whatever it does then; None: it is not."""
        if self.weather.crash and self._crashes and self.rng.random() < 0.1:
            self._crashes -= 1
            return self.rng.expovariate(0.2)
        return None

    def delivered(self) -> bool:
        """Whether a request whose caller has gone away is carried out all the same."""
        return self.rng.random() < 0.5

    def job_error(self) -> JobError | None:
        """What a job fails with."""
        weather, roll = self.weather, self.rng.random()
        if roll < weather.job_repeatable:
            return JobError(self.rng.choice(("backendError", "rateLimitExceeded", "tableUnavailable")), "try again")
        if roll < weather.job_repeatable + weather.job_permanent:
            return JobError("invalid", self.rng.choice(MESSAGES))
        if roll < weather.job_repeatable + weather.job_permanent + weather.job_quota:
            return JobError("quotaExceeded", "enough for today")
        return None
