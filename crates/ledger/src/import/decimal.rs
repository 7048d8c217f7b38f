//! Decimal texts as whole numbers of a small unit, exactly. Owns the reading of JSON numbers with fraction and exponent;
//! never uses a float, since a price that was rounded twice is another price.

use tidegate_core::money::PerMillion;

/// Digits that are read; what follows them is below any unit that counts.
const MOST_DIGITS: u32 = 36;

/// What an amount is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Dollars for one token.
    Token,
    /// Dollars for a million tokens.
    MillionTokens,
}

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAmount {
    /// It is below zero.
    Negative,
    /// It is no number.
    NotANumber,
    /// It is more than a price can be.
    TooLarge,
    /// It is above zero, and less than half of what a price can tell apart.
    TooSmall,
}

/// Reads a JSON number as a price: whole nano-dollars for a million tokens, rounded to the nearest (what lists carry
/// beyond that is the noise of their own floats).
///
/// # Errors
/// Why it is none.
pub fn price(text: &str, unit: Unit) -> Result<PerMillion, NoAmount> {
    let shift = match unit {
        Unit::Token => 15,
        Unit::MillionTokens => 9,
    };
    scaled(text, shift).map(PerMillion)
}

/// Reads a JSON number times ten to the power of `shift`, rounded to the nearest whole number.
///
/// # Errors
/// Why it is none.
pub fn scaled(text: &str, shift: i32) -> Result<u64, NoAmount> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (digits, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent = read_exponent(exponent)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(NoAmount::NotANumber);
    }
    let (mut mantissa, mut kept, mut place) = (0_u128, 0_u32, 0_i64);
    for (at, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let behind_point = at >= whole.len();
        if kept >= MOST_DIGITS {
            place = place.saturating_add(i64::from(!behind_point));
            continue;
        }
        mantissa = mantissa.saturating_mul(10).saturating_add(u128::from(digit.saturating_sub(b'0')));
        kept = kept.saturating_add(u32::from(mantissa > 0));
        place = place.saturating_sub(i64::from(behind_point));
    }
    if mantissa == 0 {
        return Ok(0);
    }
    if negative {
        return Err(NoAmount::Negative);
    }
    let power = place.saturating_add(exponent).saturating_add(i64::from(shift));
    let tens = |power: i64| u32::try_from(power).ok().and_then(|power| 10_u128.checked_pow(power));
    if power >= 0 {
        let value = tens(power).and_then(|tens| mantissa.checked_mul(tens)).ok_or(NoAmount::TooLarge)?;
        return u64::try_from(value).map_err(|_| NoAmount::TooLarge);
    }
    let Some(divisor) = tens(power.saturating_neg()) else { return Err(NoAmount::TooSmall) };
    let rounded = mantissa.saturating_add(divisor / 2) / divisor;
    match u64::try_from(rounded) {
        Ok(0) => Err(NoAmount::TooSmall),
        Ok(value) => Ok(value),
        Err(_) => Err(NoAmount::TooLarge),
    }
}

/// An exponent; one of more digits than any number needs counts as the largest.
fn read_exponent(text: &str) -> Result<i64, NoAmount> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoAmount::NotANumber);
    }
    let size: i64 = digits.parse().unwrap_or(i64::from(i32::MAX)).min(i64::from(i32::MAX));
    Ok(if negative { size.saturating_neg() } else { size })
}

#[cfg(test)]
mod tests;
