"""The pages do what they say: every program, snippet and command in the Markdown files is run, and
what it prints is compared with the text block that follows.

    docs.py SOURCE BUILD COMPILER ...             C and C++ blocks, against the library in BUILD
    docs.py --commands SOURCE BUILD COMPILER ...  shell blocks, in a scratch copy of the tree

A C block with main is a program, model.c. One with rows of the op table is compiled as a family
file. Any other is compiled as the inside of a function with a tape t and the parameters that a
comment before it names, <!-- given: tg_value x, const double *x0 -->, or else by itself. A C++
block is a program, model.cpp; those of CMake, Meson and wrap files are install.py's.
In a text block ... stands for anything in a line, and alone on a line for any lines.
A block of commands with git clone starts beside the copy of the tree, any other inside.
"""

import difflib
import os
import re
import shlex
import sys

from headers import cxx
from outer import (WARNINGS, Failure, attempt, copy_tree, expect, head, include_arguments,
                   library_arguments, main, say, tail)

LANGUAGES = {"c", "cpp", "sh", "text", "mermaid", "make", "cmake", "meson", "ini"}
NESTED = "TAPEGRAD_TEST_DOCS"  # set for the commands, which may run the tests again

# Linked to each program, so that what it and the library print comes in order, as on a terminal.
BY_LINE = """#include <stdio.h>
__attribute__((constructor)) static void by_line(void) { setvbuf(stdout, NULL, _IOLBF, 0); }
"""

BEFORE_SNIPPET = """#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tapegrad.h>
#include <tapegrad/short.h>
"""

# ---- reading pages ------------------------------------------------------------------------------


class Block:
    """A fenced block: where it stands, its text, the parameters given, what it has to print."""

    def __init__(self, where, language, text, given):
        self.where, self.language, self.text, self.given = where, language, text, given
        self.prints = None


def read_block(where, fence, lines):
    """The lines of a block, up to its closing fence."""
    text = ""
    for _, line in lines:
        if line.strip() == "```":
            return text
        text += line.removeprefix(fence[1]) + "\n"
    raise Failure(f"{where}: a block without an end")


def blocks_of(page, text):
    """The blocks of a page. A text block that follows another block is what that one prints."""
    blocks, given, lines = [], "", iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        comment = re.fullmatch(r"\s*<!-- given: (.*) -->\s*", line)
        fence = re.fullmatch(r"(\s*)```\s*(\S*).*", line)
        given = comment[1] if comment else given
        if fence:
            where, language = f"{page}:{number}", fence[2]
            expect(language in LANGUAGES, f"{where}: a block in the language '{language}': "
                                          f"it is none of {', '.join(sorted(LANGUAGES))}")
            block = Block(where, language, read_block(where, fence, lines), given)
            if blocks and language == "text":
                blocks[-1].prints = block.text
            blocks.append(block)
            given = ""
    return blocks


def all_blocks(source, language):
    paths = [source / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING")]
    paths += sorted(source.glob("docs/*.md"))
    blocks = []
    for path in filter(lambda path: path.exists(), paths):
        blocks += blocks_of(path.relative_to(source).as_posix(), path.read_text())
    return [block for block in blocks if block.language == language]


def pattern_of(line):
    if line.strip() == "...":
        return "(?:.*\n)*?"
    return ".*".join(re.escape(part) for part in line.split("...")) + "\n"


def compare(block, output):
    """Holds the output against the text block, if there is one."""
    if block.prints is None:
        return
    pattern = "".join(pattern_of(line) for line in block.prints.rstrip("\n").split("\n"))
    if not re.fullmatch(pattern, output.rstrip("\n") + "\n"):
        difference = difflib.unified_diff(block.prints.splitlines(), output.splitlines(),
                                          "the page", "the output", lineterm="")
        raise Failure(f"{block.where}: the page says otherwise\n" + "\n".join(difference))


# ---- C ------------------------------------------------------------------------------------------


def compiles(place, source, arguments, where):
    """The compiler's status and messages."""
    (where / "model.c").write_text(source)
    return attempt([*place.compiler, "-std=c17", *WARNINGS, "model.c", *arguments], cwd=where)


def compiles_cpp(place, source, arguments, where):
    (where / "model.cpp").write_text(source)
    command = [*cxx(place.compiler), "-std=c++17", *WARNINGS, "model.cpp", "-x", "c++"]
    return attempt([*command, *arguments], cwd=where)


def program(place, block, where):
    (where / "examples").symlink_to(place.source / "examples")  # some read its data
    (where / "by_line.c").write_text(BY_LINE)
    arguments = ["by_line.c", "-o", "model", *library_arguments(place.source, place.build)]
    compiled = compiles_cpp if block.language == "cpp" else compiles
    status, output = compiled(place, block.text, arguments, where)
    expect(status == 0, f"{block.where}: this program does not compile\n{head(output)}")
    status, output = attempt([where / "model"], cwd=where, timeout=60)
    if "this tapegrad was built without zlib" in output:
        say(f"{block.where}: not compared, it reads a compressed file")
        return
    if "gnuplot was not found" in output:
        say(f"{block.where}: not compared, it draws with gnuplot, which is not installed")
        return
    expect(status == 0, f"{block.where}: this program ends with status {status}\n{tail(output)}")
    compare(block, output)


def rows(place, block, where):
    """Rows of the op table; that they work, add_op.py sees."""
    arguments = ["-fsyntax-only", "-Wno-unknown-warning-option", "-Wno-override-init",
                 "-Wno-initializer-overrides", *include_arguments(place.source, place.build),
                 f"-I{place.source}/src", f"-I{place.build}/src/ops"]
    status, output = compiles(place, '#include "ops/op.h"\n' + block.text, arguments, where)
    expect(status == 0, f"{block.where}: these rows do not compile\n{head(output)}")


def snippet(place, block, where):
    arguments = ["-fsyntax-only", "-Wno-unused", *include_arguments(place.source, place.build)]
    prototype = f"void snippet(tg_tape *t{', ' if block.given else ''}{block.given})"
    function = f"{prototype};\n{prototype}\n{{\n{block.text}}}\n"
    status, output = compiles(place, BEFORE_SNIPPET + function, arguments, where)
    if status != 0:
        by_itself, _ = compiles(place, BEFORE_SNIPPET + block.text, arguments, where)
        expect(by_itself == 0, f"{block.where}: this does not compile, neither in a function with "
                               f"a tape t nor by itself\n{head(output)}")


def kind(block):
    if re.search(r"\bint main\b", block.text):
        return program
    return rows if re.search(r"^TG_[A-Z]+[123]?\(", block.text, re.M) else snippet


def c_blocks(place):
    blocks = all_blocks(place.source, "c")
    if cxx(place.compiler):
        blocks += all_blocks(place.source, "cpp")
    else:
        say("C++ programs are not tried: there is no such compiler")
    for number, block in enumerate(blocks):
        where = place.scratch / str(number)
        where.mkdir()
        kind(block)(place, block, where)
        say(f"{block.where}: {kind(block).__name__}")


# ---- commands -----------------------------------------------------------------------------------


def is_special(place, line):
    """Lines that are not run here: those that run this very test, those that need the network."""
    words = shlex.split(line, comments=True)
    if words in (["tests/run"], [".ci/run"]):
        ci = place.source / ".ci" / "run"
        expect(os.access(place.source / words[0], os.X_OK), f"{words[0]} is not executable")
        expect("tests/run" in ci.read_text(), ".ci/run does not call tests/run")
        return True
    return words[:2] == ["git", "clone"] or "apt-get" in words


def commands(place):
    """Runs the shell blocks in order, all in the same copy of the tree."""
    if NESTED in os.environ:
        sys.exit(77)
    tree = place.scratch / "tapegrad"
    copy_tree(place.source, tree)
    env = {"CC": " ".join(place.compiler), "CI": "true", NESTED: "1",
           "DESTDIR": str(place.scratch / "installed")}  # whatever a page installs stays in here
    for block in all_blocks(place.source, "sh"):
        here = "--prefix=\"$PWD/" in block.text  # it stays here anyway, and is used further on
        every = block.text.rstrip("\n").split("\n")
        lines = [line for line in every if not is_special(place, line)]
        script = "\n".join(["trap 'echo \"status $? from: $BASH_COMMAND\"' ERR", "set -e", *lines])
        beside = any(line.startswith("git clone ") for line in every)
        status, output = attempt(["bash", "-c", script], cwd=tree.parent if beside else tree,
                                 timeout=1800, env={**env, "DESTDIR": ""} if here else env)
        expect(status == 0, f"{block.where}: these commands fail\n{tail(output)}")
        compare(block, output)
        say(f"{block.where}: ran {len(lines)} of {len(every)} commands")


if __name__ == "__main__":
    if sys.argv[1] == "--commands":
        del sys.argv[1]
        main(commands)
    else:
        main(c_blocks)
