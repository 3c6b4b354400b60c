//! Comparing versions as the Version Format Specification (UAPI group) says, for boot entries and kernel names.

use std::cmp::Ordering;

/// Compares two versions; the greater is the newer.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (skip_foreign(a), skip_foreign(b));
        // A tilde is older than the end, the end is older than anything else.
        let step = mark(&mut a, &mut b, b'~').or(match (a.is_empty(), b.is_empty()) {
            (true, true) => Some(Step::Decided(Ordering::Equal)),
            (true, false) => Some(Step::Decided(Ordering::Less)),
            (false, true) => Some(Step::Decided(Ordering::Greater)),
            (false, false) => None,
        });
        let step = step.or_else(|| [b'-', b'^', b'.'].iter().find_map(|&byte| mark(&mut a, &mut b, byte)));
        match step {
            Some(Step::Decided(order)) => return order,
            Some(Step::Both) => continue,
            None => {}
        }
        let digits = [a, b].iter().any(|rest| rest.first().is_some_and(u8::is_ascii_digit));
        let (x, y);
        let order = if digits {
            (x, a) = split(a, u8::is_ascii_digit);
            (y, b) = split(b, u8::is_ascii_digit);
            compare_numbers(x, y)
        } else {
            (x, a) = split(a, u8::is_ascii_alphabetic);
            (y, b) = split(b, u8::is_ascii_alphabetic);
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Compares kernel releases: as [`compare`], but a release candidate is older than its release.
pub(super) fn compare_kernels(a: &str, b: &str) -> Ordering {
    compare(&a.replace("-rc", "~rc"), &b.replace("-rc", "~rc"))
}

enum Step {
    Decided(Ordering),
    /// Both had the mark, and it was taken off.
    Both,
}

/// The one that begins with the mark is the older.
fn mark(a: &mut &[u8], b: &mut &[u8], mark: u8) -> Option<Step> {
    match (a.split_first(), b.split_first()) {
        (Some((x, rest_a)), Some((y, rest_b))) if *x == mark && *y == mark => {
            (*a, *b) = (rest_a, rest_b);
            Some(Step::Both)
        }
        (Some((x, _)), _) if *x == mark => Some(Step::Decided(Ordering::Less)),
        (_, Some((y, _))) if *y == mark => Some(Step::Decided(Ordering::Greater)),
        _ => None,
    }
}

fn skip_foreign(text: &[u8]) -> &[u8] {
    let foreign = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-.~^".contains(byte);
    split(text, foreign).1
}

fn split(text: &[u8], of: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !of(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// Numbers of any length; none is less than zero.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits| split(digits, |&byte| byte == b'0').1;
    let (x, y) = (significant(a), significant(b));
    x.len()
        .cmp(&y.len())
        .then_with(|| x.cmp(y))
        .then_with(|| a.is_empty().cmp(&b.is_empty()).reverse())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_are_in_the_order_of_the_specification() {
        let sorted = [
            "122.1~rc1-1",
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123-3",
        ];
        let tail = ["123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"];
        let sorted: Vec<_> = sorted.iter().chain(&tail).collect();
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn the_newer_kernel_is_the_greater() {
        let sorted = [
            "5.10.0-9-amd64",
            "5.10.0-10-amd64",
            "6.1.0-rc3",
            "6.1.0",
            "6.1.0-47-cloud-amd64",
            "6.12.1+deb12",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare_kernels(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn comparing_ends_and_is_antisymmetric(a in ".{0,20}", b in "[0-9a-c.~^+-]{0,12}", c in "[0-9a-c.~^+-]{0,12}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&c, &b), compare(&b, &c).reverse());
        }
    }
}
