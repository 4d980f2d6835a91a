//! How far a series wanders from itself: a variogram fitted to the errors of running means, and the best linear forecast under it.
//!
//! The variogram γ(j) is half the mean square of the difference of two values j samples apart. It is taken to be a sum of what never lasts (a nugget),
//! what is forgotten exponentially (γ = ρ^c − ρ^j, of three ranges) and what is never forgotten (a random walk, γ = (j − c)/2), each with a weight of at least 0; c =
//! (1 − 1/n²)/3 is the mean distance within a sample that is the mean of n values: averaging takes away what happens there (Journel and Huijbregts 1978). For an
//! exponential running mean with gain g the weights of the values are g(1 − g)^i, so that the mean square of its one-step error and its error j samples
//! ahead are closed forms in γ. The weights are those that explain the errors seen (non-negative least squares). What lasts for days and what is never
//! forgotten look alike to anybody who has seen a few weeks, so fits with more and fewer ranges are averaged, each by its Akaike weight (Burnham and Anderson 2002): a walk taken for
//! something that comes back would promise too much. The forecast is the combination of the running means that errs least (ordinary kriging). Source: Cressie, Statistics for Spatial Data (1993), 3.2: E(Z₀ − Σw Z)² = 2Σwγ₀ − ΣΣwwγ.
//! Units: samples; squares of values. Holds: variances are finite and at least 0, and never shrink with the distance.
//! Checked by: tests below, against sums term by term and simulated series.

/// Running means.
pub(super) const MEANS: usize = 4;
/// Parts of a variogram.
const PARTS: usize = 5;
const NUGGET: usize = 0;
const WALK: usize = PARTS - 1;
/// What is forgotten last.
const LONGEST: usize = WALK - 1;
/// Sweeps of the least squares; five unknowns settle in far fewer.
const SWEEPS: usize = 200;
/// A share of the largest error below which errors are rounding.
const ROUNDING: f64 = 1e-9;

/// A fitted variogram of a series of which running means with these gains are kept.
#[derive(Clone, Debug)]
pub(super) struct Variogram {
    gains: [f64; MEANS],
    /// ρ of the parts that are forgotten, in the order of the parts.
    memories: [f64; PARTS],
    weights: [f64; PARTS],
    samples: f64,
    /// The mean distance of two values within a sample.
    averaged: f64,
}

/// What there is to fit a variogram to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Of the running means.
    pub(super) gains: [f64; MEANS],
    /// Mean squares of their one-step errors.
    pub(super) squares: [f64; MEANS],
    /// Samples that these stand on.
    pub(super) samples: f64,
    /// Values that a sample is the mean of.
    pub(super) values: f64,
}

/// A combination of running means, and its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kriged {
    /// Of each mean; they sum to 1.
    pub(super) shares: [f64; MEANS],
    /// Mean square of the error.
    pub(super) variance: f64,
}

impl Variogram {
    /// The variogram that explains what was seen best. Ranges lie between the memories of neighbouring means: nothing finer is to be seen.
    pub(super) fn fit(seen: &Seen) -> Variogram {
        Variogram::blank(seen).average(seen.squares, MEANS, WALK)
    }

    /// The same from the errors of all but the longest memory, where what is seen of a walk is not yet what a slope does.
    pub(super) fn fit_short(seen: &Seen) -> Variogram {
        Variogram::blank(seen).average(seen.squares, MEANS - 1, LONGEST)
    }

    /// The average of fits with and without each of the parts before `lasting` and of the walk, each by its Akaike weight: what is never forgotten has to be told from what lasts, and least squares
    /// give every part that they may use some of it.
    fn average(self, squares: [f64; MEANS], means: usize, lasting: usize) -> Variogram {
        // The nugget and any of the others.
        let fits = (0..1_u8 << lasting).map(|others| {
            let parts = 1 | (others << 1 & ((1 << lasting) - 1)) | others >> (lasting - 1) << WALK;
            let fit = self.explain(squares, means, parts);
            let cost = fit.misfit(squares, means) + 2.0 * f64::from(parts.count_ones());
            (fit, cost)
        });
        let fits: Vec<(Variogram, f64)> = fits.collect();
        let least = fits.iter().map(|fit| fit.1).fold(f64::INFINITY, f64::min);
        let (mut weights, mut sum) = ([0.0; PARTS], 0.0);
        for (fit, cost) in &fits {
            let share = (-0.5 * (cost - least)).exp();
            sum += share;
            for (weight, own) in weights.iter_mut().zip(fit.weights) {
                *weight += share * own;
            }
        }
        Variogram {
            weights: weights.map(|weight| weight / sum),
            ..self
        }
    }

    fn blank(seen: &Seen) -> Variogram {
        let gains = seen.gains;
        let mut memories = [0.0; PARTS];
        for (part, pair) in gains.windows(2).enumerate() {
            let range = (1.0 / (pair[0] * pair[1])).sqrt();
            memories[part + 1] = (-1.0 / range).exp();
        }
        Variogram {
            gains,
            memories,
            weights: [0.0; PARTS],
            samples: seen.samples.max(1.0),
            averaged: (1.0 - 1.0 / (seen.values * seen.values)) / 3.0,
        }
    }

    /// Mean squares of the one-step errors that a walk of this variance a sample makes.
    pub(super) fn of_walk(seen: &Seen, drift: f64) -> [f64; MEANS] {
        let walk = Variogram::blank(seen);
        seen.gains.map(|gain| drift * walk.one_step(WALK, gain))
    }

    /// Coordinate descent on the squares of relative errors of the first `means`, each weighed by how many separate spans of its memory there were. Of the
    /// parts, those before `lasting` and the walk take part.
    fn explain(&self, squares: [f64; MEANS], means: usize, parts: u8) -> Variogram {
        let most = squares.iter().copied().fold(0.0, f64::max);
        if most <= 0.0 {
            return self.clone();
        }
        let parts = || (0..PARTS).filter(|part| parts & (1 << part) != 0);
        let mut rows = [[0.0; PARTS]; MEANS];
        let mut wanted = [0.0; MEANS];
        for (mean, gain) in self.gains.into_iter().enumerate().take(means) {
            let scale = squares[mean] / most + ROUNDING;
            let trust = self.spans(gain).sqrt();
            wanted[mean] = trust * squares[mean] / most / scale;
            for part in parts() {
                rows[mean][part] = trust * self.one_step(part, gain) / scale;
            }
        }
        let mut weights = [0.0; PARTS];
        for _ in 0..SWEEPS {
            let before = weights;
            for part in parts() {
                let (mut product, mut norm) = (0.0, 0.0);
                for (row, wanted) in rows.iter().zip(wanted) {
                    let others: f64 = parts()
                        .filter(|&other| other != part)
                        .map(|other| row[other] * weights[other])
                        .sum();
                    product += row[part] * (wanted - others);
                    norm += row[part] * row[part];
                }
                weights[part] = if norm > 0.0 {
                    (product / norm).max(0.0)
                } else {
                    0.0
                };
            }
            if weights == before {
                break;
            }
        }
        Variogram {
            weights: weights.map(|weight| weight * most),
            ..self.clone()
        }
    }

    /// How many separate spans of a mean's memory the samples hold.
    fn spans(&self, gain: f64) -> f64 {
        1.0 + self.samples * gain
    }

    /// Twice the negative log likelihood of the first squares: the logarithm of one that stands on n spans has a variance of about 2/n.
    fn misfit(&self, squares: [f64; MEANS], means: usize) -> f64 {
        let of = |(gain, square): (f64, f64)| {
            let wanted = self.sum(|part| self.one_step(part, gain));
            match square > 0.0 && wanted > 0.0 {
                true => (square / wanted).ln().powi(2) * self.spans(gain) / 2.0,
                false => 0.0,
            }
        };
        self.gains
            .into_iter()
            .zip(squares)
            .take(means)
            .map(of)
            .sum()
    }

    /// Mean square of the one-step error of a running mean, where `part` is all there is.
    fn one_step(&self, part: usize, gain: f64) -> f64 {
        2.0 * self.to_mean(part, gain, 1.0) - self.between(part, gain, gain)
    }

    /// Σ wᵢ γ(j + i): from a value `ahead` samples after the last to a running mean.
    fn to_mean(&self, part: usize, gain: f64, ahead: f64) -> f64 {
        let left = 1.0 - gain;
        match part {
            NUGGET => 1.0,
            WALK => 0.5 * (ahead + left / gain - self.averaged),
            _ => {
                let memory = self.memories[part];
                memory.powf(self.averaged) - memory.powf(ahead) * gain / (1.0 - left * memory)
            }
        }
    }

    /// ΣΣ wᵢ w′ⱼ γ(|i − j|): between two running means.
    fn between(&self, part: usize, one: f64, other: f64) -> f64 {
        let (a, b) = (1.0 - one, 1.0 - other);
        let together = one * other / (1.0 - a * b);
        match part {
            NUGGET => 1.0 - together,
            WALK => {
                let walk = together * (a / (one * one) + b / (other * other));
                0.5 * (walk - self.averaged * (1.0 - together))
            }
            _ => {
                let memory = self.memories[part];
                let tail = |left: f64| left * memory / (1.0 - left * memory);
                let apart = memory.powf(self.averaged) * (1.0 - together);
                apart - together * (tail(a) + tail(b))
            }
        }
    }

    fn sum(&self, of: impl Fn(usize) -> f64) -> f64 {
        (0..PARTS)
            .filter(|&part| self.weights[part] > 0.0)
            .map(|part| self.weights[part] * of(part))
            .sum()
    }

    /// What the walk adds to the variance, a sample.
    pub(super) fn drift(&self) -> f64 {
        self.weights[WALK]
    }

    /// How often a walk was seen for as long as it needs to show above the rest.
    pub(super) fn walks_seen(&self) -> f64 {
        self.samples / self.seen_in(WALK)
    }

    /// How many samples it takes to see a part once.
    fn seen_in(&self, part: usize) -> f64 {
        let rest: f64 = self.weights[..WALK].iter().sum();
        match part {
            NUGGET => 1.0,
            WALK => 1.0 + (rest / self.weights[WALK].max(f64::MIN_POSITIVE)).min(self.samples),
            _ => (1.0 + self.memories[part]) / (1.0 - self.memories[part]),
        }
    }

    /// Variance of the mean of so many values in a row, without the walk: what comes and goes averages out, the sooner the shorter it lasts.
    pub(super) fn of_mean(&self, values: f64) -> f64 {
        (0..WALK)
            .map(|part| {
                let lasts = match part {
                    NUGGET => 1.0,
                    _ => (1.0 + self.memories[part]) / (1.0 - self.memories[part]),
                };
                self.weights[part] * (lasts / values).min(1.0)
            })
            .sum()
    }

    /// Degrees of freedom of the variance `ahead` samples on (Satterthwaite 1946): each part was seen once in so many samples as it lasts; a walk, in as many as it needs to
    /// show above the rest.
    pub(super) fn freedom(&self, ahead: f64) -> f64 {
        let (mut sum, mut squares) = (0.0, 0.0);
        for part in (0..PARTS).filter(|&part| self.weights[part] > 0.0) {
            let variance = match part {
                WALK => self.weights[part] * ahead,
                _ => self.weights[part],
            };
            sum += variance;
            squares += variance * variance * self.seen_in(part) / self.samples;
        }
        if squares > 0.0 {
            (sum * sum / squares).max(1.0)
        } else {
            f64::INFINITY
        }
    }

    /// The combination of the means that errs least `ahead` samples (at least 1) after the last value.
    pub(super) fn krige(&self, ahead: f64) -> Kriged {
        let ahead = ahead.max(1.0);
        let to: [f64; MEANS] = self
            .gains
            .map(|gain| self.sum(|part| self.to_mean(part, gain, ahead)));
        let mut between = [[0.0; MEANS]; MEANS];
        for (row, one) in between.iter_mut().zip(self.gains) {
            for (cell, other) in row.iter_mut().zip(self.gains) {
                *cell = self.sum(|part| self.between(part, one, other));
            }
        }
        let alone = |mean: usize| (2.0 * to[mean] - between[mean][mean]).max(0.0);
        let best = (0..MEANS)
            .min_by(|&a, &b| alone(a).total_cmp(&alone(b)))
            .unwrap_or(0);
        let single = Kriged {
            shares: std::array::from_fn(|mean| f64::from(u8::from(mean == best))),
            variance: alone(best),
        };
        let distinct: Vec<usize> = (0..MEANS)
            .filter(|&mean| !self.gains[..mean].contains(&self.gains[mean]))
            .collect();
        let Some(shares) = solve(&distinct, &to, &between) else {
            return single;
        };
        let mut variance = 0.0;
        for one in 0..MEANS {
            variance += 2.0 * shares[one] * to[one];
            for other in 0..MEANS {
                variance -= shares[one] * shares[other] * between[one][other];
            }
        }
        let is_better = variance > 0.0 && variance <= single.variance;
        match is_better && shares.iter().all(|share| share.is_finite()) {
            true => Kriged { shares, variance },
            false => single,
        }
    }
}

/// The shares that make the error least among those that sum to 1 (Lagrange), by elimination with the largest pivot.
fn solve(
    means: &[usize],
    to: &[f64; MEANS],
    between: &[[f64; MEANS]; MEANS],
) -> Option<[f64; MEANS]> {
    let size = means.len() + 1;
    let scale = means.iter().map(|&mean| to[mean]).fold(0.0, f64::max);
    if scale <= 0.0 {
        return None;
    }
    let mut rows = [[0.0; MEANS + 2]; MEANS + 1];
    for (row, &one) in rows.iter_mut().zip(means) {
        for (cell, &other) in row.iter_mut().zip(means) {
            *cell = between[one][other] / scale;
        }
        row[size - 1] = 1.0;
        row[size] = to[one] / scale;
    }
    rows[size - 1][..size - 1].fill(1.0);
    rows[size - 1][size] = 1.0;
    for at in 0..size {
        let pivot = (at..size).max_by(|&a, &b| rows[a][at].abs().total_cmp(&rows[b][at].abs()))?;
        rows.swap(at, pivot);
        if rows[at][at].abs() < ROUNDING {
            return None;
        }
        let pivot = rows[at];
        for (below, row) in rows[..size].iter_mut().enumerate() {
            if below != at {
                let times = row[at] / pivot[at];
                row.iter_mut()
                    .zip(pivot)
                    .for_each(|(cell, above)| *cell -= times * above);
            }
        }
    }
    let mut shares = [0.0; MEANS];
    for (at, &mean) in means.iter().enumerate() {
        shares[mean] = rows[at][size] / rows[at][at];
    }
    Some(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAINS: [f64; MEANS] = [1.0, 0.25, 1.0 / 24.0, 1.0 / 168.0];

    fn seen(squares: [f64; MEANS]) -> Seen {
        Seen {
            gains: GAINS,
            squares,
            samples: 1000.0,
            values: 2.0,
        }
    }

    fn of(weights: [f64; PARTS]) -> Variogram {
        Variogram {
            weights,
            ..Variogram::blank(&seen([0.0; MEANS]))
        }
    }

    fn gamma(variogram: &Variogram, lag: usize) -> f64 {
        variogram.sum(|part| match part {
            _ if lag == 0 => 0.0,
            NUGGET => 1.0,
            WALK => 0.5 * (lag as f64 - variogram.averaged),
            _ => {
                let memory = variogram.memories[part];
                memory.powf(variogram.averaged) - memory.powi(lag as i32)
            }
        })
    }

    #[test]
    fn closed_forms_are_the_sums_that_they_stand_for() {
        let variogram = of([1.0, 0.5, 2.0, 0.25, 0.125]);
        let weight = |gain: f64, i: usize| gain * (1.0 - gain).powi(i as i32);
        let terms = 3000;
        let gain = GAINS[2];
        let to: f64 = (0..terms)
            .map(|i| weight(gain, i) * gamma(&variogram, 24 + i))
            .sum();
        let closed = variogram.sum(|part| variogram.to_mean(part, gain, 24.0));
        assert!((to - closed).abs() < 1e-6 * closed, "{to} {closed}");
        let other = GAINS[1];
        let mut between = 0.0;
        for i in 0..1200 {
            for j in 0..400 {
                between += weight(gain, i) * weight(other, j) * gamma(&variogram, i.abs_diff(j));
            }
        }
        let closed = variogram.sum(|part| variogram.between(part, gain, other));
        assert!(
            (between - closed).abs() < 1e-6 * closed,
            "{between} {closed}"
        );
    }

    #[test]
    fn what_errors_were_made_of_is_found_again() {
        for weights in [
            [1.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 1.0],
            [1.0, 0.0, 3.0, 0.0, 0.0],
            [2.0, 0.0, 0.0, 0.0, 0.125],
        ] {
            let truth = of(weights);
            let squares = GAINS.map(|gain| truth.sum(|part| truth.one_step(part, gain)));
            let found = Variogram::fit(&seen(squares));
            for ahead in [1.0, 24.0, 168.0] {
                let (found, truth) = (found.krige(ahead).variance, truth.krige(ahead).variance);
                assert!(
                    (found / truth - 1.0).abs() < 0.2, // parts whose memories are near each other are told apart roughly
                    "{weights:?} {ahead}: {found} {truth}"
                );
            }
        }
    }

    #[test]
    fn noise_is_forecast_by_the_calmest_mean_and_a_walk_by_the_last_value() {
        let noise = of([1.0, 0.0, 0.0, 0.0, 0.0]).krige(24.0);
        assert!(noise.shares[3] > 0.8 && noise.variance < 1.01, "{noise:?}");
        let walk = of([0.0, 0.0, 0.0, 0.0, 1.0]).krige(24.0);
        assert!(
            walk.shares[0] > 0.99 && (walk.variance - 24.0).abs() < 0.3,
            "{walk:?}"
        );
    }

    #[test]
    fn the_variance_never_shrinks_with_the_distance() {
        for weights in [[1.0, 0.5, 2.0, 0.25, 0.125], [0.0, 1.0, 0.0, 1.0, 0.0]] {
            let variogram = of(weights);
            let variances: Vec<f64> = (1..2000)
                .map(|ahead| variogram.krige(f64::from(ahead)).variance)
                .collect();
            assert!(variances.is_sorted_by(|a, b| *a <= *b * (1.0 + 1e-9)));
        }
    }
}
