"""The library as others get it: installed and found by pkg-config, shared and static, or as a Meson subproject; built
where no optional dependency is to be found.

    install.py SOURCE BUILD COMPILER ...
"""

import re
import shlex

from outer import CHEAP, WARNINGS, configure, copy_tree, expect, main, run, say

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

PROJECT = """project('outside', 'c', default_options: ['c_std=c17', 'warning_level=3', 'werror=true'])
executable('outside', 'outside.c', dependencies: dependency('tapegrad'))
"""

# What the inline header may need of the library besides the public functions: nothing.
INTERNAL_EXPORTS = set()


def new_directory(path):
    path.mkdir(parents=True)
    (path / "outside.c").write_text(PROGRAM)
    return path


def exported(library):
    lines = run(["nm", "-D", "--defined-only", library]).splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def check_exports(library):
    names = exported(library)
    internal = {n for n in names if n.startswith("tg__")} - INTERNAL_EXPORTS
    foreign = {n for n in names if not n.startswith("tg_")}
    expect({"tg_tape_new", "tg_backward", "tg_matmul_at"} <= names, f"{library.name} lacks public functions")
    expect(not internal, f"{library.name} exports internal names: {', '.join(sorted(internal))}")
    expect(not foreign, f"{library.name} exports names that are not the library's: {', '.join(sorted(foreign))}")
    soname = re.search(r"SONAME.*\[(.*)\]", run(["readelf", "-d", library], env={"LC_ALL": "C"}))
    expect(soname and soname[1] == "libtapegrad.so.0", f"{library.name} has no soname libtapegrad.so.0")
    say(f"{len(names)} exported functions, all public; soname {soname[1]}")


def program_with_pkg_config(place, prefix, kind):
    where = new_directory(place.scratch / kind)
    pkg_config = ["pkg-config", "--cflags", "--libs", *(["--static"] if kind == "static" else []), "tapegrad"]
    directory, = {p.parent for p in prefix.rglob("tapegrad.pc")}
    flags = shlex.split(run(pkg_config, env={"PKG_CONFIG_PATH": str(directory)}))
    library = directory.parent
    if kind == "static":
        flags = [f"-l:libtapegrad.a" if flag == "-ltapegrad" else flag for flag in flags]
    run([*place.compiler, "-std=c17", *WARNINGS, "outside.c", "-o", "outside", *flags], cwd=where)
    output = run([where / "outside"], env={"LD_LIBRARY_PATH": "" if kind == "static" else str(library)})
    expect(output == PRINTS, f"the program with the {kind} library prints {output}")
    say(f"a program finds the installed {kind} library by pkg-config, and runs")


def installed(place):
    """Built with both kinds of library where pkg-config finds nothing, and installed."""
    build, prefix = place.scratch / "build", place.scratch / "prefix"
    nothing = place.scratch / "nothing"
    nothing.mkdir()
    env = {"PKG_CONFIG_LIBDIR": str(nothing), "PKG_CONFIG_PATH": ""}
    configure(place, place.source, build, *CHEAP, "-Ddefault_library=both", f"-Dprefix={prefix}", "-Dlibdir=lib", env=env)
    run(["ninja", "-C", build])
    say("without any optional dependency it configures and builds")
    run(["meson", "install", "-C", build, "--no-rebuild"], env={"DESTDIR": ""})
    check_exports((prefix / "lib" / "libtapegrad.so").resolve())
    for kind in "shared", "static":
        program_with_pkg_config(place, prefix, kind)


def subproject(place):
    where = new_directory(place.scratch / "project")
    (where / "meson.build").write_text(PROJECT)
    copy_tree(place.source, where / "subprojects" / "tapegrad")
    configure(place, where, where / "build", *(o.replace("-D", "-Dtapegrad:") for o in CHEAP if "buildtype" not in o),
              "-Dbuildtype=debug")
    run(["ninja", "-C", where / "build", "outside"])
    output = run([where / "build" / "outside"])
    expect(output == PRINTS, f"the program with the subproject prints {output}")
    say("a Meson project has it as a subproject, and runs")


def test(place):
    installed(place)
    subproject(place)


if __name__ == "__main__":
    main(test)
