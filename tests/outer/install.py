"""The library as others get it: built where no optional dependency is to be found, installed and
found by pkg-config, shared and static, or taken as a Meson subproject.

    install.py SOURCE BUILD COMPILER ...
"""

import re
import shlex

from outer import LEAN, WARNINGS, configure, copy_tree, expect, main, run, say

PROGRAM = r"""#include <stdio.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

int main(void)
{
    tg_tape *t = tg_tape_new(NULL);
    const double x0[] = { 1, 2, 3 };
    Value x = param(t, x0, 3);
    if (tg_backward(sum(mul(x, exp(x))))) printf("%.6f\n", tg_grad(x)[2]);
    tg_tape_free(t);
}
"""
PRINTS = "80.342148\n"  # (1 + x) exp(x) at 3

PROJECT = """project('outside', 'c',
  default_options: ['c_std=c17', 'warning_level=3', 'werror=true'])
executable('outside', 'outside.c', dependencies: dependency('tapegrad'))
"""

PUBLIC = {"tg_tape_new", "tg_backward", "tg_sum", "tg_matmul_at", "tg_gradcheck"}  # some of them


def outside(path):
    """A directory with the program of somebody else."""
    path.mkdir(parents=True)
    (path / "outside.c").write_text(PROGRAM)
    return path


def installed(place):
    """Installs both kinds of library, built where pkg-config finds nothing. Returns the prefix."""
    build, prefix, nothing = (place.scratch / name for name in ("build", "prefix", "nothing"))
    nothing.mkdir()
    configure(place, place.source, build, *LEAN, "-Ddefault_library=both", f"-Dprefix={prefix}",
              "-Dlibdir=lib", env={"PKG_CONFIG_LIBDIR": str(nothing), "PKG_CONFIG_PATH": ""})
    run(["meson", "compile", "-C", build])
    say("where no optional dependency is to be found, it configures and builds")
    run(["meson", "install", "-C", build, "--no-rebuild"], env={"DESTDIR": ""})
    return prefix


def check_exports(library):
    lines = run(["nm", "-D", "--defined-only", library]).splitlines()
    names = {line.split()[-1].partition("@")[0] for line in lines}
    inlined = {"tg__number_head", "tg__expr_run", "tg__rule_run"}  # what macros need
    others = {name for name in names - inlined if not re.match("tg_[^_]", name)}
    expect(PUBLIC <= names, f"{library.name} lacks {', '.join(sorted(PUBLIC - names))}")
    expect(not others, f"{library.name} exports what is not public: {', '.join(sorted(others))}")
    dynamic = run(["readelf", "-d", library], env={"LC_ALL": "C"})
    soname = re.search(r"SONAME.*\[(.*)\]", dynamic)
    expect(soname and re.fullmatch(r"libtapegrad\.so\.\d+", soname[1]),
           f"{library.name} has no soname libtapegrad.so.N\n{dynamic}")
    say(f"{len(names)} functions are exported, all public; the soname is {soname[1]}")


def program_with_pkg_config(place, prefix, kind):
    where = outside(place.scratch / kind)
    command = ["pkg-config", "--cflags", "--libs", "tapegrad"]
    env = {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"), "LD_LIBRARY_PATH": ""}
    if kind == "shared":
        flags = shlex.split(run(command, env=env))
        env["LD_LIBRARY_PATH"] = str(prefix / "lib")
    else:
        flags = shlex.split(run([*command, "--static"], env=env))
        flags = ["-l:libtapegrad.a" if flag == "-ltapegrad" else flag for flag in flags]
    run([*place.compiler, "-std=c17", *WARNINGS, "outside.c", "-o", "outside", *flags], cwd=where)
    output = run([where / "outside"], env=env)
    expect(output == PRINTS, f"the program with the {kind} library prints {output}, not {PRINTS}")
    say(f"a program finds the installed {kind} library by pkg-config, and runs")


def subproject(place):
    where = outside(place.scratch / "project")
    (where / "meson.build").write_text(PROJECT)
    copy_tree(place.source, where / "subprojects" / "tapegrad")
    configure(place, where, where / "build", *(o.replace("-D", "-Dtapegrad:") for o in LEAN))
    run(["meson", "compile", "-C", where / "build"])
    output = run([where / "build" / "outside"])
    expect(output == PRINTS, f"the program with the subproject prints {output}, not {PRINTS}")
    say("a Meson project takes it as a subproject, and runs")


def test(place):
    prefix = installed(place)
    check_exports((prefix / "lib" / "libtapegrad.so").resolve())
    program_with_pkg_config(place, prefix, "shared")
    program_with_pkg_config(place, prefix, "static")
    subproject(place)


if __name__ == "__main__":
    main(test)
