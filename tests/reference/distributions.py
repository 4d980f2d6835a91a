#!/usr/bin/env python3
"""Writes the reference tables beside it: tails of distributions in natural logs, from mpmath with 50 digits.

Each file: {"made_with": versions, "columns": [...], "rows": [[arguments..., expected...], ...]}. Small parameters use mpmath's own
incomplete gamma and beta functions; large ones (where these give up) integrate the density, which is how the library computes neither.
Arguments are doubles, written exactly; what is expected is rounded to a double.
"""
import json
import os
import sys
import mpmath as mp
import scipy
import scipy.stats as st

mp.mp.dps = 50
HERE = os.path.dirname(os.path.abspath(__file__))
MADE_WITH = f"mpmath {mp.__version__}, scipy {scipy.__version__}, Python {sys.version.split()[0]}"


def write(name, columns, rows):
    rows = [[float(v) for v in row] for row in rows]
    with open(os.path.join(HERE, name + ".json"), "w") as f:
        f.write('{"made_with": %s,\n "columns": %s,\n "rows": [\n' % (json.dumps(MADE_WITH), json.dumps(columns)))
        f.write(",\n".join(json.dumps(r) for r in rows) + "\n]}\n")
    print(name, len(rows))


def both(ln_small):
    """The log of a tail below one half, and the log of the other tail."""
    return ln_small, mp.log1p(-mp.exp(ln_small))


def integral(h, slope, curvature):
    """Integral over v >= 0 of exp(h(v)), h(0) = 0, h'(0) = -slope, h''(0) = -curvature, h concave: until it fell by 130."""
    decay = 130
    root = mp.sqrt(slope * slope + 2 * decay * curvature)
    length = 2 * decay / (slope + root)
    while h(length) > -120:
        length *= mp.mpf(5) / 4
    # A slow decay may begin with a quick change: pieces that halve towards 0.
    return mp.quad(lambda v: mp.exp(h(v)), [0] + [length / 2 ** j for j in range(20, -1, -1)])


def gamma_tails(a, x):
    """(ln P, ln Q) of the regularised incomplete gamma functions."""
    a, x = mp.mpf(a), mp.mpf(x)
    if a <= 200 and x <= 2000:
        with mp.workdps(90):
            if x < a:
                lower = mp.log(mp.hyp1f1(1, a + 1, x)) + a * mp.log(x) - x - mp.loggamma(a + 1)
                return lower, mp.log(mp.gammainc(a, x, mp.inf, regularized=True))
            upper = mp.log(mp.gammainc(a, x, mp.inf, regularized=True))
            return both(upper)[::-1]
    # Density of w = ln t: exp(a w - e^w) / Gamma(a).
    head = a * mp.log(x) - x - mp.loggamma(a)
    sign = 1 if x >= a else -1
    tail = head + mp.log(integral(lambda v: sign * a * v - x * mp.expm1(sign * v), abs(x - a), x))
    return both(tail)[::-1] if x >= a else both(tail)


def beta_tails(a, b, x, y):
    """(ln I_x(a, b), ln I_y(b, a)), y = 1 - x."""
    a, b, x, y = map(mp.mpf, (a, b, x, y))
    if a * y < b * x:
        return beta_tails(b, a, y, x)[::-1]
    head = a * mp.log(x) + b * mp.log(y) + mp.loggamma(a + b) - mp.loggamma(a) - mp.loggamma(b)
    if min(a, b) <= 40 and max(a, b) <= 400:
        with mp.workdps(90):
            return both(head + mp.log(mp.hyp2f1(1, a + b, a + 1, x) / a))
    n = a + b
    return both(head + mp.log(integral(lambda v: -a * v - n * mp.log1p(x * mp.expm1(-v)), a * y - b * x, n * x * y)))


def normal():
    zs = [0, 1e-300, 1e-9, 0.1, 0.5, 0.6744897501960817, 1, 1.5, 2, 3, 4, 5, 6, 7.5, 8.3, 10, 15, 20, 26, 30, 37, 38.5, 50, 100, 1e3, 1414.3, 1e5, 1e8, 1e100]
    rows = []
    for z in zs + [-z for z in zs[2:] if z < 38]:
        with mp.workdps(60 + (600 if abs(z) < 40 else 0)):
            z_mp = mp.mpf(z)
            if z_mp < 1000:
                rows.append([z, mp.log(mp.erfc(z_mp / mp.sqrt(2)) / 2)])
            else:
                s = mp.nsum(lambda k: (-1) ** int(k) * mp.fac2(2 * int(k) - 1) / z_mp ** (2 * int(k)), [0, 12])
                rows.append([z, -z_mp ** 2 / 2 - mp.log(z_mp) - mp.log(2 * mp.pi) / 2 + mp.log(s)])
    write("normal", ["z", "ln_sf"], rows)


def ln_gamma():
    xs = [1e-300, 1e-10, 1e-3, 0.1, 0.5, 0.999, 1.5, 2.001, 2.5, 3, 5.5, 7.99, 8, 8.01, 12, 33.3, 100, 1e3, 1e6, 1e12, 1e100, 1e300]
    write("ln_gamma", ["x", "ln_gamma"], [[x, mp.loggamma(mp.mpf(x))] for x in xs])


def gamma():
    rows = []
    for a in [1e-8, 1e-4, 0.01, 0.3, 0.5, 0.9, 1, 1.5, 2.7, 5, 8, 11.9, 12, 13, 20, 35, 49, 51, 100, 150, 999, 1001, 1e4, 1e6, 1e8, 1e12, 1e15]:
        sd = a ** 0.5
        xs = {a * f for f in (1e-6, 0.01, 0.1, 0.3, 0.59, 0.61, 0.9, 1, 1.1, 1.39, 1.41, 2, 5, 20, 300)}
        xs |= {a + s * sd for s in (-5, -1, -0.1, 0.1, 1, 3, 7) if a + s * sd > 0}
        xs |= {1e-300, 0.5, 1.4, 1.6} if a < 2 else set()
        rows += [[a, x, *gamma_tails(a, x)] for x in sorted(xs)]
    write("gamma", ["shape", "x", "ln_cdf", "ln_sf"], rows)


def chi_square():
    rows = []
    for n in [0.7, 1, 2, 3, 5, 10, 30, 100, 1000, 1e5]:
        rows += [[n, x, gamma_tails(mp.mpf(n) / 2, mp.mpf(x) / 2)[1]] for x in (0.01 * n, 0.5 * n, n, 2 * n, 10 * n, 1e3 * n, 2e6)]
    write("chi_square", ["n", "x", "ln_sf"], rows)


def poisson():
    rows = []
    for mean in [1e-10, 0.01, 0.3, 1, 2.5, 7, 13, 30, 100.5, 1e3, 12345.6, 1e6, 1e9]:
        sd = mean ** 0.5
        ks = {0, 1, 2, 3, 10, 50} | {max(0, int(mean + s * sd)) for s in (-20, -6, -2, -1, 0, 1, 2, 6, 20, 100)} | {int(3 * mean) + 1, int(mean / 3)}
        for k in sorted(k for k in ks if k < 30 * mean + 1000):
            m = mp.mpf(mean)
            ln_pmf = k * mp.log(m) - m - mp.loggamma(k + 1)
            above = gamma_tails(k, m)[0] if k > 0 else 0
            rows.append([mean, k, ln_pmf, gamma_tails(k + 1, m)[1], above])
    write("poisson", ["mean", "k", "ln_pmf", "ln_cdf", "ln_sf_inclusive"], rows)


def negative_binomial():
    rows = []
    for mean in [0.01, 0.5, 3, 20, 150, 1e3, 1e5, 1e7]:
        for r in [0.05, 0.5, 1, 3, 11, 80, 1e3, 1e5, 1e9, 1e14]:
            sd = (mean + mean * mean / r) ** 0.5
            ks = {0, 1, 2, 7} | {max(0, int(mean + s * sd)) for s in (-4, -1, 0, 1, 3, 9, 40)}
            for k in sorted(k for k in ks if k <= 40 * max(mean, 5)):
                m, s = mp.mpf(mean), mp.mpf(r)
                q, p = m / (s + m), s / (s + m)
                none = s * mp.log(p)
                if k == 0:
                    rows.append([mean, r, k, none, none, 0])
                    continue
                ln_pmf = mp.loggamma(k + s) - mp.loggamma(k + 1) - mp.loggamma(s) + s * mp.log(p) + k * mp.log(q)
                rows.append([mean, r, k, ln_pmf, beta_tails(k + 1, s, q, p)[1], beta_tails(k, s, q, p)[0]])
    write("negative_binomial", ["mean", "size", "k", "ln_pmf", "ln_cdf", "ln_sf_inclusive"], rows)


def student_t():
    rows = []
    for nu in [1, 1.5, 2, 3, 5.5, 10, 30, 100, 1e3, 1e5, 1e8, 1e12]:
        for t in [1e-9, 0.01, 0.3, 0.9, 1, 1.3, 2, 3, 5, 8, 13, 40, 1e3, 1e8, 1e50, 1e200]:
            n, v = mp.mpf(nu), mp.mpf(t)
            rows.append([nu, t, beta_tails(n / 2, 0.5, n / (n + v * v), v * v / (n + v * v))[0] - mp.log(2)])
    write("student_t", ["nu", "t", "ln_sf"], rows)


def beta():
    rows = []
    for a in [0.01, 0.5, 1, 2.5, 7.9, 9, 30, 301, 2000, 1e5]:
        for b in [0.01, 0.5, 1, 3.5, 8.1, 40, 310, 5000, 1e6]:
            for x in sorted({a / (a + b) * f for f in (1e-3, 0.5, 0.9, 0.99, 1)} | {0.3, 1 - b / (a + b) * 0.9, 1 - b / (a + b) * 0.25}):
                if 0 < x < 1:
                    rows.append([a, b, x, *beta_tails(a, b, x, 1 - mp.mpf(x))])
    write("beta", ["a", "b", "x", "ln_cdf", "ln_sf"], rows)


def combine():
    def deviation(ln_p):
        # Upper quantile at p/2, by Newton from the leading term, in 50 digits.
        target = mp.mpf(ln_p) - mp.log(2)
        z = mp.sqrt(max(mp.mpf(1) / 10, -2 * target - mp.log(max(1, -12 * target))))
        return mp.findroot(lambda z: mp.log(mp.erfc(z / mp.sqrt(2)) / 2) - target, z)
    rows = []
    for ps in [[-1, -1], [-0.1, -5], [-3, -3, -3], [-20, -0.5], [-700, -2, -1], [-5000, -5000], [-1] * 8, [-1e4, -1e3, -10, -1]]:
        s = sum(deviation(p) ** 2 for p in ps)
        rows.append([gamma_tails(mp.mpf(len(ps)) / 2, s / 2)[1]] + ps)
    write("combine", ["ln_joint", "ln_p..."], rows)


def quantiles():
    """Continuous quantiles by scipy, an implementation of its own: (kind, p, parameter, value); kinds 0 normal, 1 t, 2 gamma, 3 chi-square."""
    rows = []
    for p in [1e-300, 1e-50, 1e-9, 0.001, 0.025, 0.2, 0.5, 0.8, 0.975, 0.999, 1 - 1e-9]:
        rows.append([0, p, 0, st.norm.ppf(p)])
        rows += [[1, p, nu, st.t.ppf(p, nu)] for nu in (1, 2, 4.5, 30, 1e4) if p > 1e-60 and p != 0.5]
        rows += [[2, p, a, st.gamma.ppf(p, a)] for a in (0.02, 0.5, 1, 3.3, 50, 1e5) if st.gamma.ppf(p, a) > 1e-290]
        rows += [[3, p, n, st.chi2.ppf(p, n)] for n in (1, 2, 7, 200) if st.chi2.ppf(p, n) > 1e-290]
    write("quantiles", ["kind", "p", "parameter", "x"], rows)
    rows = []
    for p in [1e-12, 0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9999, 1 - 1e-10]:
        rows += [[0, p, m, 0, st.poisson.ppf(p, m)] for m in (0.01, 0.7, 3, 25.5, 1e3, 1e6)]
        rows += [[1, p, m, r, st.nbinom.ppf(p, r, r / (r + m))] for m in (0.1, 5, 300) for r in (0.3, 4, 90)]
    write("quantiles_discrete", ["kind", "p", "mean", "size", "k"], rows)


if __name__ == "__main__":
    for f in [normal, ln_gamma, gamma, chi_square, poisson, negative_binomial, student_t, beta, combine, quantiles]:
        if len(sys.argv) < 2 or f.__name__ in sys.argv[1:]:
            f()
