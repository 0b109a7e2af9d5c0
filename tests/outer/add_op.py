"""An operation is added in one place: the line that CONTRIBUTING.md shows is put into a scratch
copy of the tree, and everything else has to come from there. A wrong derivative must then fail the
checks, and a block without one of its pieces must not build.

    add_op.py SOURCE BUILD COMPILER ...
"""

import re

from outer import (LEAN, WARNINGS, attempt, configure, copy_tree, expect, library_arguments, main,
                   run, say, tail)

RIGHT, WRONG = "3 * x * x", "2 * x * x"  # the example's derivative, and another

TRACES = {"include/tapegrad/ops.h": r"tg_value tg_cube\(tg_value x\);",
          "include/tapegrad/short.h": r"#define cube\(x\)",
          "include/tapegrad/cpp.inl": r"inline value cube\(const operand &x\)",
          "docs/reference.md": r"### cube\n",
          "docs/tapegrad_ops.3": r"tg_value tg_cube\(tg_value x\);"}

USER = r"""#include <stdio.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

int main(void)
{
    tg_tape *t = tg_tape_new(NULL);
    Value x = scalar(t, -2), y = tg_cube(x), z = cube(x);
    tg_op_info info;
    if (!tg_op_find("cube", &info) || !tg_backward(add(y, mul(2, z)))) return 1;
    printf("%g %g %s\n", tg_item(y), tg_grad_item(x), info.derivative[0]);
    tg_tape_free(t);
}
"""
USER_PRINTS = f"-8 36 {RIGHT}\n"  # the cube of -2; the gradient of three cubes there

# A complete operation but for its backward rule.
WITHOUT_BACKWARD = """
TG_OP(same, "l", none, "x itself")

SHAPE(same)
{
    *y = *c->x[0].s;
    return TG_OK;
}

FORWARD(same)
{
    tg__copy(c->k, c->y, c->x[0]);
    return TG_OK;
}

CASES(same, { .n = 1, .x = { SCALAR(-2, 2) } })
"""


def example(source):
    """The line of CONTRIBUTING.md."""
    page = (source / "CONTRIBUTING.md").read_text()
    found = re.search(r"^```c\n(TG_MAP1\(cube, .*?)^```", page, re.M | re.S)
    expect(found, "CONTRIBUTING.md has no C block that starts with TG_MAP1(cube, ...")
    expect(RIGHT in found[1], f"the example of CONTRIBUTING.md lacks {RIGHT}: {found[1]}")
    return found[1]


def add(family, line):
    """Puts a row behind the first row of a family."""
    before, first, after = re.split(r"(^TG_MAP2\(add, .*\n)", family.read_text(), 1, re.M)
    family.write_text(before + first + line + after)


def build(directory, *targets):
    return ["meson", "compile", "-C", directory, *targets]


def check_ops(directory):
    return attempt([directory / "tests" / "check_ops", "--tap"])


def everything_is_there(place, tree, directory):
    for name, trace in TRACES.items():
        expect(re.search(trace, (directory / name).read_text()), f"{name} has no {trace}")
    user = place.scratch / "user"
    user.with_suffix(".c").write_text(USER)
    run([*place.compiler, "-std=c17", *WARNINGS, user.with_suffix(".c"), "-o", user,
         *library_arguments(tree, directory)])
    output = run([user])
    expect(output == USER_PRINTS, f"a program with cube prints {output}, not {USER_PRINTS}")
    status, output = check_ops(directory)
    expect(status == 0, f"check_ops fails with the example of CONTRIBUTING.md\n{tail(output)}")
    say("one line makes an operation: function, short name, look-up, reference, checks")


def a_wrong_derivative_is_found(directory, family):
    family.write_text(family.read_text().replace(RIGHT, WRONG))
    run(build(directory, "check_ops"))
    status, output = check_ops(directory)
    expect(status != 0, f"check_ops passes with the derivative {WRONG} of cube")
    expect(re.search(r"\bcube\b", output), f"check_ops fails, but not by name\n{tail(output)}")
    say("a wrong derivative fails the checks, by name")


def a_missing_piece_does_not_build(directory, family):
    family.write_text(family.read_text() + WITHOUT_BACKWARD)
    status, output = attempt(build(directory, "tapegrad"))
    expect(status != 0, "a block without BACKWARD builds")
    expect("same_backward" in output, f"the build fails, but not by name\n{tail(output)}")
    say("a block without its backward rule does not build, and the message names it")


def test(place):
    tree, directory = place.scratch / "tree", place.scratch / "build"
    family = tree / "src" / "ops" / "elementwise.c"
    copy_tree(place.source, tree)
    add(family, example(place.source))
    configure(place, tree, directory, *LEAN)
    run(build(directory, "tapegrad", "check_ops", "reference.md", "manual"))
    everything_is_there(place, tree, directory)
    a_wrong_derivative_is_found(directory, family)
    a_missing_piece_does_not_build(directory, family)


if __name__ == "__main__":
    main(test)
