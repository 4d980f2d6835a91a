//! What must hold of the numerics for any argument: identities between functions that are computed in different ways, monotone tails,
//! calibrated combinations. Exactness of sums and sketches is stated beside these, in their own files.

use proptest::prelude::*;
use tidewatch::numerics::combine::{ln_extreme, ln_joint, ln_joint_pair};
use tidewatch::numerics::log_domain::ln_add_exp;
use tidewatch::numerics::special::{
    beta, chi_square, gamma, lognormal, negative_binomial, normal, poisson, student_t,
};

/// Tails next to each other may be computed in different ways; each is good to 1e-11.
const SEAM: f64 = 2e-11;

/// Positive numbers of any magnitude between e^low and e^high.
fn magnitude(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low..high).prop_map(f64::exp)
}

/// Logs of probabilities, from 1 down to e^-1000000.
fn ln_p() -> impl Strategy<Value = f64> {
    prop_oneof![-3.0..0.0f64, -800.0..0.0f64, -1e6..0.0f64, Just(0.0)]
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= SEAM * a.abs().max(1.0)
}

/// Every upper tail there is, at the point that lies `z` standard deviations or so above the middle.
fn upper_tails(x: f64, size: f64) -> [f64; 7] {
    [
        normal::ln_sf(x - size.min(10.0)),
        lognormal::ln_sf(x, 0.0, size),
        gamma::ln_sf(x, size, 1.0),
        chi_square::ln_sf(x, size),
        student_t::ln_sf(x - 10.0, size.max(1.0)),
        beta::ln_sf(x / (x + 1.0), size, 7.5),
        negative_binomial::ln_sf_inclusive(x, 20.0, size),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn tails_fall_and_stay_within_bounds(x in magnitude(-20.0, 14.0), step in 1e-6..3.0f64, size in magnitude(-3.0, 16.0)) {
        let (near, far) = (upper_tails(x, size), upper_tails(x * (1.0 + step), size));
        for (i, (near, far)) in near.into_iter().zip(far).enumerate() {
            prop_assert!(near <= 0.0 && far <= 0.0, "{}: {} {}", i, near, far);
            prop_assert!(far <= near || close(near, far), "{}: {} then {}", i, near, far);
        }
        // Poisson in both arguments: more is likelier at a larger mean.
        prop_assert!(poisson::ln_sf_inclusive(x, size) <= poisson::ln_sf_inclusive(x, size * (1.0 + step)) + SEAM);
    }

    #[test]
    fn no_argument_makes_a_nan(x in prop_oneof![any::<f64>(), Just(0.0), Just(f64::INFINITY)], size in magnitude(-12.0, 30.0)) {
        prop_assume!(!x.is_nan());
        for (i, tail) in upper_tails(x, size).into_iter().enumerate() {
            prop_assert!(tail <= 0.0, "{}: {}", i, tail);
        }
        for ln in [normal::ln_cdf(x), gamma::ln_cdf(x, size, 1.0), beta::ln_cdf(x, size, 0.5), poisson::ln_pmf(x, size), poisson::ln_cdf(x, size)] {
            prop_assert!(ln <= 1e-12, "{}", ln);
        }
    }

    #[test]
    fn a_poisson_tail_is_its_first_probability_and_the_next_tail(mean in magnitude(-8.0, 20.0), z in -6.0..40.0f64) {
        let k = (mean + z * mean.sqrt()).max(0.0).floor();
        let (here, next) = (poisson::ln_sf_inclusive(k, mean), poisson::ln_sf_inclusive(k + 1.0, mean));
        prop_assert!(close(here, ln_add_exp(poisson::ln_pmf(k, mean), next)), "{} {}", mean, k);
    }

    #[test]
    fn a_negative_binomial_tail_is_its_first_probability_and_the_next_tail(
        mean in magnitude(-5.0, 16.0), size in magnitude(-2.0, 25.0), z in -4.0..30.0f64
    ) {
        let k = (mean + z * (mean + mean * mean / size).sqrt()).max(0.0).floor();
        let tail = |k| negative_binomial::ln_sf_inclusive(k, mean, size);
        prop_assert!(close(tail(k), ln_add_exp(negative_binomial::ln_pmf(k, mean, size), tail(k + 1.0))), "{}", k);
    }

    #[test]
    fn a_negative_binomial_of_great_size_is_poisson(mean in magnitude(-4.0, 7.0), z in -4.0..10.0f64) {
        let k = (mean + z * mean.sqrt()).max(0.0).floor();
        // The two part by (k - mean)² / 2r and smaller terms.
        let parting = 1e-12 * ((k - mean).powi(2) + k + mean) + SEAM;
        let off = negative_binomial::ln_sf_inclusive(k, mean, 1e12) - poisson::ln_sf_inclusive(k, mean);
        prop_assert!(off.abs() <= parting, "{} {}: {}", mean, k, off);
    }

    #[test]
    fn special_cases_have_their_closed_forms(x in magnitude(-10.0, 10.0), a in magnitude(-5.0, 10.0)) {
        prop_assert!(close(gamma::ln_sf(x, 1.0, 1.0), -x));
        prop_assert!(close(chi_square::ln_sf(x, 2.0), -0.5 * x));
        prop_assert!(close(student_t::ln_sf(x, 1.0), ((1.0 / x).atan() / std::f64::consts::PI).ln()));
        let share = x / (x + 1.0);
        prop_assert!(close(beta::ln_cdf(share, a, 1.0), a * share.ln()));
        prop_assert!((chi_square::ln_sf(x * x, 1.0) - normal::ln_sf(x) - 2f64.ln()).abs() <= SEAM * (1.0 + x * x));
    }

    #[test]
    fn quantiles_invert_the_tails(p in prop_oneof![0.001..0.999f64, magnitude(-600.0, -1.0)], shape in magnitude(-0.1, 12.0)) {
        let ln_p = p.ln();
        prop_assert!(close(gamma::ln_cdf(gamma::quantile(p, shape, 2.0), shape, 2.0), ln_p));
        prop_assert!(close(normal::ln_cdf(normal::quantile(p)), ln_p));
        let nu = shape.max(1.0);
        prop_assert!(close(student_t::ln_cdf(student_t::quantile(p, nu), nu), ln_p));
        let k = negative_binomial::quantile(p, shape, 3.0);
        prop_assert!(negative_binomial::ln_cdf(k, shape, 3.0) >= ln_p - SEAM);
        prop_assert!(negative_binomial::ln_cdf(k - 1.0, shape, 3.0) < ln_p + SEAM);
        // Where the guess overflows, a number still comes back.
        prop_assert!(negative_binomial::quantile(p, 1e200, shape) >= 0.0 && poisson::quantile(p, f64::INFINITY) >= 0.0);
    }

    #[test]
    fn combinations_are_total_and_fall_with_their_inputs(
        mut ps in prop::collection::vec(ln_p(), 1..9), at in 0usize..9, lower in 0.01..50.0f64, rho in 0.0..1.0f64, n in magnitude(0.0, 25.0)
    ) {
        let at = at % ps.len();
        let before = [ln_joint(&ps), ln_joint_pair(ps[0], ps[at], rho), ln_extreme(ps[at], n)];
        ps[at] -= lower;
        let after = [ln_joint(&ps), ln_joint_pair(ps[0], ps[at], rho), ln_extreme(ps[at], n)];
        for (before, after) in before.into_iter().zip(after) {
            prop_assert!(after <= 0.0 && after <= before + SEAM * before.abs().max(1.0), "{} {}", before, after);
        }
        prop_assert!(after[0] > f64::NEG_INFINITY);
        prop_assert!(after[2] >= ps[at] - 1e-12 * ps[at].abs(), "the smallest of many is no rarer than one");
    }
}

/// Uniform numbers in (0, 1) from Steele's SplitMix64.
fn uniforms(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53) + 2f64.powi(-54)
    })
}

#[test]
fn joint_probabilities_are_uniform_when_their_parts_are() {
    const SAMPLES: usize = 40_000;
    let mut uniform = uniforms(7);
    for alpha in [0.1f64, 0.01, 0.001] {
        let mut hits = [0usize; 4];
        for _ in 0..SAMPLES {
            let mut draw = || uniform.next().expect("endless");
            let (u, v) = (draw(), draw());
            hits[0] += usize::from(ln_joint(&[u.ln(), v.ln(), draw().ln()]) < alpha.ln());
            let smallest = (0..20).map(|_| draw().ln()).fold(0.0, f64::min);
            hits[1] += usize::from(ln_extreme(smallest, 20.0) < alpha.ln());
            for (hit, rho) in [(2, 0.0f64), (3, 0.5)] {
                let (z1, z2): (f64, f64) = (normal::quantile(u), normal::quantile(v));
                let correlated = rho * z1 + (1.0 - rho * rho).sqrt() * z2;
                let two_sided = |z: f64| normal::ln_sf(z.abs()) + 2f64.ln();
                hits[hit] += usize::from(
                    ln_joint_pair(two_sided(z1), two_sided(correlated), rho) < alpha.ln(),
                );
            }
        }
        for (i, hits) in hits.into_iter().enumerate() {
            let ratio = hits as f64 / SAMPLES as f64 / alpha;
            assert!(
                (0.5..2.0).contains(&ratio),
                "combination {i}: {ratio} times as many below {alpha} as there should be"
            );
            println!("combination {i}: {ratio:.3} of {alpha}");
        }
    }
}
