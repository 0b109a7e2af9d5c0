"""The library as others get it: built where no optional dependency is to be found, installed and
found by pkg-config and by CMake, shared and static; not installed but used from its build
directory; taken as a Meson subproject; each as docs/install.md says. The starter is built installed
and as its wrap file says, from an archive and from a tree, and its tests run.

    install.py SOURCE BUILD COMPILER ...
"""

import json
import re
import shlex
import shutil
import tarfile

from headers import cxx
from outer import LEAN, WARNINGS, attempt, configure, copy_tree, expect, main, run, say

PROGRAM = r"""#include <stdio.h>
#include <tapegrad.h>
#include <tapegrad/nn.h>
#include <tapegrad/short.h>

int main(void)
{
    tg_tape *t = tg_tape_new(NULL);
    const double x0[] = { 1, 2, 3 };
    Value x = param(t, x0, 3);
    if (tg_backward(sum(mul(x, exp(x))))) printf("%.6f\n", tg_grad(x)[2]);
    tg_tape_free(t);
    tg_nn_free(tg_nn_linear_new(2, 3, NULL));
}
"""
CPP_PROGRAM = r"""#include <cstdio>
#include <tapegrad.hpp>

int main()
{
    tg::tape t;
    tg::value x = t.param(std::vector<double>{ 1, 2, 3 }, { 3 });
    if (sum(x * exp(x)).backward()) std::printf("%.6f\n", x.grad()[2]);
}
"""
WRONG_SIGN = """# by hand against differences: wrong at w[0]
#     expected -0.3629830062, within """
PRINTS = "80.342148\n"  # (1 + x) exp(x) at 3

CMAKE_CPP = """enable_language(CXX)
add_executable(model_cpp model.cpp)
target_link_libraries(model_cpp PRIVATE tapegrad::tapegrad)
target_compile_features(model_cpp PRIVATE cxx_std_17)
"""
CMAKE = ["-G", "Ninja"]
PKG_CONFIG = ["pkg-config", "--cflags", "--libs", "tapegrad"]

PUBLIC = {"tg_tape_new", "tg_backward", "tg_sum", "tg_matmul_at", "tg_gradcheck", "tg_run",
          "tg_nn_free"}  # some of them


def on_the_page(place, language):
    """The block in this language of docs/install.md."""
    page = (place.source / "docs" / "install.md").read_text()
    found = re.findall(rf"```{language}\n(.*?)```", page, re.S)
    expect(len(found) == 1, f"docs/install.md has {len(found)} blocks in {language}")
    return found[0]


def outside(path):
    """A directory with the programs of somebody else."""
    path.mkdir(parents=True)
    (path / "model.c").write_text(PROGRAM)
    (path / "model.cpp").write_text(CPP_PROGRAM)
    return path


def finding_nothing(place):
    """An environment in which pkg-config finds nothing."""
    nothing = place.scratch / "nothing"
    nothing.mkdir(exist_ok=True)
    return {"PKG_CONFIG_LIBDIR": str(nothing), "PKG_CONFIG_PATH": ""}


def built(place, name, *options, env=None):
    """Configures, builds and installs. Returns the build directory and the prefix."""
    build, prefix = place.scratch / f"build-{name}", place.scratch / f"prefix-{name}"
    configure(place, place.source, build, *options, f"-Dprefix={prefix}", "-Dlibdir=lib",
              "-Dtests=disabled", env=env)
    run(["meson", "compile", "-C", build])
    run(["meson", "install", "-C", build, "--no-rebuild"], env={"DESTDIR": ""})
    return build, prefix


def finds(prefix):
    """The environment in which a prefix is found."""
    return {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"),
            "LD_LIBRARY_PATH": str(prefix / "lib")}


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


def check_files(place, prefix):
    """Every header of the tree is installed, and the manual; the starter's wrap is the page's."""
    tree = place.source / "include"
    every = [p.relative_to(tree) for suffix in ("h", "hpp") for p in tree.rglob(f"*.{suffix}")]
    missing = [p.as_posix() for p in every if not (prefix / "include" / p).is_file()]
    expect(not missing, f"not installed: {', '.join(missing)}")
    manual = prefix / "share" / "man" / "man3" / "tapegrad_tape.3"
    expect(manual.is_file(), "the manual is not installed")
    wrap = (place.source / "examples" / "starter" / "subprojects" / "tapegrad.wrap").read_text()
    expect(on_the_page(place, "ini") in wrap, "docs/install.md has another wrap than the starter")


def prints(program, env, what):
    output = run([program], env=env)
    expect(output == PRINTS, f"the program with {what} prints {output}, not {PRINTS}")


def program_with(place, where, flags, env, what):
    """Compiles the C program, and the C++ one where there is a compiler, and runs them."""
    outside(where)
    run([*place.compiler, "-std=c17", *WARNINGS, "model.c", "-o", "model", *flags], cwd=where)
    prints(where / "model", env, what)
    if cxx(place.compiler):
        compiler = [*cxx(place.compiler), "-std=c++17", *WARNINGS]
        run([*compiler, "model.cpp", "-o", "model_cpp", *flags], cwd=where)
        prints(where / "model_cpp", env, f"{what}, in C++")


def with_pkg_config(place, prefix, kind):
    env = finds(prefix)
    flags = shlex.split(run([*PKG_CONFIG, *(["--static"] if kind == "static" else [])], env=env))
    if kind == "static":
        flags = ["-l:libtapegrad.a" if flag == "-ltapegrad" else flag for flag in flags]
        env["LD_LIBRARY_PATH"] = ""
    program_with(place, place.scratch / f"{prefix.name}-{kind}", flags, env, f"the {kind} library")
    say(f"programs find the {kind} library in {prefix.name} by pkg-config, and run")


def with_cmake(place, prefix, target, name):
    if not shutil.which("cmake"):
        say(f"not tried with CMake, which is not installed: {name}")
        return
    where, env = outside(place.scratch / f"cmake-{name}"), finds(prefix)
    env |= {"CC": " ".join(place.compiler), "LD_LIBRARY_PATH": ""}
    text = on_the_page(place, "cmake")
    if cxx(place.compiler):
        text, env["CXX"] = text + CMAKE_CPP, " ".join(cxx(place.compiler))
    (where / "CMakeLists.txt").write_text(text.replace("tapegrad::tapegrad", f"tapegrad::{target}"))
    run(["cmake", *CMAKE, "-S", where, "-B", where / "build", f"-DCMAKE_PREFIX_PATH={prefix}"],
        env=env)
    run(["cmake", "--build", where / "build"], env=env)
    for program in (p for p in where.glob("build/model*") if p.is_file()):
        prints(program, env, f"CMake, {name}")
    say(f"a CMake project finds tapegrad::{target}, {name}, and runs")


def cmake_refuses_another_version(place, prefix):
    if not shutil.which("cmake"):
        return
    where = outside(place.scratch / "cmake-version")
    versions = {"0.1": True, "0": True, "0.2": False, "1": False, "0.0.9": False}
    for version, found in versions.items():
        text = on_the_page(place, "cmake").replace("tapegrad 0.1 ", f"tapegrad {version} ")
        (where / "CMakeLists.txt").write_text(text)
        status, output = attempt(["cmake", *CMAKE, "-S", where, "-B", where / version,
                                  f"-DCMAKE_PREFIX_PATH={prefix}"],
                                 env={"CC": " ".join(place.compiler)})
        expect((status == 0) == found, f"asked for {version}, CMake says otherwise\n{output}")
    say("CMake is told which versions will do")


def not_installed(place, build):
    flags = shlex.split(run(["meson", "devenv", "-C", build, *PKG_CONFIG]).splitlines()[-1])
    where = place.scratch / "not-installed"
    program_with(place, where, flags, {"LD_LIBRARY_PATH": str(build / "src")},
                 "the library in its build directory")
    output = run(["meson", "devenv", "-C", build, where / "model"])
    expect(output.endswith(PRINTS), f"in meson devenv the program prints {output}")
    say("programs use the library in its build directory, by pkg-config and in meson devenv")


def subproject(place):
    where = outside(place.scratch / "project")
    (where / "meson.build").write_text(on_the_page(place, "meson"))
    copy_tree(place.source, where / "subprojects" / "tapegrad")
    options = [o.replace("-D", "-Dtapegrad:") for o in LEAN]
    configure(place, where, where / "build", *options, env=finding_nothing(place))
    run(["meson", "compile", "-C", where / "build"])
    prints(where / "build" / "model", {}, "the subproject")
    say("a Meson project takes it as a subproject, and runs")
    tree = where / "subprojects" / "tapegrad"
    for name in "archive", "tree":
        starter(place, name, tree, options, finding_nothing(place))


def wrapped(place):
    """The directory and the archive that the starter's wrap file names: of this version."""
    wrap = (place.source / "examples" / "starter" / "subprojects" / "tapegrad.wrap").read_text()
    version = json.loads((place.build / "meson-info" / "intro-projectinfo.json").read_text())
    name = f"tapegrad-{version['version']}"
    expect(f"directory = {name}\nsource_filename = {name}.tar.xz\n" in wrap,
           f"the starter's wrap file is not of {name}")
    return name


def make_archive(place, tree, to):
    """The archive of a tree as meson dist makes it in a clone, or, without git, by tar."""
    name = wrapped(place)
    to.mkdir()
    clone = place.scratch / "clone"
    copy_tree(tree, clone)
    if shutil.which("git"):
        git = ["git", "-C", clone, "-c", "user.name=a", "-c", "user.email=a@b"]
        run(["git", "init", "--quiet", clone])
        run([*git, "add", "--all"])
        run([*git, "commit", "--quiet", "--no-verify", "--message=all"])
        configure(place, clone, clone / "build", *LEAN, "-Dtests=disabled")
        run(["meson", "dist", "-C", clone / "build", "--no-tests", "--formats", "xztar"])
        shutil.copy(clone / "build" / "meson-dist" / f"{name}.tar.xz", to)
    else:
        with tarfile.open(to / f"{name}.tar.xz", "w:xz") as archive:
            archive.add(clone, arcname=name)


def starter(place, name, tree, options, env):
    """The starter as a user copies it; it finds tapegrad installed, or in its subprojects, where
    the tree is put as an archive or as it is."""
    where = place.scratch / f"starter-{name}"
    shutil.copytree(place.source / "examples" / "starter", where)
    if name == "archive":
        make_archive(place, tree, where / "subprojects" / "packagefiles")
    if name == "tree":
        (where / "subprojects" / wrapped(place)).symlink_to(tree)
    configure(place, where, where / "build", "-Dwerror=true", *options, env=env)
    run(["meson", "test", "-C", where / "build"], env=env)
    wrong = (where / "ridge.c").read_text().replace("slope = -d->label", "slope = d->label")
    (where / "ridge.c").write_text(wrong)
    status, output = attempt(["meson", "test", "-C", where / "build", "--print-errorlogs"], env=env)
    expect(status != 0 and WRONG_SIGN in output,
           f"the starter's tests do not see a wrong sign, or do not say so\n{output}")
    say(f"the starter's tests pass with tapegrad from {name}, and fail when a sign is wrong")


def test(place):
    build, prefix = built(place, "both", *LEAN, "-Ddefault_library=both",
                          env=finding_nothing(place))
    say("where no optional dependency is to be found, it configures and builds")
    check_exports((prefix / "lib" / "libtapegrad.so").resolve())
    check_files(place, prefix)
    for kind in "shared", "static":
        with_pkg_config(place, prefix, kind)
    with_cmake(place, prefix, "tapegrad", "both kinds installed")
    with_cmake(place, prefix, "static", "the static one of both")
    cmake_refuses_another_version(place, prefix)
    not_installed(place, build)
    starter(place, "installed", None, [], finds(prefix))

    lean = [option for option in LEAN if "blas" not in option]
    _, static = built(place, "static", *lean, "-Ddefault_library=static")
    with_pkg_config(place, static, "static")
    moved = static.rename(place.scratch / "moved")
    with_cmake(place, moved, "tapegrad", "only the static one, moved")
    subproject(place)


if __name__ == "__main__":
    main(test)
