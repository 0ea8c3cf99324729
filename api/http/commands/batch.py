"""Many commands in one request: read as they arrive, looked up and appended by the chunk, answered in order, in bounded memory.

A line has neither task nor future. A batch waits for the outcomes of its oldest chunk and asks for them by one query after each commit
of the core. When they are there, those of the next chunk usually are too.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from refold.api.error_page import retry_after_of, status_of
from refold.api.http.commands.answer import decided_body, outcome_path
from refold.api.http.commands.batch_line import LineReader
from refold.api.http.commands.batch_text import Text, lines_of
from refold.api.http.commands.outcomes import Outcome
from refold.api.http.commands.request import Intent
from refold.api.http.commands.services import CommandServices
from refold.api.http.wire.problems import problem_body
from refold.api.unavailable import AppendUnknown
from refold.schemas.errors import BadValue, RefoldError
from refold.streams import journal
from refold.streams.domain import Domains
from refold.streams.errors import CommandTooLarge, DeliveryFailed, QueueFull

DEFECT = 500
WINDOW_CHUNKS = 16
"""Most chunks that are appended and not answered; with 128 lines each, this bounds a batch's commands in flight."""
ACK_S = 5.0
_PAUSE_S = 0.005

_log = logging.getLogger(__name__)

LineAnswer = dict[str, Any]
Read = Callable[[int, bytes], Intent]
"""Reads a line, by its number and text. Raises RefoldError."""


@dataclass(slots=True)
class Line:
    """A line from its text to its answer. The command itself is dropped once the producer has it."""

    number: int
    answer: LineAnswer | None = None
    key: bytes = b""
    category: str = ""
    stream: str = ""
    command_id: UUID | None = None
    body_hash: bytes = b""
    acked: bool = False
    problem: RefoldError | None = None

    def take(self, intent: Intent) -> None:
        """Keep the parts of the command that an answer needs."""
        self.key, self.category, self.stream = intent.outcome_key, intent.category, intent.stream
        self.command_id, self.body_hash = intent.command_id, intent.body_hash

    def decide(self, outcome: Outcome) -> None:
        """Answer with the outcome."""
        try:
            self.answer = {"line": self.number, **decided_body(outcome.checked(self.body_hash))}
        except RefoldError as reused:
            self.fail(reused)

    def fail(self, error: RefoldError) -> None:
        """Answer with an error; a defect of ours is logged, as for a whole request."""
        if status_of(error) == DEFECT:
            told = journal.about(error, command_id=self.command_id)
            _log.error("line %d of a batch: %s: %s", self.number, error.code, error.message, exc_info=error, extra=told)
        self.answer = {"line": self.number, **problem_body(error)}
        retry_after = retry_after_of(error)
        if retry_after is not None:
            self.answer["retry_after"] = retry_after

    def leave(self) -> None:
        """Answer that the command is in the log and not decided yet."""
        assert self.command_id is not None
        self.answer = {
            "line": self.number,
            "status": 202,
            "command_id": self.command_id,
            "stream": self.stream,
            "outcome": outcome_path(self.category, self.stream, self.command_id),
            "retry_after": 1,
        }

    def delivered(self, problem: DeliveryFailed | None) -> None:
        """Take Kafka's report; called by the producer's thread."""
        self.acked, self.problem = problem is None, problem


@dataclass(slots=True)
class SentLines:
    """Lines that were appended together, the time of that, and the count of the core's commits before it."""

    lines: list[Line]
    at: float
    commits: int


def lines_by_id(domains: Domains, default_id: Callable[[int], str] | None = None) -> Read:
    """Reads lines as commands; `default_id` gives the id of a line that has none, by its number."""
    reader = LineReader(domains)
    return lambda number, text: reader.read(text, default_id(number) if default_id else None)


class LineBatch:
    """One sender's lines. Once a server is away, the remaining lines are answered so and not sent: later lines must not overtake."""

    def __init__(self, services: CommandServices, wait: float, read: Read | None = None) -> None:
        """`read`: reads a line as a command; by default by its own `id`."""
        self._services, self._wait = services, wait
        self._read_line = read or lines_by_id(services.domains)
        self._away: RefoldError | None = None

    def answers(self, body: AsyncIterator[bytes]) -> AsyncGenerator[list[LineAnswer], None]:
        """The answers to a body of lines, in their order, in pieces."""
        return self.answers_to(lines_of(body))

    async def answers_to(self, texts: AsyncIterator[list[Text]]) -> AsyncGenerator[list[LineAnswer], None]:
        """The answers to lines that come in chunks, in their order, in pieces."""
        chunks: asyncio.Queue[SentLines | None] = asyncio.Queue(WINDOW_CHUNKS)
        reading = asyncio.create_task(self._read(texts, chunks), name="batch")
        try:
            while (chunk := await chunks.get()) is not None:
                async for ready in self._settled(chunk):
                    yield ready
            await reading
        finally:
            reading.cancel()

    async def _read(self, texts: AsyncIterator[list[Text]], chunks: asyncio.Queue[SentLines | None]) -> None:
        try:
            async for some in texts:
                await chunks.put(await self._appended(some))
        except Exception:
            await chunks.put(None)
            raise
        await chunks.put(None)

    async def _appended(self, texts: list[Text]) -> SentLines:
        """Parse, look up, and append the new commands, in order."""
        lines = [Line(number) for number, _ in texts]
        read = [(line, self._parsed(line, text)) for line, (_, text) in zip(lines, texts, strict=True)]
        asked = [(line, intent) for line, intent in read if intent is not None]
        known = await self._known([line.key for line, _ in asked])
        chunk = SentLines(lines, asyncio.get_running_loop().time(), self._services.outcomes.commits())
        for line, intent in asked:
            if line.key in known:
                line.decide(known[line.key])
            else:
                await self._append(line, intent)
        return chunk

    def _parsed(self, line: Line, text: bytes) -> Intent | None:
        try:
            intent = self._read_line(line.number, text)
        except RefoldError as wrong:
            line.fail(wrong)
            return None
        line.take(intent)
        return intent

    async def _known(self, keys: list[bytes]) -> dict[bytes, Outcome]:
        if self._away is not None or not keys:
            return {}
        try:
            return {outcome.key: outcome for outcome in await self._services.outcomes.find_all(keys)}
        except RefoldError as away:
            self._away = away
            return {}

    async def _append(self, line: Line, intent: Intent) -> None:
        while self._away is None:
            try:
                self._services.send_in_batch(intent, line.delivered)
            except QueueFull:
                await asyncio.sleep(_PAUSE_S)
            except (BadValue, CommandTooLarge) as wrong:
                line.fail(wrong)
                return
            except RefoldError as away:
                self._away = away
            else:
                return
        line.fail(self._away)

    async def _settled(self, chunk: SentLines) -> AsyncIterator[list[LineAnswer]]:
        """The chunk's answers, up to the first that is missing."""
        told = 0
        while True:
            ready = told
            while ready < len(chunk.lines) and chunk.lines[ready].answer is not None:
                ready += 1
            if ready > told:
                yield [line.answer for line in chunk.lines[told:ready] if line.answer is not None]
            told = ready
            if told == len(chunk.lines):
                return
            await self._look_again(chunk)

    async def _look_again(self, chunk: SentLines) -> None:
        if self._wait:
            await self._services.outcomes.committed(chunk.commits)
            chunk.commits = self._services.outcomes.commits()
            open_lines = [line for line in chunk.lines if line.answer is None]
            known = await self._found([line.key for line in open_lines])
            for line in open_lines:
                if line.key in known:
                    line.decide(known[line.key])
        else:
            await asyncio.sleep(_PAUSE_S)
        self._conclude(chunk)

    async def _found(self, keys: list[bytes]) -> dict[bytes, Outcome]:
        """The outcomes that are there; none while Postgres is away. The commands are in the log, so their lines wait on, and are pending in the end."""
        try:
            return {outcome.key: outcome for outcome in await self._services.outcomes.find_all(keys)}
        except RefoldError:
            await asyncio.sleep(min(self._wait, 0.25))
            return {}

    def _conclude(self, chunk: SentLines) -> None:
        """Answer those whose append failed and those that have waited long enough."""
        waited = asyncio.get_running_loop().time() - chunk.at
        for line in chunk.lines:
            if line.answer is not None:
                continue
            if line.problem is None and not line.acked and waited >= max(self._wait, ACK_S):
                line.problem = AppendUnknown("Kafka has not acknowledged the command yet")
            if line.problem is not None:
                if not isinstance(line.problem, CommandTooLarge):
                    self._away = line.problem
                line.fail(line.problem)
            elif line.acked and waited >= self._wait:
                line.leave()
