"""The manual pages: every header has one, on which everything stands that it declares, and the
formatters have nothing to object.

    manual.py SOURCE BUILD COMPILER ...
"""

import re
import shutil

from headers import headers
from outer import attempt, expect, main, say

DECLARED = [r"\bTG_API [^;(]*?\b(\w+)\(", r"^\} (\w+);", r"^typedef struct \w+ (\w+);",
            r"^#define (\w+)", r"^typedef \w+ (\w+)\("]
INNER = re.compile(r"TG_API$|TG_HERE$|TG_DEFAULTS_|TAPEGRAD_|\w+__")
CHECKERS = {"groff": ["groff", "-man", "-Tutf8", "-ww", "-z"],
            "mandoc": ["mandoc", "-Tlint", "-Wwarning"]}


def declared(text):
    """What a header declares for its users, found in another way than docs/man.py does."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("\\\n", "")
    return {name for pattern in DECLARED for name in re.findall(pattern, text, re.M)
            if not INNER.match(name)}


def test(place):
    total = 0
    pages = place.build / "docs"
    for header in headers(place):
        file = place.source / "include" / header
        file = file if file.is_file() else place.build / "include" / header
        page = pages / (header[:-2].replace("/", "_") + ".3")
        expect(page.is_file(), f"{header} has no page {page.name}")
        shown = set(re.findall(r"\w+", page.read_text()))
        missing = declared(file.read_text()) - shown
        expect(not missing, f"{page.name} lacks {', '.join(sorted(missing))}")
        total += len(declared(file.read_text()))
    expect(total > 500, f"only {total} declarations were found")
    say(f"{total} declarations of {len(headers(place))} headers stand on their pages")

    for name, command in CHECKERS.items():
        if not shutil.which(name):
            say(f"not looked at by {name}, which is not installed")
            continue
        for page in sorted(pages.glob("*.3")):
            _, output = attempt([*command, page])
            lines = [line for line in output.splitlines() if "missing date" not in line]
            expect(not lines, f"{name} has objections to {page.name}\n" + "\n".join(lines))
        say(f"{name} has no objections")


if __name__ == "__main__":
    main(test)
