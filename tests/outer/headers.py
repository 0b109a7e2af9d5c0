"""The public headers stand alone: each compiles by itself, without warnings, as C11, C17 and C++17,
tapegrad.hpp as C++17 and C++20; short.h gets on with the system's headers that use the same names;
nested calls compile fast.

    headers.py SOURCE BUILD COMPILER ...
"""

import resource
import shutil

from outer import WARNINGS, attempt, expect, head, include_arguments, main, say

STRICT = [*WARNINGS, "-Wshadow", "-Wconversion"]
NEIGHBOURS = ["math.h", "tgmath.h", "complex.h", "stdlib.h", "strings.h", "sys/select.h"]
CALLS = ["add({}, 1)", "mul(2, {})", "tanh({})", "sum({}, .keep = true)"]
NESTING, SECONDS = 42, 5

# The neighbours' names after short.h: libc's functions for numbers, operations for values.
USES = """double of_numbers(double x, int i);
double of_numbers(double x, int i) { return exp(x) + pow(x, 2.0) + abs(i); }
tg_value of_values(tg_value x);
tg_value of_values(tg_value x) { return exp(pow(abs(x), 2.0)); }
"""

NESTED = """#include <tapegrad.h>
#include <tapegrad/short.h>
tg_value nested(tg_value x);
tg_value nested(tg_value x) { return %s; }
"""


def headers(place):
    """The names by which users include them."""
    roots = place.source / "include", place.build / "include"
    found = {p.relative_to(root).as_posix() for root in roots for p in root.rglob("*.h")}
    modules = {f"tapegrad/{name}.h" for name in
               ("checkpoint", "data", "nn", "ops", "optim", "plot", "program", "short")}
    expect({"tapegrad.h"} | modules <= found,
           f"some headers are missing, there are only {', '.join(sorted(found))}")
    return sorted(found)


def cxx(compiler):
    """The C++ compiler that belongs to a C compiler, or None."""
    *before, last = compiler
    directory, slash, name = last.rpartition("/")
    for c, cpp in ("clang", "clang++"), ("gcc", "g++"), ("cc", "c++"):
        if c in name:
            found = directory + slash + name.replace(c, cpp)
            return [*before, found] if shutil.which(found) else None
    return None


def compiles(place, compiler, name, text, what, how="-fsyntax-only"):
    """The text must compile; what says what it is."""
    (place.scratch / name).write_text(text)
    arguments = include_arguments(place.source, place.build)
    status, output = attempt([*compiler, *STRICT, how, *arguments, name], cwd=place.scratch)
    expect(status == 0, f"{what}: {' '.join(compiler)} has objections\n{head(output)}")


def each_alone(place, compiler, name, which):
    for header in which:
        include = f"#include <{header}>\n"
        end = "extern int not_empty;\n"
        compiles(place, compiler, name, include + end, f"{header} alone")
        compiles(place, compiler, name, include + include + end, f"{header} included twice")


def short_after(place, neighbours):
    """In GNU mode: -std=c17 would hide part of what the neighbours declare."""
    names = [*neighbours, "tapegrad.h", "tapegrad/short.h"]
    text = "".join(f"#include <{name}>\n" for name in names) + USES
    compiles(place, [*place.compiler, "-std=gnu17"], "short.c", text,
             f"short.h after {', '.join(neighbours)}")


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def nested_calls(place):
    call = "x"
    for i in range(NESTING):
        call = CALLS[i % len(CALLS)].format(call)
    before = cpu_seconds()
    what = f"{NESTING} nested calls"
    compiles(place, [*place.compiler, "-std=c17", "-O2"], "nested.c", NESTED % call, what, how="-S")
    used = cpu_seconds() - before
    expect(used < SECONDS, f"{what} take {used:.1f} s to compile, more than {SECONDS} s")
    say(f"{what} compile in {used:.2f} s")


def test(place):
    every = headers(place)
    for standard in "c11", "c17":
        each_alone(place, [*place.compiler, f"-std={standard}"], "alone.c", every)
    say(f"{len(every)} headers compile alone as C11 and C17")
    if cxx(place.compiler):
        each_alone(place, [*cxx(place.compiler), "-std=c++17"], "alone.cpp",
                   [*every, "tapegrad.hpp"])
        each_alone(place, [*cxx(place.compiler), "-std=c++20"], "alone.cpp", ["tapegrad.hpp"])
        say(f"and with tapegrad.hpp as C++17, it as C++20 too, with {cxx(place.compiler)[-1]}")
    else:
        say("not tried as C++: there is no such compiler")
    for neighbour in NEIGHBOURS:
        short_after(place, [neighbour])
    short_after(place, NEIGHBOURS)
    say(f"short.h after {', '.join(NEIGHBOURS)}: their names still take numbers")
    nested_calls(place)


if __name__ == "__main__":
    main(test)
