//! How often something can happen that was seen so often: the upper end of the exact interval of Clopper and Pearson
//! (Biometrika 26, 1934). For what never happened it is the "rule of three": about 3 in as many as were tried.

/// One in twenty such intervals may miss the truth.
const ALPHA: f64 = 0.05;
/// Halvings of the interval: to the precision of a float.
const HALVINGS: usize = 60;

/// The largest rate at which `seen` or fewer of `tried` would still be seen once in twenty times. 1 when nothing was
/// tried.
pub(super) fn upper95(seen: usize, tried: usize) -> f64 {
    if seen >= tried {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let rate = f64::midpoint(low, high);
        if at_most(seen, tried, rate) > ALPHA { low = rate } else { high = rate }
    }
    high
}

/// The chance of `seen` or fewer in `tried` at this rate.
#[allow(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^53")]
fn at_most(seen: usize, tried: usize, rate: f64) -> f64 {
    // By logarithms: the first term alone is smaller than any float for large counts.
    let (yes, no) = (rate.ln(), (1.0 - rate).ln());
    let mut choose = 0.0;
    let mut sum = 0.0;
    for count in 0..=seen {
        if count > 0 {
            choose += ((tried - count + 1) as f64).ln() - (count as f64).ln();
        }
        let hits = if count == 0 { 0.0 } else { count as f64 * yes };
        sum += (choose + hits + (tried - count) as f64 * no).exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_tables() {
        // One-sided 95%: R's `binom.test(x, n, alternative = "less")`.
        for (seen, tried, expected) in [
            (0, 10, 0.258_866),
            (0, 100, 0.029_513),
            (1, 10, 0.394_163),
            (5, 100, 0.102_253),
            (0, 3_000, 0.000_998),
        ] {
            let bound = upper95(seen, tried);
            assert!((bound - expected).abs() < 5e-6, "{seen} of {tried}: {bound}");
        }
        assert!((upper95(3, 3) - 1.0).abs() < f64::EPSILON && (upper95(0, 0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_never_happened_is_bounded_by_the_rule_of_three() {
        assert!((upper95(0, 10_000) * 10_000.0 - 3.0).abs() < 0.01);
    }
}
