//! Numbers as people read them.

/// What stands where a figure is not known.
pub fn missing() -> String {
    "–".to_owned()
}

/// Why so many rounds have no interval, in words.
pub fn too_few(rounds: usize) -> String {
    format!("too few rounds ({rounds}) for an interval; run 2 or more (--rounds)")
}

/// The figure as text, or the sign for none.
pub fn or_missing<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(missing, text)
}

/// So many digits after the point.
pub fn decimal(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

/// Three significant digits, without exponent: for times that span orders of magnitude.
pub fn significant(value: f64) -> String {
    if value <= 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - value.log10().floor() as i32).clamp(0, 3) as usize;
    decimal(value, digits)
}

/// A whole number with thousands set apart.
pub fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in MiB.
pub fn mebibytes(bytes: f64) -> String {
    decimal(bytes / f64::from(1 << 20), 1)
}

/// Bytes in KiB.
pub fn kibibytes(bytes: f64) -> String {
    decimal(bytes / 1024.0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0.0, 7.0, 999.6, 1_234_567.0].map(count),
            ["0", "7", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0.0, 0.0214, 0.25, 3.2468, 25.04, 1234.5].map(significant),
            ["0", "0.021", "0.250", "3.25", "25.0", "1234"]
        );
        assert_eq!(mebibytes(1_572_864.0), "1.5");
    }
}
