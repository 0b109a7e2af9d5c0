"""The pages do what they say: every program, snippet and command in the Markdown files is run, and what it prints is
compared with the text block that follows.

    docs.py SOURCE BUILD COMPILER ...             C blocks, against the library in BUILD
    docs.py --commands SOURCE BUILD COMPILER ...  shell blocks, in a scratch copy of the tree

A C block with main is a program, model.c; one with rows of the op table is compiled as a family file; any other as the
inside of a function that has a tape t, and the parameters that a comment before it names:
<!-- given: tg_value x, const double *x0 -->. In a text block, ... stands for the rest of a line, and alone on a line
for any lines. A block of commands with git clone in it starts beside the copy of the tree, any other inside.
"""

import difflib
import os
import re
import shlex
import sys

from outer import WARNINGS, Failure, attempt, copy_tree, expect, library_arguments, main, say

LANGUAGES = {"c", "sh", "text", "mermaid", "make"}
# Prints of the program and of the library in the order in which they are made, as on a terminal.
BY_LINE = ("#include <stdio.h>\n"
           "__attribute__((constructor)) static void by_line(void) { setvbuf(stdout, NULL, _IOLBF, 0); }\n")
SNIPPET = """#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tapegrad.h>
#include <tapegrad/short.h>
"""
NESTED = "TAPEGRAD_TEST_DOCS"  # set for the commands, which may run the tests again


class Block:
    def __init__(self, page, line, language, text, given):
        self.where, self.language, self.text, self.given = f"{page}:{line}", language, text, given
        self.prints = None  # the text block that follows


def blocks_of(page, text):
    """The fenced blocks of a page. A text block that follows another block is what that one prints."""
    blocks, given, lines = [], "", iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        comment = re.fullmatch(r"\s*<!-- given: (.*) -->\s*", line)
        fence = re.fullmatch(r"(\s*)```\s*(\S*).*", line)
        if comment:
            given = comment[1]
        if not fence:
            continue
        inside = []
        for _, line in lines:
            if line.strip() == "```":
                break
            inside.append(line.removeprefix(fence[1]))
        else:
            raise Failure(f"{page}:{number}: a block without an end")
        expect(fence[2] in LANGUAGES, f"{page}:{number}: a block in the language '{fence[2]}': "
                                      f"neither run nor one of {', '.join(sorted(LANGUAGES))}")
        block = Block(page, number, fence[2], "".join(l + "\n" for l in inside), given)
        if blocks and block.language == "text":
            blocks[-1].prints = block.text
        blocks.append(block)
        given = ""
    return blocks


def pages(source):
    names = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in source.glob("docs/*.md"))]
    return [b for name in names if (source / name).exists() for b in blocks_of(name, (source / name).read_text())]


def compare(block, output):
    """Holds the output against the text block, if there is one."""
    if block.prints is None:
        return
    pattern = ""
    for line in block.prints.rstrip("\n").split("\n"):
        any_lines = line.strip() == "..."
        pattern += "(?:.*\n)*?" if any_lines else ".*".join(re.escape(part) for part in line.split("...")) + "\n"
    if re.fullmatch(pattern, output.rstrip("\n") + "\n"):
        return
    difference = difflib.unified_diff(block.prints.splitlines(), output.splitlines(), "the page", "the output", lineterm="")
    raise Failure(f"{block.where}: the output is not as the page says\n" + "\n".join(difference))


def compiles(place, source, arguments, where):
    """Whether a text is C without errors and warnings, and what the compiler says."""
    (where / "model.c").write_text(source)
    return attempt([*place.compiler, "-std=c17", *WARNINGS, "model.c", *arguments], cwd=where)


def program(place, block, where):
    (where / "by_line.c").write_text(BY_LINE)
    status, output = compiles(place, block.text, ["by_line.c", "-o", "model", *library_arguments(place.build, place.source)],
                              where)
    expect(status == 0, f"{block.where}: this program does not compile\n{output}")
    status, output = attempt([where / "model"], cwd=where, timeout=60)
    expect(status == 0, f"{block.where}: this program ends with status {status}\n{output}")
    compare(block, output)
    return "program"


def rows(place, block, where):
    """Rows of the op table; that they work, add_op.py sees."""
    arguments = ["-fsyntax-only", "-Wno-unknown-warning-option", "-Wno-override-init", "-Wno-initializer-overrides",
                 *(f"-I{d}" for d in (place.source / "include", place.source / "src", place.build / "src" / "ops"))]
    status, output = compiles(place, '#include "ops/op.h"\n' + block.text, arguments, where)
    expect(status == 0, f"{block.where}: these rows do not compile\n{output}")
    return "rows"


def snippet(place, block, where):
    arguments = ["-fsyntax-only", "-Wno-unused", *library_arguments(place.build, place.source)[:2]]
    parameters = "tg_tape *t" + (f", {block.given}" if block.given else "")
    inside = f"{SNIPPET}void snippet({parameters});\nvoid snippet({parameters})\n{{\n{block.text}}}\n"
    status, output = compiles(place, inside, arguments, where)
    if status != 0:
        outside, _ = compiles(place, SNIPPET + block.text, arguments, where)
        expect(outside == 0, f"{block.where}: this does not compile, neither in a function with a tape t nor outside\n{output}")
    return "snippet"


def c_blocks(place):
    blocks = [b for b in pages(place.source) if b.language == "c"]
    for i, block in enumerate(blocks):
        where = place.scratch / str(i)
        where.mkdir()
        kind = program if re.search(r"\bint main\b", block.text) else rows if re.search(r"^TG_[A-Z]+\d?\(", block.text, re.M) \
            else snippet
        say(f"{block.where}: {kind(place, block, where)}")


def commands(place):
    """Runs the shell blocks in order, in one copy of the tree."""
    if NESTED in os.environ:
        sys.exit(77)
    tree = place.scratch / "tapegrad"
    copy_tree(place.source, tree)
    env = {"CC": " ".join(place.compiler), "CI": "true", NESTED: "1", "DESTDIR": str(place.scratch / "installed")}
    for block in pages(place.source):
        if block.language != "sh":
            continue
        lines = [line for line in block.text.split("\n") if not is_special(place, line)]
        clones = any(line.startswith("git clone ") for line in block.text.split("\n"))
        script = "trap 'echo \"status $? from: $BASH_COMMAND\"' ERR\nset -e\n" + "\n".join(lines)
        status, output = attempt(["bash", "-c", script], cwd=tree.parent if clones else tree, timeout=1500, env=env)
        expect(status == 0, f"{block.where}: these commands fail\n{output}")
        compare(block, output)
        say(f"{block.where}: {len(lines) - lines.count('')} commands")


def is_special(place, line):
    """Lines that cannot be run here: those that run this very test, and those that need the network."""
    words = shlex.split(line, comments=True)
    if words in (["tests/run"], [".ci/run"]):
        expect(os.access(place.source / words[0], os.X_OK), f"{words[0]} is not executable")
        expect("tests/run" in (place.source / ".ci/run").read_text(), ".ci/run does not call tests/run")
        return True
    return words[:2] == ["git", "clone"] or "apt-get" in words


if __name__ == "__main__":
    if sys.argv[1] == "--commands":
        del sys.argv[1]
        main(commands)
    else:
        main(c_blocks)
