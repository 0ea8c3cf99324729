"""Faults of a read model itself. They are reported in place of rows of another declaration, or of an error that names no model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import sql

from refold.api.http.reads.services import ModelReads
from refold.api.unavailable import NotPrepared, ReadModelFailed
from refold.projections.tables.serving import ServedModel
from refold.streams.errors import DatabaseUnavailable

_VIEW = b"SELECT reason FROM refold.view_faults WHERE (domain, view, fingerprint) = (%s, %s, %s)"
_MODEL = b"""
    SELECT detached_reason FROM refold.builds WHERE (domain, model, status) = (%s, %s, 'serving') AND detached_code <> 'prepared'
"""
# A prepared build is at no fault: processes keep it as fresh as any other.
_OF_DOMAIN = """
    SELECT view, fingerprint, reason FROM refold.view_faults WHERE domain = %s
     UNION ALL
    SELECT model, '', detached_code || ': ' || detached_reason FROM refold.builds
     WHERE domain = %s AND status = 'serving' AND detached_code <> 'prepared'
"""


@asynccontextmanager
async def faults_said(reads: ModelReads, *models: ServedModel) -> AsyncIterator[None]:
    """Wraps a read of models. Raises ReadModelFailed if the declaration of one is at fault, even after a successful read.

    If a view's new declaration cannot be made, the view still shows the old one's rows to processes of the old code.
    """
    try:
        yield
    except NotPrepared:
        for model in models:
            await _refuse_faulty(reads, model)
        raise
    except psycopg.Error as problem:
        views = " or ".join(f"{model.domain}.{model.name}" for model in models if model.reads)
        if not views:
            raise
        said = problem.diag.message_primary or type(problem).__name__
        raise ReadModelFailed(f"{views} cannot be read: {said}") from problem
    for model in models:
        if model.reads:
            await _refuse_faulty(reads, model)


async def domain_faults(reads: ModelReads, domain: str) -> dict[tuple[str, str], str]:
    """Reasons why models and views of a domain fail, by name and a view's fingerprint; empty while Postgres cannot tell."""
    try:
        rows = await reads.fetch(sql.SQL(_OF_DOMAIN), (domain, domain))
    except (NotPrepared, DatabaseUnavailable):
        return {}
    return {(name, fingerprint): reason for name, fingerprint, reason in rows}


async def _refuse_faulty(reads: ModelReads, model: ServedModel) -> None:
    named = (model.domain, model.name, model.fingerprint) if model.reads else (model.domain, model.name)
    try:
        rows = await reads.look_up(_VIEW if model.reads else _MODEL, named)
    except NotPrepared:
        return
    if rows:
        raise ReadModelFailed(f"{model.domain}.{model.name} cannot be made: {rows[0][0]}")
