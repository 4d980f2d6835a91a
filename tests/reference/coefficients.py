#!/usr/bin/env python3
"""Prints the coefficient tables of src/numerics/special (they are pasted there), from 60-digit arithmetic.

mills   (z + K)·R(z), R the Mills ratio sf/pdf of the normal distribution, as a polynomial in t = (z - K)/(z + K), z >= 0
temme   c_k(eta) = sum d[k][n] eta^n of the uniform expansion of the incomplete gamma functions (DLMF 8.12.7-8.12.14)
zeta    (zeta(k) - 1)/k of the series for ln Gamma(1 + a) (DLMF 5.7.3)
gauss   nodes and weights of Gauss-Legendre quadrature on [0, 1]
"""
import sys
from fractions import Fraction
import mpmath as mp
mp.mp.dps = 60


def show(name, values):
    print(f"// {name}")
    for v in values:
        print(f"    {float(v)!r},")


def mills(k=6, degree=22):
    def f(t):
        z = k * (1 + t) / (1 - t)
        return (z + k) * mp.sqrt(mp.pi / 2) * mp.erfc(z / mp.sqrt(2)) * mp.exp(z * z / 2) if z < 1e6 else 1 + mp.mpf(k) / z
    n = 96
    xs = [mp.cos(mp.pi * (2 * j + 1) / (2 * n)) for j in range(n)]
    ys = [f(x) for x in xs]
    c = [2 / mp.mpf(n) * sum(y * mp.cos(m * mp.pi * (2 * j + 1) / (2 * n)) for j, y in enumerate(ys)) for m in range(degree + 1)]
    c[0] /= 2
    # Chebyshev to powers.
    t0, t1 = [mp.mpf(1)], [mp.mpf(0), mp.mpf(1)]
    poly = [mp.mpf(0)] * (degree + 1)
    for m in range(degree + 1):
        t = t0 if m == 0 else t1
        for i, v in enumerate(t):
            poly[i] += c[m] * v
        if m >= 1:
            t2 = [mp.mpf(0)] + [2 * v for v in t1]
            for i, v in enumerate(t0):
                t2[i] -= v
            t0, t1 = t1, t2
    print("// chebyshev tail", mp.nstr(abs(c[-1]), 3), "largest power", mp.nstr(max(map(abs, poly)), 4))
    return poly


def temme(terms=9, order=18):
    n = order + 2 * terms + 6
    # mu = sum alpha_j eta^j with eta^2/2 = mu - ln(1 + mu), that is eta (1 + mu) = mu mu'.
    alpha = [Fraction(0), Fraction(1)]
    for j in range(2, n + 1):
        # coefficient of eta^j: alpha_(j-1) = sum_{i} alpha_i (j + 1 - i) alpha_(j+1-i), solved for alpha_j.
        rhs = alpha[j - 1] - sum(alpha[i] * (j + 1 - i) * alpha[j + 1 - i] for i in range(2, j))
        alpha.append(rhs / (j + 1))
    # 1/mu = (1/eta) / (mu/eta)
    u = alpha[1:]
    inv = [Fraction(1)]
    for j in range(1, n):
        inv.append(-sum(u[i] * inv[j - i] for i in range(1, j + 1)))
    # inv[j] is the coefficient of eta^(j-1) in 1/mu. Stirling coefficients g_k from Gamma*(a) = exp(sum B_2k/(2k(2k-1)a^(2k-1))).
    s = [Fraction(0)] * (terms + 2)
    for k in range(1, (terms + 3) // 2 + 1):
        if 2 * k - 1 < len(s):
            s[2 * k - 1] = Fraction(*mp.bernfrac(2 * k)) / (2 * k * (2 * k - 1))
    g = [Fraction(1)]
    for m in range(1, terms + 2):
        g.append(sum(j * s[j] * g[m - j] for j in range(1, m + 1)) / m)
    tables = []
    # c_0 = 1/mu - 1/eta; c_k = (1/eta) c'_(k-1) + (-1)^k g_k / mu: the poles at 0 cancel.
    c = inv[1:]
    for k in range(terms):
        if k > 0:
            d = [(i + 1) * c[i + 1] for i in range(len(c) - 1)]  # c'
            pole = d[0] + (-1) ** k * g[k] * inv[0]
            assert pole == 0, (k, pole)
            c = [d[i + 1] + (-1) ** k * g[k] * inv[i + 1] for i in range(len(d) - 1)]
        tables.append([mp.mpf(v.numerator) / v.denominator for v in c[: max(2, order - 2 * k)]])
    return tables


def zeta(count=28):
    return [(mp.zeta(k) - 1) / k for k in range(2, count)]


def gauss(n=20):
    nodes = []
    for i in range(n):
        near = mp.cos(mp.pi * (i + mp.mpf(3) / 4) / (n + mp.mpf(1) / 2))
        x = mp.findroot(lambda t: mp.legendre(n, t), (near, near + mp.mpf(10) ** -6))
        d = n * (x * mp.legendre(n, x) - mp.legendre(n - 1, x)) / (x * x - 1)
        nodes.append(((1 + x) / 2, 1 / ((1 - x * x) * d * d)))
    return sorted(nodes)


if __name__ == "__main__":
    print(f"// mpmath {mp.__version__}, Python {sys.version.split()[0]}")
    show("mills, powers of t", mills())
    for k, row in enumerate(temme()):
        show(f"temme c_{k}", row)
    show("zeta", zeta())
    show("gauss nodes", [x for x, _ in gauss()])
    show("gauss weights", [w for _, w in gauss()])
