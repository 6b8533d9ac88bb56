"""`python -m service.cli.event_schemas [FOLDER]`: writes the JSON Schemas of all events; refuses to break one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from service.app.event_schemas import LETTER, OUTBOUND, Schema, all_schemas
from service.app.message_schemas import MESSAGES
from service.app.schema_changes import incompatibilities

FOLDER: Final = Path("docs/schemas")


def as_text(schema: Schema) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def breaks(folder: Path) -> list[str]:
    """What the schemas of the code would break for those who hold the files of the folder, as sentences."""
    made = dict(all_schemas())
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.stem not in made:
            found.append(f"{path.stem}: is removed.")
            continue
        is_outbound = path.stem in (*OUTBOUND, *MESSAGES, LETTER)
        said = incompatibilities(json.loads(path.read_text()), made[path.stem], is_outbound=is_outbound)
        found += [f"{path.stem}: {one}" for one in said]
    return found


def write(folder: Path) -> list[str]:
    """Writes the files unless that would break somebody; gives what it would break."""
    found = breaks(folder)
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        for name, schema in all_schemas():
            (folder / f"{name}.json").write_text(as_text(schema))
    return found


def main(arguments: list[str]) -> int:
    """Exit 1 where an event would change in a way that others notice; give it a new type instead."""
    found = write(Path(arguments[0]) if arguments else FOLDER)
    for sentence in found:
        sys.stderr.write(sentence + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
