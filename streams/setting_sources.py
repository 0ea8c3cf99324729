"""Where settings come from: refold.toml, REFOLD_* variables, and files named by REFOLD_*_FILE; later sources win."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PREFIX = "REFOLD_"
FILE_SUFFIX = "_FILE"
CONFIG_VARIABLE = "REFOLD_CONFIG"
DEFAULT_CONFIG = "refold.toml"


def read(environ: Mapping[str, str], settings: Collection[str]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Values of the known `settings`, their origins, and the faults found; later sources win."""
    values, origins, faults = _read_toml(environ, settings)
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        from_file = name.removesuffix(FILE_SUFFIX.lower())
        if name in settings:
            values[name], origins[name] = text, f"environment ({variable})"
        elif from_file in settings:
            try:
                values[from_file] = Path(text).read_text().strip()
            except OSError as error:
                faults.append(f"{variable}: {text} cannot be read ({error.strerror})")
            except ValueError:
                faults.append(f"{variable}: {text} cannot be read (it is not UTF-8 text)")
            origins[from_file] = f"file ({variable})"
        else:
            faults.append(f"{variable}: there is no such setting")
    return values, origins, faults


def _read_toml(
    environ: Mapping[str, str], settings: Collection[str]
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    named = environ.get(CONFIG_VARIABLE)
    path = Path(named or DEFAULT_CONFIG)
    if not named and not path.exists():
        return {}, {}, []
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        return {}, {}, [f"{path} cannot be read ({error.strerror})"]
    except UnicodeDecodeError:
        return {}, {}, [f"{path} cannot be read (it is not UTF-8 text)"]
    except ValueError as error:
        return {}, {}, [f"{path}: {error}"]
    unknown = [f"{path}: {name}: there is no such setting" for name in values if name not in settings]
    known = {name: value for name, value in values.items() if name in settings}
    if isinstance(known.get("domain_path"), list):
        known["domain_path"] = [path.parent / str(folder) for folder in known["domain_path"]]
    if isinstance(known.get("kafka_config"), str):
        known["kafka_config"] = path.parent / known["kafka_config"]
    return known, dict.fromkeys(known, str(path)), unknown
