"""The public headers stand alone: each compiles by itself, without warnings, as C and as C++; short.h gets on with the
headers of the system that use the same names; deeply nested calls compile fast.

    headers.py SOURCE BUILD COMPILER ...
"""

import resource
import shutil

from outer import WARNINGS, attempt, expect, main, say

STRICT = [*WARNINGS, "-Wshadow", "-Wconversion"]
NEIGHBOURS = ["math.h", "tgmath.h", "complex.h", "stdlib.h", "strings.h", "sys/select.h"]
NESTING, SECONDS = 42, 5

# What the neighbours' names mean after short.h: libc's and libm's functions for numbers, operations for values.
USES = """double of_numbers(double x, int i);
tg_value of_values(tg_value x);
double of_numbers(double x, int i) { return exp(x) + pow(x, 2.0) + abs(i); }
tg_value of_values(tg_value x) { return exp(pow(abs(x), 2.0)); }
"""


def headers(place):
    """The names by which users include them, from both roots."""
    roots = place.source / "include", place.build / "include"
    found = {str(p.relative_to(root)) for root in roots for p in root.rglob("*.h")}
    expect({"tapegrad.h", "tapegrad/ops.h", "tapegrad/short.h"} <= found, f"headers are missing, there are only {sorted(found)}")
    return sorted(found)


def compiles(place, compiler, name, text, how="-fsyntax-only"):
    (place.scratch / name).write_text(text)
    return attempt([*compiler, *STRICT, how, f"-I{place.source}/include", f"-I{place.build}/include",
                    name], cwd=place.scratch)


def each_alone(place, compiler, name):
    for header in headers(place):
        status, output = compiles(place, compiler, name, f"#include <{header}>\nextern int not_empty;\n")
        expect(status == 0, f"{header} does not compile alone: {' '.join(compiler)}\n{output}")
        status, output = compiles(place, compiler, name, f"#include <{header}>\n#include <{header}>\nextern int not_empty;\n")
        expect(status == 0, f"{header} cannot be included twice: {' '.join(compiler)}\n{output}")


def cxx(compiler):
    """The C++ compiler that belongs to a C compiler, or None."""
    *before, last = compiler
    directory, slash, name = last.rpartition("/")
    for c, cpp in ("clang", "clang++"), ("gcc", "g++"), ("cc", "c++"):
        if c in name:
            found = directory + slash + name.replace(c, cpp)
            return [*before, found] if shutil.which(found) else None
    return None


def short_after(place, neighbours):
    includes = "".join(f"#include <{n}>\n" for n in [*neighbours, "tapegrad.h", "tapegrad/short.h"])
    status, output = compiles(place, [*place.compiler, "-std=gnu17"], "neighbours.c", includes + USES)
    expect(status == 0, f"short.h after {', '.join(neighbours)} does not compile\n{output}")


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def nested(place):
    calls = "x"
    for i in range(NESTING):
        calls = (f"add({calls}, 1)", f"mul(2, {calls})", f"tanh({calls})", f"sum({calls}, .keep = true)")[i % 4]
    text = f"#include <tapegrad.h>\n#include <tapegrad/short.h>\ntg_value deep(tg_value x);\n" \
           f"tg_value deep(tg_value x) {{ return {calls}; }}\n"
    before = cpu_seconds()
    status, output = compiles(place, [*place.compiler, "-std=c17"], "nested.c", text, how="-S")
    used = cpu_seconds() - before
    expect(status == 0, f"{NESTING} nested calls do not compile\n{output}")
    expect(used < SECONDS, f"{NESTING} nested calls take {used:.1f} s to compile, more than {SECONDS} s")
    say(f"{NESTING} nested calls compile in {used:.2f} s")


def test(place):
    each_alone(place, [*place.compiler, "-std=c17"], "alone.c")
    say(f"{len(headers(place))} headers compile alone as C")
    if cxx(place.compiler):
        each_alone(place, [*cxx(place.compiler), "-std=c++17"], "alone.cpp")
        say(f"and as C++, with {cxx(place.compiler)[-1]}")
    else:
        say("not tried as C++: no such compiler")
    for neighbour in NEIGHBOURS:
        short_after(place, [neighbour])
    short_after(place, NEIGHBOURS)
    say(f"short.h compiles after {', '.join(NEIGHBOURS)}, and their names keep their meaning for numbers")
    nested(place)


if __name__ == "__main__":
    main(test)
