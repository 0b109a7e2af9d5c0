"""An operation is added in one place: the line that CONTRIBUTING.md shows is put into a scratch copy of the tree, and
everything else has to come from there. A wrong derivative must then fail the checks, a block without a piece must not build.

    add_op.py SOURCE BUILD COMPILER ...
"""

import re

from outer import CHEAP, WARNINGS, attempt, configure, copy_tree, expect, library_arguments, main, run, say, tail

RIGHT, WRONG = "3 * x * x", "2 * x * x"  # the example's derivative, and a wrong one

USER = r"""#include <stdio.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

int main(void)
{
    tg_tape *t = tg_tape_new(NULL);
    Value x = scalar(t, -2), y = tg_cube(x), z = cube(x);
    tg_op_info info;
    if (tg_backward(add(y, mul(2, z)))) printf("%g %g %d\n", tg_item(y), tg_grad_item(x), tg_op_find("cube", &info));
    tg_tape_free(t);
}
"""

# An operation that lacks its backward rule, and would be complete with one.
WITHOUT_BACKWARD = """
TG_OP(halfway, "l", none, "half of x")

SHAPE(halfway)
{
    *y = *c->x[0].s;
    return TG_OK;
}

FORWARD(halfway)
{
    tg__copy(c->k, c->y, c->x[0]);
    return TG_OK;
}

CASES(halfway, { .n = 1, .x = { SCALAR(-2, 2) } })
"""


def example(source):
    """The line of CONTRIBUTING.md."""
    found = re.search(r"^```c\n(TG_MAP1\(cube, .*?)^```", (source / "CONTRIBUTING.md").read_text(), re.M | re.S)
    expect(found, "CONTRIBUTING.md has no C block that starts with TG_MAP1(cube, ...)")
    expect(RIGHT in found[1], f"the example of CONTRIBUTING.md has no derivative {RIGHT}: {found[1]}")
    return found[1]


def add(family, line):
    """Puts a row behind the first row of a family."""
    text = family.read_text()
    head, row, rest = re.split(r"(^TG_MAP2\(add, .*\n)", text, maxsplit=1, flags=re.M)
    family.write_text(head + row + line + rest)


def everything_is_there(place, tree, build):
    for name, what in {"include/tapegrad/ops.h": r"tg_value tg_cube\(tg_value x\)",
                       "include/tapegrad/short.h": r"#define cube\(x\)", "docs/ops-list.md": r"\| cube \|"}.items():
        expect(re.search(what, (build / name).read_text()), f"{name} has nothing of the new operation: no match for {what}")
    (place.scratch / "user.c").write_text(USER)
    run([*place.compiler, "-std=c17", *WARNINGS, place.scratch / "user.c", "-o", place.scratch / "user",
         *library_arguments(build, tree)])
    output = run([place.scratch / "user"])
    expect(output == "-8 36 1\n", f"cube(-2), its gradient three times, its look-up by name: {output}")


def compile_targets(build, *targets):
    return ["meson", "compile", "-C", build, *targets]


def check_ops(build):
    return attempt([build / "tests" / "check_ops", "--tap"])


def test(place):
    tree, build = place.scratch / "tree", place.scratch / "build"
    family = tree / "src" / "ops" / "elementwise.c"
    line = example(place.source)

    copy_tree(place.source, tree)
    add(family, line)
    configure(place, tree, build, *CHEAP)
    run(compile_targets(build, "tapegrad", "check_ops", "ops-list.md"))
    everything_is_there(place, tree, build)
    status, output = check_ops(build)
    expect(status == 0, f"check_ops fails with the example of CONTRIBUTING.md\n{tail(output)}")
    say("one line makes an operation: function, short name, look-up, reference, checks")

    family.write_text(family.read_text().replace(line, line.replace(RIGHT, WRONG)))
    run(compile_targets(build, "check_ops"))
    status, output = check_ops(build)
    expect(status != 0, f"check_ops passes although the derivative of cube is {WRONG}")
    expect(re.search(r"\bcube\b", output), f"check_ops fails on a wrong derivative of cube, but does not name it\n{tail(output)}")
    say("a wrong derivative fails the checks, by name")

    family.write_text(family.read_text() + WITHOUT_BACKWARD)
    status, output = attempt(compile_targets(build, "tapegrad"))
    expect(status != 0, "a block without BACKWARD builds")
    expect("halfway_backward" in output, f"a block without BACKWARD does not build, but the messages do not name it\n{tail(output)}")
    say("a block without its backward rule does not build, and the message names it")


if __name__ == "__main__":
    main(test)
