//! Numbers as Java prints them.

/// A mean with up to four decimals and at least one (`0.0`, `5.2222`), from a sum and a count; `unit` is how many of the
/// sum's units make one of the mean's.
pub(super) fn mean(sum: u64, count: u64, unit: u64) -> String {
    let parts = (u128::from(count) * u128::from(unit)).max(1);
    let scaled = (u128::from(sum) * 10_000 + parts / 2) / parts;
    let decimals = format!("{:04}", scaled % 10_000);
    let decimals = decimals.trim_end_matches('0');
    format!("{}.{}", scaled / 10_000, if decimals.is_empty() { "0" } else { decimals })
}

/// Java says -1 before the first.
pub(super) fn or_minus_one(size: u64) -> i64 {
    if size == 0 { -1 } else { size as i64 }
}

#[cfg(test)]
mod tests {
    use super::mean;

    #[test]
    fn means_have_one_to_four_decimals() {
        assert_eq!(mean(0, 0, 1000), "0.0");
        assert_eq!(mean(22, 1, 1), "22.0");
        assert_eq!(mean(2314, 303, 1), "7.637");
        assert_eq!(mean(217, 305, 1), "0.7115");
        assert_eq!(mean(1_500, 2, 1000), "0.75");
        assert_eq!(mean(19_999_999, 2, 1000), "9999.9995".to_owned());
        assert_eq!(mean(u64::MAX, 1, 1), format!("{}.0", u64::MAX));
    }
}
