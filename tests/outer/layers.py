"""The structure of the code: who includes whom, who allocates, who prints, how long functions are,
what there is that changes outside every tape. ARCHITECTURE.md says why.

    layers.py SOURCE BUILD COMPILER ...
"""

import re

from outer import expect, main, option, run, say

# The rooms of src from the lowest up, with the public headers that each may include.
PUBLIC = {"base": {"value.h"},
          "kernels": {"value.h"},
          "ops": {"value.h", "attributes.h", "table.h", "custom.h"},
          "tape": {"value.h", "attributes.h", "table.h", "tape.h", "inline.h", "ops.h",
                   "derivatives.h", "custom.h", "factors.h"},
          "program": {"value.h", "attributes.h", "table.h", "tape.h", "inline.h", "ops.h", "program.h", "call.h"},
          "expr": {"value.h", "attributes.h", "table.h", "tape.h", "inline.h", "ops.h", "expr.h"},
          "debug": {"value.h", "attributes.h", "table.h", "tape.h", "inline.h", "ops.h", "check.h",
                    "custom.h", "debug.h", "derivatives.h"},
          "check": {"value.h", "attributes.h", "table.h", "tape.h", "inline.h", "ops.h", "check.h",
                    "derivatives.h", "debug.h"}}
ROOMS = list(PUBLIC)

# Modules above the engine: public headers and their own; they allocate for themselves.
MODULES = ("nn", "optim", "data", "plot", "checkpoint")

# Headers that the generator makes.
GENERATED = {"kernels": {"maps_index.h", "maps.inl"},
             "ops": {"codes.h", "table.inl", "derive.h", "map_derive.inl"},
             "tape": {"codes.h", "maps.inl", "api.inl", "map_api.inl"},
             "program": {"codes.h", "parts.inl"},
             "debug": {"codes.h"}}

# Below, but not to be entered: check needs memory, and for the rest the public functions.
CLOSED = {"check": {"kernels", "ops", "tape", "program", "expr", "debug"},
          "debug": {"kernels", "program", "expr"}}

# Programs that the build runs, no part of the library: they allocate, print and exit.
GENERATORS = {"src/ops/generate.c", "src/program/embed.c"}

ALLOCATION = (r"\b(?:malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|free"
              r"|mmap|munmap)\s*\(")
OUTPUT = (r"\b(?:exit|_Exit|quick_exit|abort|assert|printf|vprintf|puts|putchar|perror)\s*\("
          r"|\bstdout\b")
ERRORS = r"\b(?:fprintf|vfprintf|fputs|fputc|fwrite|write)\s*\(|\bstderr\b"
UNFINISHED = rf"\b(?:{'TO'}{'DO'}|{'FIX'}{'ME'}|{'X' * 3})\b"
WRITES_FILES = {"src/data/write.c", "src/plot/file.c",  # to descriptors that they have opened
                "src/plot/meter.c", "src/nn/look.c",     # to the file that the caller gives
                "src/program/print.c", "src/debug/explain.c", "src/debug/print.c", "src/program/emit.c",
                "src/check/capsule.c"}                   # to the file that the caller names
LONGEST = 60

# All that is neither constant nor on a tape.
STATE = {("tape_error.c", "process"),         # the process-wide error handler
         ("tape_record.c", "tg__op_table"),   # the op table in use: tests put a broken rule in it
         ("kernels_select.c", "chosen"),      # the kernels for this machine, chosen once
         ("kernels_select.c", "once")}
WRITABLE = r"\.(?:t?data(?!\.rel\.ro)|t?bss)|\*COM\*"  # sections

# ---- reading C ----------------------------------------------------------------------------------


def sources(place, *roots):
    paths = [path for root in roots for path in (place.source / root).rglob("*")]
    found = sorted(path for path in paths if path.suffix in {".c", ".h", ".inl"})
    expect(found, f"there are no sources in {', '.join(roots)}")
    return found


def blank(text, strings=True):
    """The text with its comments, and its strings, made blank; lines stay where they are."""
    def blanked(found):
        comment = found[0].startswith("/")
        return re.sub(r"[^\n]", " ", found[0]) if comment or strings else found[0]
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blanked, text, flags=re.S)


def refuse(place, paths, pattern, why):
    """None of the files may have this in its code."""
    for path in paths:
        text = blank(path.read_text())
        found = re.search(pattern, text)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
        expect(not found, f"{place.name(path)}:{line}: {found and found[0]}: {why}")


def includes(path):
    """What a file includes in quotes, and what of tapegrad."""
    text = blank(path.read_text(), strings=False)
    found = re.findall(r'^\s*#\s*include\s*(?:"([^"]*)"|<(tapegrad[^>]*)>)', text, re.M)
    return [quoted or angled for quoted, angled in found]


def functions(text):
    """Name, first line and length of each function. Its braces stand at the start of a line."""
    lines = blank(text).split("\n")
    first = last = 0
    for number, line in enumerate(lines):
        if line == "{":
            first = number
            while first > 0 and lines[first - 1].strip() and lines[first - 1][0] not in "#}":
                first -= 1
            last = number
        elif line == "}" and last:
            name = re.search(r"(\w+)\s*\(", " ".join(lines[first:last]))
            yield name[1] if name else "?", first + 1, number - first + 1
            last = 0


# ---- rules --------------------------------------------------------------------------------------


def may_include(room, name):
    owner, slash, rest = name.partition("/")
    if owner.startswith("tapegrad"):
        return rest in PUBLIC[room]
    if not slash:
        return name in GENERATED.get(room, ())
    return owner in ROOMS[:ROOMS.index(room) + 1] and owner not in CLOSED.get(room, ())


def is_module(place, path):
    return place.name(path).startswith(tuple(f"src/{module}/" for module in MODULES))


def modules(place):
    return [path for path in sources(place, "src") if is_module(place, path)]


def engine(place):
    return [path for path in sources(place, "src")
            if place.name(path) not in GENERATORS and not is_module(place, path)]


def check_includes(place):
    library = engine(place)
    for path in library:
        room = path.relative_to(place.source / "src").parts[0]
        expect(room in ROOMS, f"src/{room} is a room that this test does not know")
        for name in includes(path):
            expect(may_include(room, name), f"{place.name(path)}: {room} may not include {name}")
    # What walks the op table, as the tests do, is compiled against the inner headers.
    inner = {"bench/ops.c", "bench/kernels.c", "bench/families.c", "bench/families.h",
             "bench/batch_expert.c",  # over the library's own tanh, exp and log
             "bench/memory.c"}  # what programs hold
    outside = [path for path in sources(place, "examples", "bench")
               if place.name(path) not in inner and not place.name(path).startswith("bench/plain")]
    outside += modules(place)
    for path in outside:
        for name in includes(path):
            folders = [path.parent] if is_module(place, path) else [path.parent, path.parent.parent]
            own = any((folder / name).is_file() for folder in folders)
            expect(own or name.startswith("tapegrad"),
                   f"{place.name(path)}: {name} is neither a public header nor its own")
    say(f"{len(library)} files keep to their rooms, {' <- '.join(ROOMS)}; "
        f"{len(outside)} outside to public headers")


def check_calls(place):
    library = engine(place) + modules(place)
    above = [path for path in engine(place) if not place.name(path).startswith("src/base/")]
    silent = [path for path in library
              if place.name(path) not in {"src/tape/error.c"} | WRITES_FILES]
    refuse(place, above, ALLOCATION, "only src/base allocates")
    refuse(place, library, OUTPUT, "the library neither ends the program nor prints")
    refuse(place, [place.source / name for name in WRITES_FILES], r"\bstderr\b|STDERR_FILENO",
           "only src/tape/error.c writes to standard error")
    refuse(place, silent, ERRORS, "only src/tape/error.c writes to standard error")
    say("of the engine only src/base allocates, only src/tape/error.c prints, nothing ends the program")


def check_finished(place):
    paths = sources(place, "src", "include", "examples", "bench", "tests")
    for pattern in "*.md", "docs/*.md", "**/meson.build", "tests/outer/*.py", "scripts/*", "*/run":
        paths += place.source.glob(pattern)
    for path in paths:
        for number, line in enumerate(path.read_text().split("\n"), 1):
            expect(not re.search(UNFINISHED, line),
                   f"{place.name(path)}:{number}: unfinished: {line.strip()}")
    say(f"nothing in {len(paths)} files is marked as unfinished")


def check_lengths(place):
    lengths = []
    for path in sources(place, "src", "examples", "bench", "tests"):
        text = path.read_text()
        lines = text.split("\n")
        for name, line, length in functions(text):
            lengths.append(length)
            explained = line > 1 and lines[line - 2].endswith("*/")
            kernel = place.name(path).startswith("src/kernels/")
            expect(length <= LONGEST or explained or kernel,
                   f"{place.name(path)}:{line}: {name} has {length} lines, more than {LONGEST}, "
                   "and no comment before it says why")
    lengths.sort()
    expect(lengths, "no functions were found")
    say(f"{len(lengths)} functions, the median has {lengths[len(lengths) // 2]} lines")


def writable(archive):
    """(file, variable) for everything in an archive of objects that lies in writable memory."""
    member = ""
    for line in run(["nm", "--format=sysv", archive]).splitlines():
        header = re.match(r"Symbols from .*\[(.*)\.o\]:", line)
        member = header[1].rpartition("/")[2] if header else member
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 7 and fields[3] == "OBJECT" and re.match(WRITABLE, fields[6]):
            yield member, re.sub(r"\.\d+$", "", fields[0]).rpartition(".")[2]


def check_state(place):
    if option(place.build, "b_lto"):
        say("state outside tapes: not looked for, these objects are no machine code yet")
        return
    archives = [path for path in (place.build / "src").rglob("*.a") if path.name != "libtapegrad.a"]
    found = {entry for archive in archives for entry in writable(archive)
             if not entry[1].startswith("__gcov")}
    expect(("tape_error.c", "process") in found, f"no library is to be found in {place.build}/src")
    for file, name in sorted(found - STATE):
        expect(False, f"{file}: {name} is state outside every tape, and not one that is known here")
    say(f"state outside tapes: {', '.join(sorted(name for _, name in found))}")


def test(place):
    check_includes(place)
    check_calls(place)
    check_finished(place)
    check_lengths(place)
    check_state(place)


if __name__ == "__main__":
    main(test)
