//! How random a text looks.
//!
//! Pure functions over bytes. The formats and the assignments call them.

/// Shannon's entropy of the bytes, in bits per byte: 0 for none or one value, at most 8.
pub(super) fn shannon(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

/// Which kinds of characters occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) lower: bool,
    pub(super) upper: bool,
    pub(super) digit: bool,
    pub(super) other: bool,
}

impl Kinds {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            lower: bytes.iter().any(u8::is_ascii_lowercase),
            upper: bytes.iter().any(u8::is_ascii_uppercase),
            digit: bytes.iter().any(u8::is_ascii_digit),
            other: bytes.iter().any(|byte| !byte.is_ascii_alphanumeric()),
        }
    }

    pub(super) fn letter(self) -> bool {
        self.lower || self.upper
    }
}

#[cfg(test)]
mod tests;
