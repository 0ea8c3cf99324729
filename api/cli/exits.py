"""The exit code with which each error ends a command (docs/cli.md lists the codes)."""

from refold.api import errors as api_errors
from refold.api.access_errors import AccessExtraMissing, DoorOpen, KeyRefused, KeysNotConfigured
from refold.api.embedded import errors as embedded_errors
from refold.api.errors import FileUnreadable
from refold.api.past_errors import ViewNotExplained
from refold.projections.errors import (
    BadDeclaration,
    BadGate,
    BadMemory,
    BadSample,
    BuildBehind,
    BuildInUse,
    BuildMissing,
    BuildOfOtherCode,
    CannotRepair,
    DeclarationDiffers,
    KeyUnfit,
    MomentOpen,
    NotCompared,
    RebuildDiffers,
    RowsLost,
    SnapshotExists,
    SnapshotInvalid,
    UnknownModel,
    ViewInvalid,
)
from refold.schemas.errors import (
    BadUpcaster,
    ContractError,
    FrozenUnreadable,
    RefoldError,
    SchemaCollision,
    SchemaIncompatible,
    SchemaNotFrozen,
)
from refold.streams import errors
from refold.streams.domain_errors import DomainExists, DomainNameInvalid
from refold.streams.exit_codes import DIFFERENT, DONE, FAILED, INTERRUPTED, PRECONDITION, UNREACHABLE, USAGE
from refold.streams.operation import voiding_errors
from refold.streams.operation.dump import errors as dump_errors

__all__ = ["BY_KIND", "DIFFERENT", "DONE", "FAILED", "INTERRUPTED", "PRECONDITION", "UNREACHABLE", "USAGE", "exit_code"]

BY_KIND: dict[type[RefoldError], int] = {
    SchemaIncompatible: DIFFERENT,
    FrozenUnreadable: DIFFERENT,
    FileUnreadable: USAGE,
    api_errors.RowKeyInvalid: USAGE,
    api_errors.FilterInvalid: USAGE,
    api_errors.UnknownParameter: USAGE,
    api_errors.DomainUnknown: USAGE,
    api_errors.ModelUnknown: USAGE,
    ViewNotExplained: USAGE,
    KeyUnfit: USAGE,
    DoorOpen: PRECONDITION,
    AccessExtraMissing: PRECONDITION,
    KeysNotConfigured: PRECONDITION,
    KeyRefused: PRECONDITION,
    DeclarationDiffers: PRECONDITION,
    errors.BadSettings: USAGE,
    errors.UnknownDomain: USAGE,
    errors.DomainInvalid: USAGE,
    DomainNameInvalid: USAGE,
    DomainExists: PRECONDITION,
    ContractError: USAGE,
    BadUpcaster: USAGE,
    SchemaNotFrozen: PRECONDITION,
    SchemaCollision: PRECONDITION,
    errors.NameTaken: USAGE,
    errors.BadReactor: USAGE,
    errors.AddressRefused: PRECONDITION,
    embedded_errors.DataInUse: PRECONDITION,
    embedded_errors.ExtraMissing: PRECONDITION,
    errors.LogRefused: PRECONDITION,
    errors.CategoryUncoded: PRECONDITION,
    errors.NewerRules: PRECONDITION,
    embedded_errors.NoPermission: PRECONDITION,
    errors.Refused: PRECONDITION,
    voiding_errors.VoidUnknown: USAGE,
    voiding_errors.VoidNeedless: PRECONDITION,
    voiding_errors.VoidEvent: PRECONDITION,
    voiding_errors.VoidPassed: PRECONDITION,
    voiding_errors.VoidOtherVersion: PRECONDITION,
    BadDeclaration: USAGE,
    BadGate: USAGE,
    BadSample: USAGE,
    BadMemory: USAGE,
    UnknownModel: USAGE,
    ViewInvalid: USAGE,
    RebuildDiffers: DIFFERENT,
    RowsLost: DIFFERENT,
    NotCompared: DIFFERENT,
    BuildMissing: PRECONDITION,
    SnapshotInvalid: USAGE,
    SnapshotExists: PRECONDITION,
    MomentOpen: PRECONDITION,
    BuildOfOtherCode: PRECONDITION,
    BuildBehind: PRECONDITION,
    CannotRepair: PRECONDITION,
    BuildInUse: PRECONDITION,
    dump_errors.DumpUnsound: DIFFERENT,
    dump_errors.LogDiffers: DIFFERENT,
    dump_errors.DumpOfAnother: PRECONDITION,
    dump_errors.DumpInUse: PRECONDITION,
    dump_errors.LogNotEmpty: PRECONDITION,
    dump_errors.LogInUse: PRECONDITION,
    errors.NotConnected: UNREACHABLE,
    errors.Unreachable: UNREACHABLE,
    embedded_errors.DownloadFailed: UNREACHABLE,
}


def exit_code(error: RefoldError) -> int:
    """The exit code of a command that ends with this error."""
    return next((code for kind, code in BY_KIND.items() if isinstance(error, kind)), FAILED)
