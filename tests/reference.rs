//! The special functions against independent software: tests/reference/*.json, written by the scripts there (mpmath with 50 digits; scipy
//! for quantiles). A row holds arguments, then what is expected.
//!
//! An error counts as the smaller of two: relative in the probability (the absolute error of its log), or relative in the log. The first
//! is what matters for probabilities worth a name; the second for those like e^-100000, whose log has no more digits than a double.

use tidewatch::numerics::special::{
    beta, chi_square, gamma, ln_gamma, negative_binomial, normal, poisson, student_t,
};
use tidewatch::numerics::{combine, log_domain};

/// The tail of the normal distribution: a polynomial good to 4e-16, and the rounding of z²/2.
const NORMAL_TOLERANCE: f64 = 4e-15;
/// Gamma and Poisson tails: truncation 1e-13, rounding of `a·ln x - x`.
const GAMMA_TOLERANCE: f64 = 1e-12;
/// Beta, t and negative binomial tails: the same, and differences of three log gammas.
const BETA_TOLERANCE: f64 = 2e-11;
/// Quantiles: Newton's method stops at 1e-14 in ln x; scipy's own are good to some 1e-12.
const QUANTILE_TOLERANCE: f64 = 1e-10;

/// The rows of a table, one a line. Read by the standard library, to the bit: serde_json may be off by one in the last place.
fn rows(name: &str) -> Vec<Vec<f64>> {
    let path = format!("{}/tests/reference/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the table is committed beside the script");
    let numbers = |row: &str| -> Vec<f64> {
        let cells = row.trim_matches(|c| c == '[' || c == ']').split(", ");
        cells.map(|cell| cell.parse().expect("a number")).collect()
    };
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|line| line.starts_with('['))
        .map(|line| numbers(line.trim_end_matches(',')))
        .collect();
    assert!(!rows.is_empty(), "{path} holds rows");
    rows
}

fn error(found: f64, expected: f64) -> f64 {
    if found == expected {
        return 0.0;
    }
    let off = (found - expected).abs();
    if off.is_nan() {
        f64::INFINITY
    } else {
        off.min(off / expected.abs())
    }
}

/// Fails with the worst rows of a table. `check` gives pairs of what was found and what was expected.
fn check<const N: usize>(name: &str, tolerance: f64, check: impl Fn(&[f64]) -> [(f64, f64); N]) {
    let mut worst: Vec<(f64, String)> = Vec::new();
    for row in rows(name) {
        for (i, (found, expected)) in check(&row).into_iter().enumerate() {
            let error = error(found, expected);
            if error > tolerance {
                worst.push((
                    error,
                    format!("{row:?} [{i}]: {found}, expected {expected}"),
                ));
            }
        }
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown: Vec<String> = worst
        .iter()
        .take(12)
        .map(|(e, s)| format!("{e:.1e} {s}"))
        .collect();
    assert!(
        worst.is_empty(),
        "{name}: {} beyond {tolerance:e}\n{}",
        worst.len(),
        shown.join("\n")
    );
}

#[test]
fn normal_tails() {
    check("normal", NORMAL_TOLERANCE, |r| {
        [(normal::ln_sf(r[0]), r[1]), (normal::ln_cdf(-r[0]), r[1])]
    });
}

#[test]
fn the_normal_quantile_inverts_the_tail_to_any_depth() {
    for row in rows("normal") {
        let (z, ln_sf) = (row[0], row[1]);
        // Below the median p is near 1, and its log holds z only to the precision that 1 - p has.
        if z >= 0.5 || (-8.0..-0.5).contains(&z) {
            let found = normal::quantile_from_ln_sf(ln_sf);
            assert!((found - z).abs() <= 1e-14 * z.abs() + 1e-15, "{z}: {found}");
        }
    }
}

#[test]
fn log_gamma() {
    check("ln_gamma", 1e-14, |r| [(ln_gamma(r[0]), r[1])]);
}

#[test]
fn gamma_tails() {
    check("gamma", GAMMA_TOLERANCE, |r| {
        [
            (gamma::ln_cdf(r[1], r[0], 1.0), r[2]),
            (gamma::ln_sf(r[1], r[0], 1.0), r[3]),
        ]
    });
}

#[test]
fn chi_square_tails() {
    check("chi_square", GAMMA_TOLERANCE, |r| {
        [(chi_square::ln_sf(r[1], r[0]), r[2])]
    });
}

#[test]
fn poisson_probabilities_and_tails() {
    check("poisson", GAMMA_TOLERANCE, |r| {
        [
            (poisson::ln_pmf(r[1], r[0]), r[2]),
            (poisson::ln_cdf(r[1], r[0]), r[3]),
            (poisson::ln_sf_inclusive(r[1], r[0]), r[4]),
        ]
    });
}

#[test]
fn negative_binomial_probabilities_and_tails() {
    check("negative_binomial", BETA_TOLERANCE, |r| {
        [
            (negative_binomial::ln_pmf(r[2], r[0], r[1]), r[3]),
            (negative_binomial::ln_cdf(r[2], r[0], r[1]), r[4]),
            (negative_binomial::ln_sf_inclusive(r[2], r[0], r[1]), r[5]),
        ]
    });
}

#[test]
fn student_t_tails() {
    check("student_t", BETA_TOLERANCE, |r| {
        [(student_t::ln_sf(r[1], r[0]), r[2])]
    });
}

/// Plain tails are those whose logs are above -600; in the place of others stands the reference.
fn plain(tail: f64, ln: f64) -> (f64, f64) {
    if ln > -600.0 {
        (tail.ln(), ln)
    } else {
        (ln, ln)
    }
}

#[test]
fn plain_tails_are_those_of_the_logs() {
    check("student_t", BETA_TOLERANCE, |r| {
        let (right, left) = (
            student_t::probabilities(r[1], r[0]),
            student_t::probabilities(-r[1], r[0]),
        );
        [plain(right.upper, r[2]), plain(left.lower, r[2])]
    });
    check("gamma", GAMMA_TOLERANCE, |r| {
        let both = gamma::probabilities(r[1], r[0], 1.0);
        [plain(both.lower, r[2]), plain(both.upper, r[3])]
    });
    check("negative_binomial", BETA_TOLERANCE, |r| {
        let both = negative_binomial::probabilities(r[2], r[0], r[1]);
        [plain(both.lower, r[4]), plain(both.upper, r[5])]
    });
}

#[test]
fn beta_tails() {
    check("beta", BETA_TOLERANCE, |r| {
        [
            (beta::ln_cdf(r[2], r[0], r[1]), r[3]),
            (beta::ln_sf(r[2], r[0], r[1]), r[4]),
        ]
    });
}

#[test]
fn joint_probabilities() {
    check("combine", GAMMA_TOLERANCE, |r| {
        [(combine::ln_joint(&r[1..]), r[0])]
    });
}

#[test]
fn continuous_quantiles() {
    check("quantiles", QUANTILE_TOLERANCE, |r| {
        let (p, parameter) = (r[1], r[2]);
        let x = match r[0] as u32 {
            0 => normal::quantile(p),
            1 => student_t::quantile(p, parameter),
            2 => gamma::quantile(p, parameter, 1.0),
            _ => chi_square::quantile(p, parameter),
        };
        [(x, r[3])]
    });
}

#[test]
fn discrete_quantiles() {
    check("quantiles_discrete", 0.0, |r| {
        let (p, mean, size) = (r[1], r[2], r[3]);
        let k = if r[0] == 0.0 {
            poisson::quantile(p, mean)
        } else {
            negative_binomial::quantile(p, mean, size)
        };
        [(k, r[4])]
    });
}

#[test]
fn the_smallest_of_many_is_told_at_any_depth() {
    let ln = f64::ln;
    // 1 - exp(-x) = x·exp(-x/2 + x²/24 - ...)
    let x = (-700.0 + ln(1e300)).exp();
    for (ln_p, n, expected) in [
        (ln(0.01), 1.0, ln(0.01)),
        (ln(0.01), 10.0, ln(1.0 - 0.99f64.powi(10))),
        (-100.0, 1e6, -100.0 + 1e6f64.ln()),
        (-1e5, 1e6, -1e5 + 1e6f64.ln()),
        (-700.0, 1e300, ln(x) - x / 2.0 + x * x / 24.0),
        (0.0, 5.0, 0.0),
    ] {
        assert!(
            error(combine::ln_extreme(ln_p, n), expected) < 1e-12,
            "{ln_p} {n}"
        );
    }
}

#[test]
fn logs_add_and_subtract() {
    let ln = f64::ln;
    assert!(error(log_domain::ln_add_exp(ln(0.3), ln(0.1)), ln(0.4)) < 1e-15);
    assert!(error(log_domain::ln_sub_exp(ln(0.3), ln(0.1)), ln(0.2)) < 1e-15);
    assert_eq!(log_domain::ln_add_exp(-1e6, f64::NEG_INFINITY), -1e6);
    assert_eq!(log_domain::ln_sum_exp(&[]), f64::NEG_INFINITY);
    assert!(error(log_domain::ln_sum_exp(&[-1e5, -1e5, -1e9]), -1e5 + ln(2.0)) < 1e-15);
    assert!(error(log_domain::ln_1m_exp(-1e-20), ln(1e-20)) < 1e-15);
}
