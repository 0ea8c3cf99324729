"""Several processes fold one build: each child reads and decodes some partitions, and hands over partial results.

Invariant: only the command's own process writes, and it flushes rows with the positions of what was handed over. A child that
ends early, whatever ended it, leaves the rest of its share to that process, which folds it as if there had been no child.
"""

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait

from refold.projections.live.member import frames_for
from refold.projections.partials.partial import partial_of
from refold.projections.replay.builder import Builder, Progress
from refold.projections.replay.building import READ_RECORDS, Site
from refold.projections.replay.decoding import Decoding
from refold.projections.replay.fold_log import batch
from refold.projections.replay.other_code import declared_in
from refold.projections.replay.part import Part, part_of
from refold.projections.replay.sampling import Sample
from refold.projections.replay.source import Source
from refold.projections.replay.wanted_columns import wanted_columns
from refold.projections.tables import builds
from refold.projections.tables.declared import declared, types_of
from refold.projections.tables.layout import Layout
from refold.projections.tables.memories import memories_of
from refold.schemas.columns.decoder import ColumnDecoder
from refold.schemas.plurals import counted
from refold.streams.chunk import Place
from refold.streams.domain import Domains, load_domains
from refold.streams.failpoints import failpoint
from refold.streams.postgres.connection import connect
from refold.streams.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """The work of one child: where it begins and ends, and the models that it folds, by their builds' numbers."""

    settings: Settings
    start: Mapping[Place, int]
    upto: Mapping[Place, int]
    models: Mapping[int, tuple[str, str]]
    fingerprints: Mapping[int, str]
    code: str | None
    sample: Sample | None


def fold_shares(site: Site, builder: Builder, source: Source, upto: Mapping[Place, int], progress: Progress) -> None:
    """Fold up to given positions by child processes, as far as they come. The caller folds what they leave.

    Does nothing for one process, and for models that `evolve` or carry values: their rows depend on what was written
    before. Nor for a build apart that goes on after a kill: no child knows the streams that wait for it alone.
    """
    staged = builder.staged
    goes_on = bool(site.apart) and any(source.position.values())
    if site.processes < 2 or goes_on or any(_depends(staging.layout) for staging in staged):
        return
    models = {one.build.number: (one.build.domain, one.build.model) for one in staged}
    fingerprints = {one.build.number: builds.declaration_of(one.build) for one in staged}
    starts = divided(source.position, upto, site.processes)
    whole, done = source.left(upto), 0
    with ExitStack() as open_:
        shares = [Share(site.settings, one, upto, models, fingerprints, site.code, site.sample) for one in starts]
        pipes = [open_.enter_context(_child(share)) for share in shares]
        while pipes:
            for pipe in wait(pipes):
                assert isinstance(pipe, Connection)
                try:
                    part: Part = pipe.recv()
                except (EOFError, OSError):  # it has ended, or was killed
                    pipes.remove(pipe)
                    continue
                failpoint("replay.before-take")
                done += sum(at - builder.position[place] for place, at in part.position.items())
                builder.take(part)
                progress(done, whole)
    source.seek(builder.position)
    builder.flush()
    if left := source.left(upto):
        _log.warning(
            "processes that helped have ended early: this one folds the %s that they left", counted(left, "records")
        )


def _depends(layout: Layout) -> bool:
    return layout.evolves or bool(memories_of(layout))


def divided(position: Mapping[Place, int], upto: Mapping[Place, int], processes: int) -> list[dict[Place, int]]:
    """The places that have records left, divided so that each process has about as many of them."""
    left = {place: upto.get(place, 0) - at for place, at in position.items() if upto.get(place, 0) > at}
    shares: list[dict[Place, int]] = [{} for _ in range(min(processes, len(left)))]
    for place in sorted(left, key=lambda place: (-left[place], place)):
        least = min(shares, key=lambda share: sum(left[one] for one in share))
        least[place] = position[place]
    return shares


@contextmanager
def _child(share: Share) -> Iterator[Connection]:
    """The pipe from a new child. It ends with the block, and by itself when this process is gone."""
    spawn = get_context("spawn")
    ours, its = spawn.Pipe(duplex=False)
    child = spawn.Process(target=fold_share, args=(share, its), name="replay-share", daemon=True)
    child.start()
    its.close()  # so that its end is seen here
    try:
        yield ours
    finally:
        ours.close()
        child.terminate()
        child.join()


def fold_share(share: Share, pipe: Connection) -> None:
    """A child's whole work. Whatever fails here, the command's process meets it too, and says it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command's process, which ends this one
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # the other cores are for the other processes
    try:
        _fold(share, pipe)
    except BrokenPipeError:
        _log.info("the command has ended, so its share ends too")
    except Exception as problem:
        _log.warning("a process that helped ends: %s: %s", type(problem).__name__, problem)


def _fold(share: Share, pipe: Connection) -> None:
    settings = share.settings
    domains = load_domains(settings.domains)
    layouts = _layouts(share, domains)
    with closing(connect(settings.dsn(), application_name="replay-share")) as db:
        wanted = wanted_columns(layouts.values(), domains.catalog)
        decoder = ColumnDecoder(domains.catalog, thin=True, wanted=wanted)
        decoding = Decoding(db, settings.topic_prefix, decoder, types_of(layouts.values()))
        decoding.sample, sampled = share.sample, share.sample is not None
        with closing(
            Source(settings.kafka_servers(), share.start, records=READ_RECORDS, stream_keys=sampled)
        ) as source:
            while source.left(share.upto) and _is_wanted():
                if not (chunks := batch(source, share.upto)):
                    continue
                prepared = decoding.prepare(chunks)
                frames = {number: frames_for(layout, prepared.counted) for number, layout in layouts.items()}
                rows = {number: partial_of(layouts[number], some) for number, some in frames.items() if some}
                failpoint("replay.within-share")
                pipe.send(part_of(prepared.position, [found for _, found in prepared.counted.values()], rows))


def _layouts(share: Share, domains: Domains) -> dict[int, Layout]:
    """The layout of each build. Its fingerprint says whether its declaration is of the configured domains or of the other code."""
    known = [declared(share.settings.domains)]
    if share.code is not None:
        known.append(declared_in(domains, share.code))
    found = {
        number: one.layouts[name]
        for number, name in share.models.items()
        for one in known
        if one.fingerprints.get(name) == share.fingerprints[number]
    }
    if len(found) < len(share.models):
        raise RuntimeError("the code has changed since the command began")
    return found


def _is_wanted() -> bool:
    parent = parent_process()
    return parent is not None and parent.is_alive()
