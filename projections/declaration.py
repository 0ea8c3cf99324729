"""Names of `refold.projections` under an older path, for domains that import them from here. New code imports the package."""

from refold.projections import BadDeclaration, Entity, Rollup, View, events, key

__all__ = ["BadDeclaration", "Entity", "Rollup", "View", "events", "key"]
