"""A session in GradBench's protocol, as its evaluations hold it, with the driver:  check_driver.py DRIVER

Values against the formulas, gradients against differences of the values that the driver itself gives.
"""

import copy
import json
import math
import random
import subprocess
import sys
import tempfile

tool = subprocess.Popen(sys.argv[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
random.seed(1)
failed = 0
number = 0


def ask(**message):
    global number
    message["id"] = number
    tool.stdin.write(json.dumps(message) + "\n")
    tool.stdin.flush()
    answer = json.loads(tool.stdout.readline())
    assert answer["id"] == number, answer
    number += 1
    return answer


def evaluate(module, function, given):
    answer = ask(kind="evaluate", module=module, function=function, input=given)
    assert answer["success"], answer
    assert [t["name"] for t in answer["timings"]][:2] == ["prepare", "evaluate"], answer
    return answer["output"]


def expect(what, fine):
    global failed
    print("ok" if fine else "FAILED", "-", what)
    failed += not fine


def flat(x):
    return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


def close(a, b, bound=1e-9):
    a, b = flat(a), flat(b)
    size = max(map(abs, b))
    return size > 0 and len(a) == len(b) and all(abs(x - y) <= bound * size for x, y in zip(a, b))


def places(x, place=()):
    return [p for i, y in enumerate(x) for p in places(y, (*place, i))] if isinstance(x, list) else [place]


def moved(given, key, place, by):
    given = copy.deepcopy(given)
    if not place:
        given[key] += by
        return given
    inner = given[key]
    for i in place[:-1]:
        inner = inner[i]
    inner[place[-1]] += by
    return given


def slopes(module, function, given, key, h=1e-5):
    """Differences of what the function gives by each number at key; a list for each."""
    for place in places(given[key]):
        up, down = (flat(evaluate(module, function, moved(given, key, place, s * h))) for s in (1, -1))
        yield [(x - y) / (2 * h) for x, y in zip(up, down)]


def numbers(*shape, lo=-1.0, hi=1.0):
    if not shape:
        return random.uniform(lo, hi)
    return [numbers(*shape[1:], lo=lo, hi=hi) for _ in range(shape[0])]


def of_one_value(module, value, gradient, given, keys):
    d = evaluate(module, gradient, given)
    by_hand = [s[0] for key in keys for s in slopes(module, value, given, key)]
    got = [x for key in keys for x in flat(d[key])] if isinstance(d, dict) else flat(d)
    expect(f"{module} {gradient}", close(got, by_hand, 1e-6))


expect("start", ask(kind="start", eval="hello", config={"min_runs": 1})["tool"] == "tapegrad")
for module in "hello gmm ba lstm ht kmeans llsq lse ode det particle saddle".split():
    expect(f"define {module}", ask(kind="define", module=module)["success"])
expect("define what there is not", not ask(kind="define", module="goodbye")["success"])
expect("analysis", ask(kind="analysis", of=0, valid=True) == {"id": number - 1})

expect("hello", evaluate("hello", "square", 3.0) == 9 and evaluate("hello", "double", 3.0) == 6)

x = numbers(7)
expect("lse primal", close(evaluate("lse", "primal", {"x": x}), math.log(sum(map(math.exp, x)))))
of_one_value("lse", "primal", "gradient", {"x": x}, ["x"])

t = [-1 + 2 * i / 8 for i in range(9)]
sign = [(z > 0) - (z < 0) for z in t]
square = sum((s - sum(c * z**j for j, c in enumerate(x))) ** 2 for s, z in zip(sign, t)) / 2
expect("llsq primal", close(evaluate("llsq", "primal", {"x": x, "n": 9}), square))
of_one_value("llsq", "primal", "gradient", {"x": x, "n": 9}, ["x"])

A = numbers(9)
det = sum(A[i] * (A[3 + (i + 1) % 3] * A[6 + (i + 2) % 3] - A[3 + (i + 2) % 3] * A[6 + (i + 1) % 3]) for i in range(3))
expect("det primal", close(evaluate("det", "primal", {"A": A, "ell": 3}), det))
of_one_value("det", "primal", "gradient", {"A": A, "ell": 3}, ["A"])

given = {"x": numbers(4, lo=0.5, hi=1.5), "s": 50}
y = evaluate("ode", "primal", given)
exact = [math.prod(given["x"][: i + 1]) * 2 ** (i + 1) / math.factorial(i + 1) for i in range(4)]
expect("ode primal", close(y, exact, 1e-7))
by_hand = [s[-1] for s in slopes("ode", "primal", given, "x")]
expect("ode gradient", close(evaluate("ode", "gradient", given), by_hand, 1e-6))

given = {"d": 3, "k": 2, "n": 5, "gamma": 1.0, "m": 0, "alpha": numbers(2), "mu": numbers(2, 3), "q": numbers(2, 3),
         "l": numbers(2, 3), "x": numbers(5, 3)}


def mixture(g):
    """gamma = 1, m = 0, three dimensions."""
    total, prior = 0, 0
    for point in g["x"]:
        inner = []
        for a, mu, q, l in zip(g["alpha"], g["mu"], g["q"], g["l"]):
            z = [p - m for p, m in zip(point, mu)]
            Q = [[math.exp(q[0]), 0, 0], [l[0], math.exp(q[1]), 0], [l[1], l[2], math.exp(q[2])]]
            inner.append(a + sum(q) - sum(sum(c * d for c, d in zip(row, z)) ** 2 for row in Q) / 2)
        total += math.log(sum(map(math.exp, inner))) - math.log(sum(map(math.exp, g["alpha"])))
    for q, l in zip(g["q"], g["l"]):
        prior += (sum(math.exp(2 * v) for v in q) + sum(v * v for v in l)) / 2
    gamma_3 = 1.5 * math.log(math.pi) + sum(math.lgamma(2 + (1 - j) / 2) for j in (1, 2, 3))
    return total - 7.5 * math.log(2 * math.pi) + 2 * (-6 * math.log(2) - gamma_3) - prior


given_gmm = given
expect("gmm objective", close(evaluate("gmm", "objective", given), mixture(given)))
of_one_value("gmm", "objective", "jacobian", given, ["alpha", "mu", "q", "l"])

given = {"main_params": numbers(4, 8), "extra_params": numbers(3, 2), "state": numbers(4, 2), "sequence": numbers(5, 2)}
of_one_value("lstm", "objective", "jacobian", given, ["main_params", "extra_params"])

given = {"points": numbers(20, 2), "centroids": [[-0.5, -0.5], [0.5, 0.5], [0.5, -0.5]]}
near = [min(given["centroids"], key=lambda c: math.dist(p, c)) for p in given["points"]]
cost = sum(math.dist(p, c) ** 2 for p, c in zip(given["points"], near))
expect("kmeans cost", close(evaluate("kmeans", "cost", given), cost))
step = [[sum(c[i] - p[i] for p, n in zip(given["points"], near) if n is c) / near.count(c) for i in range(2)]
        for c in given["centroids"]]
expect("kmeans dir", close(evaluate("kmeans", "dir", given), step))

given = {"n": 3, "m": 4, "p": 12, "cam": [0.1, 0.2, -0.1, 0.3, 0.1, 0.2, 400.0, 2.0, 3.0, 0.05, 0.01],
         "x": [0.5, -0.4, 5.0], "w": 0.7, "feat": [10.0, 20.0]}
given_ba = given
value, J = evaluate("ba", "objective", given), evaluate("ba", "jacobian", given)
expect("ba objective", value["reproj_error"]["repeated"] == 12 and close(value["w_err"]["element"], 1 - 0.49))


def elements(module, function, given):
    return evaluate(module, function, given)["reproj_error"]["elements"]


by_hand = []
for key in "cam", "x", "w":
    for place in places(given[key]):
        up, down = (elements("ba", "objective", moved(given, key, place, s * 1e-5)) for s in (1, -1))
        by_hand.append([(a - b) / 2e-5 for a, b in zip(up, down)])
rows = [[column[i] for column in by_hand] for i in range(2)]
expect("ba jacobian", close(J["vals"][:30], rows, 1e-6) and close(J["vals"][-1], -1.4))
expect("ba rows and columns", J["rows"][:4] == [0, 15, 30, 45] and J["rows"][-1] == 12 * 31
       and J["cols"][:15] == [*range(11), 33, 34, 35, 45] and J["cols"][-1] == 33 + 12 + 11)

bones, n = 22, 6
turned = [[[float(i == j) for j in range(4)] for i in range(4)] for _ in range(bones)]
for m in turned:
    for i in range(3):
        m[i][3] = numbers()
model = {"parents": [-1, 0] + [1 if b % 4 == 2 else b - 1 for b in range(2, bones)], "bone_names": ["b"] * bones,
         "base_relatives": turned, "inverse_base_absolutes": copy.deepcopy(turned[::-1]), "is_mirrored": True,
         "base_positions": [[*numbers(3), 1.0] for _ in range(n)], "weights": numbers(n, bones, lo=0.0),
         "triangles": [[0, 1, 2], [2, 3, 4], [5, 0, 3]]}
given = {"theta": numbers(26), "us": [], "data": {"model": model, "correspondences": [1, 4, 0], "points": numbers(3, 3)}}
by_hand = list(zip(*slopes("ht", "objective", given, "theta")))
expect("ht jacobian, vertices", close(evaluate("ht", "jacobian", given), [list(row) for row in by_hand], 1e-6))
given["us"] = numbers(3, 2, lo=0.0, hi=0.5)
given["data"]["correspondences"] = [2, 0, 1]
by_theta, by_us = (list(slopes("ht", "objective", given, key)) for key in ("theta", "us"))
rows = [[by_us[2 * (i // 3)][i], by_us[2 * (i // 3) + 1][i], *(column[i] for column in by_theta)] for i in range(9)]
expect("ht jacobian, triangles", close(evaluate("ht", "jacobian", given), rows, 1e-6))

bad_hand = copy.deepcopy(given)
bad_hand["us"], bad_hand["data"]["correspondences"] = [], [1, 99, 0]

expect("particle rr", close(evaluate("particle", "rr", {"w": 0.0}), 0.20719187, 1e-6))


def particle(w):
    """The squared x where it arrives, the derivative by w, and in how many steps; each number with its derivative."""
    x, v, steps = [(0.0, 0.0), (8.0, 0.0)], [(0.75, 0.0), (0.0, 0.0)], 0
    while x[1][0] + 0.1 * v[1][0] > 0:
        force = [[0.0, 0.0], [0.0, 0.0]]
        for charge, moves in ((0.0, 0.0), (10 - w, -1.0)):
            d = [(x[0][0] - 10, x[0][1]), (x[1][0] - charge, x[1][1] - moves)]
            r, inner = math.hypot(d[0][0], d[1][0]), d[0][0] * d[0][1] + d[1][0] * d[1][1]
            for total, (a, da) in zip(force, d):
                total[0] += a / r**3
                total[1] += da / r**3 - 3 * a * inner / r**5
        x = [(a + 0.1 * b, da + 0.1 * db) for (a, da), (b, db) in zip(x, v)]
        v = [(a + 0.1 * b, da + 0.1 * db) for (a, da), (b, db) in zip(v, force)]
        steps += 1
    (x0, dx0), (x1, dx1), (v0, dv0), (v1, dv1) = *x, *v
    end = x0 - x1 * v0 / v1
    return end**2, 2 * end * (dx0 - (dx1 * v0 + x1 * dv0 - x1 * v0 * dv1 / v1) / v1), steps


def particle_by_hand(w):
    """The descent of Pearlmutter and Siskind."""
    eta, successes = 1e-5, 0
    f, g, _ = particle(w)
    while abs(g) > 1e-5:
        if successes == 10:
            eta, successes = 2 * eta, 0
        new = w - eta * g
        if abs(new - w) <= 1e-5:
            break
        value, slope, _ = particle(new)
        if value < f:
            w, f, g, successes = new, value, slope, successes + 1
        else:
            eta, successes = eta / 2, 0
    return w


expect("a loop longer than usual", particle(1.0)[2] > 1000)
by_hand = particle_by_hand(1.0)
for variant in "rr", "rf", "fr", "ff":
    expect(f"particle {variant} from far", close(evaluate("particle", variant, {"w": 1.0}), by_hand, 1e-6))

for variant in "rr", "rf", "fr", "ff":
    expect(f"particle {variant}", close(evaluate("particle", variant, {"w": 0.1}), 0.20719187, 1e-4))
    expect(f"saddle {variant}", close(evaluate("saddle", variant, {"start": [1.0, 1.0]}), [8.246e-6] * 4, 1e-3))
other = evaluate("saddle", "rr", {"start": [2.0, -0.5]})
expect("saddle from elsewhere", all(0 < abs(z) < 1e-4 for z in other) and other[1] < 0 < other[0])


def refuses(what, text=None, **message):
    """Sends a message, or a text as it is; the answer has to say what is wrong."""
    if text is None:
        answer = ask(kind="evaluate", **message)
    else:
        tool.stdin.write(text + "\n")
        tool.stdin.flush()
        answer = json.loads(tool.stdout.readline())
    expect(what, answer["success"] is False and answer["error"])


refuses("no JSON", text='{"id": 1, "kind": ')
refuses("nothing at all", text="")
refuses("no input", module="lse", function="gradient")
refuses("no function", module="lse", input={"x": [1.0]})
refuses("no module", function="gradient", input={"x": [1.0]})
refuses("a function that is a number", module="lse", function=3, input={"x": [1.0]})
refuses("input of another kind", module="lse", function="gradient", input=[1.0])
refuses("texts for numbers", module="lse", function="gradient", input={"x": ["a", "b"]})
refuses("no numbers", module="lse", function="gradient", input={"x": []})
refuses("rows of unequal length", module="kmeans", function="dir", input={"points": [[1.0, 2], [3]], "centroids": [[1.0, 2]]})
refuses("points and centroids apart", module="kmeans", function="cost", input={"points": [[1.0, 2]], "centroids": [[1.0]]})
refuses("too few numbers", module="det", function="gradient", input={"A": [1.0], "ell": 2})
refuses("too many", module="ba", function="jacobian", input={**given_ba, "p": 1e300})
refuses("a camera of texts", module="ba", function="jacobian", input={**given_ba, "cam": ["a"] * 11})
refuses("arrays that do not fit", module="gmm", function="jacobian", input={**given_gmm, "mu": [[1.0] * 4] * 2})
refuses("no hand", module="ht", function="jacobian", input={"theta": [0.0] * 26, "us": [], "data": {}})
refuses("vertices that there are not", module="ht", function="jacobian", input=bad_hand)
refuses("a particle that never arrives", module="particle", function="fr", input={"w": 2.0})
refuses("no start", module="saddle", function="rr", input={"start": [1.0]})

refused = ask(kind="evaluate", module="llsq", function="gradient", input={"x": [1.0]})
expect("input that lacks something", not refused["success"] and "no number n" in refused["error"])
refused = ask(kind="evaluate", module="gmm", function="jacobian", input={"d": 2})
expect("input that lacks nearly all", not refused["success"])
refused = ask(kind="evaluate", module="llsq", function="hessian", input={})
expect("a function that there is not", not refused["success"] and "no such function" in refused["error"])
runs = ask(kind="evaluate", module="lse", function="gradient", input={"x": x, "min_runs": 5, "min_seconds": 0})
expect("so many runs", len(runs["timings"]) == 6)
tool.stdin.close()
expect("the end", tool.wait(60) == 0)

with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    json.dump({"x": x, "min_runs": 2}, file)
    file.flush()
    lines = subprocess.run([sys.argv[1], "lse", file.name, "gradient"], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in lines.stdout.splitlines()]
    expect("a file", len(lines[0]) == 7 and [t["name"] for t in lines[1:]] == ["prepare", "evaluate", "evaluate"])
expect("a file that there is not", subprocess.run([sys.argv[1], "lse", "/no/such", "primal"], capture_output=True).returncode == 1)
sys.exit(failed > 0)
