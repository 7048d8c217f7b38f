//! The arithmetic of national numbers: check digits, dates of birth, what is never given out.
//!
//! Pure functions over digits and letters without separators. Where the check is weak, or the form is also that of a
//! date or a count, a number is only possible, and a word has to say what it is.

use serde::Deserialize;

/// Which country's rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    UsSsn,
    UkNino,
    DeSteuerId,
    FrNir,
    EsDni,
    ItCodiceFiscale,
    NlBsn,
    PlPesel,
    SePersonnummer,
    BrCpf,
    InAadhaar,
    CnResidentId,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It is no such number.
    Wrong,
    /// It is one if a word says so.
    Possible,
    /// It is one.
    Sure,
}

impl Check {
    /// Weighs digits and letters; `parted` where separators stood between them.
    pub(super) fn weigh(self, symbols: &[u8], parted: bool) -> Weight {
        let right = match self {
            Self::UsSsn => us_ssn(symbols),
            Self::UkNino => uk_nino(symbols),
            Self::DeSteuerId => de_steuer_id(symbols),
            Self::FrNir => fr_nir(symbols),
            Self::EsDni => es_dni(symbols),
            Self::ItCodiceFiscale => it_codice_fiscale(symbols),
            Self::NlBsn => nl_bsn(symbols),
            Self::PlPesel => pl_pesel(symbols),
            Self::SePersonnummer => return se_personnummer(symbols),
            Self::BrCpf => br_cpf(symbols),
            Self::InAadhaar => in_aadhaar(symbols, parted),
            Self::CnResidentId => cn_resident_id(symbols),
        };
        if right { Weight::Sure } else { Weight::Wrong }
    }
}

fn value(byte: u8) -> u32 {
    u32::from(byte.wrapping_sub(b'0'))
}

/// The number that digits write; 0 for none.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(u64::from(value(*digit))))
}

/// The number in a part of the digits.
fn part(digits: &[u8], from: usize, to: usize) -> u64 {
    number(digits.get(from..to).unwrap_or_default())
}

/// The sum of digits times weights, for as many as there are weights.
fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| value(*digit) * weight).sum()
}

fn is_day(year: u64, month: u64, day: u64) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Areas 000, 666 and from 900 on, group 00 and serial 0000 are never given out.
fn us_ssn(digits: &[u8]) -> bool {
    let area = part(digits, 0, 3);
    area != 0 && area != 666 && area < 900 && part(digits, 3, 5) != 0 && part(digits, 5, 9) != 0
}

fn uk_nino(symbols: &[u8]) -> bool {
    let upper = |at: usize| symbols.get(at).copied().unwrap_or(0).to_ascii_uppercase();
    let (first, second, last) = (upper(0), upper(1), upper(8));
    !b"DFIQUV".contains(&first)
        && !b"DFIOQUV".contains(&second)
        && ![*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"].contains(&[first, second])
        && (b'A'..=b'D').contains(&last)
}

/// Of the first ten digits one occurs twice or three times, all others once at most; ISO/IEC 7064 MOD 11,10.
fn de_steuer_id(digits: &[u8]) -> bool {
    let mut counts = [0_u8; 10];
    for digit in digits.iter().take(10) {
        if let Some(count) = counts.get_mut(value(*digit) as usize) {
            *count += 1;
        }
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    let most = counts.iter().copied().max().unwrap_or(0);
    let product = digits.iter().take(10).fold(10, |product, digit| {
        let sum = (value(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    repeated == 1 && most <= 3 && digits.last().is_some_and(|last| value(*last) == (11 - product) % 10)
}

/// Sex, year, month (with the ranges for unknown ones), department, and the key mod 97; in Corsica 2A counts as 19 and
/// 2B as 18.
fn fr_nir(symbols: &[u8]) -> bool {
    let month = part(symbols, 3, 5);
    let corsica = match symbols.get(6) {
        Some(b'A') => Some(b"19"),
        Some(b'B') => Some(b"18"),
        _ => None,
    };
    let mut digits: smallvec::SmallVec<[u8; 16]> = symbols.into();
    if let Some(code) = corsica {
        digits.truncate(5);
        digits.extend_from_slice(code);
        digits.extend_from_slice(symbols.get(7..).unwrap_or_default());
    }
    let department = part(&digits, 5, 7);
    digits.iter().all(u8::is_ascii_digit)
        && ((1..=12).contains(&month) || (20..=42).contains(&month) || (50..=99).contains(&month))
        && department != 0
        && 97 - part(&digits, 0, 13) % 97 == part(&digits, 13, 15)
}

/// The letter is the number's remainder by 23; of foreigners' numbers X, Y and Z stand for 0, 1 and 2.
fn es_dni(symbols: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let Some((last, rest)) = symbols.split_last() else { return false };
    let mut digits: smallvec::SmallVec<[u8; 8]> = rest.into();
    if let Some(first) = digits.first_mut().filter(|first| first.is_ascii_alphabetic()) {
        match first.to_ascii_uppercase() {
            letter @ b'X'..=b'Z' => *first = letter - b'X' + b'0',
            _ => return false,
        }
    }
    let same = digits.iter().all(|digit| Some(digit) == digits.first());
    let place = usize::try_from(number(&digits) % 23).unwrap_or(0);
    !same && LETTERS.get(place) == Some(&last.to_ascii_uppercase())
}

/// Three letters each of the names, year, month's letter, day (women's plus 40), the place, and a check letter; where
/// two persons would share a code, letters stand for digits.
fn it_codice_fiscale(symbols: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    const REPLACED: &[u8; 10] = b"LMNPQRSTUV";
    let upper: smallvec::SmallVec<[u8; 16]> = symbols.iter().map(u8::to_ascii_uppercase).collect();
    let digit = |at: usize| {
        let byte = upper.get(at).copied().unwrap_or(0);
        if byte.is_ascii_digit() {
            Some(value(byte))
        } else {
            REPLACED.iter().position(|known| *known == byte).and_then(|place| u32::try_from(place).ok())
        }
    };
    let Some(day) = digit(9).zip(digit(10)).map(|(tens, ones)| tens * 10 + ones) else { return false };
    let numeric = [6, 7, 12, 13, 14].into_iter().all(|at| digit(at).is_some());
    let month = upper.get(8).is_some_and(|letter| b"ABCDEHLMPRST".contains(letter));
    let place = |byte: u8| if byte.is_ascii_digit() { value(byte) } else { u32::from(byte.wrapping_sub(b'A')) };
    let sum: u32 = upper
        .iter()
        .take(15)
        .enumerate()
        .map(|(at, byte)| {
            let place = place(*byte);
            if at % 2 == 0 { ODD.get(place as usize).copied().unwrap_or(0) } else { place }
        })
        .sum();
    numeric
        && month
        && ((1..=31).contains(&day) || (41..=71).contains(&day))
        && upper.get(15).is_some_and(|last| place(*last) == sum % 26 && last.is_ascii_uppercase())
}

/// The test by eleven: weights 9 to 2, and minus one for the last.
fn nl_bsn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]);
    let last = digits.get(8).map_or(0, |digit| value(*digit));
    sum > last && (sum - last).is_multiple_of(11)
}

/// A date of birth whose month tells the century, and weights 1, 3, 7, 9. Nobody is born in years yet to come, so of
/// the twenty-first century only the first third counts.
fn pl_pesel(digits: &[u8]) -> bool {
    let (year, month, day) = (part(digits, 0, 2), part(digits, 2, 4), part(digits, 4, 6));
    let (year, month) = match month {
        1..=12 => (1900 + year, month),
        21..=32 if year <= 33 => (2000 + year, month - 20),
        81..=92 => (1800 + year, month - 80),
        _ => return false,
    };
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    is_day(year, month, day) && digits.get(10).is_some_and(|last| value(*last) == (10 - sum % 10) % 10)
}

/// A date of birth (day plus 60 for coordination numbers) and Luhn's digit over the last ten. A recent date with four
/// digits after it may be a day and a running number, so a word has to say what it is.
fn se_personnummer(digits: &[u8]) -> Weight {
    let (century, short) = digits.split_at(digits.len().saturating_sub(10));
    let (year, month, day) = (part(short, 0, 2), part(short, 2, 4), part(short, 4, 6));
    let full = if century.is_empty() { 2000 + year } else { number(century) * 100 + year };
    let day = if day > 60 { day - 60 } else { day };
    let known = century.is_empty() || (1880..2040).contains(&full);
    // Where the century is not told, the 29th of February is given the benefit of the doubt by 2000 being a leap year.
    if !known || !is_day(full, month, day) || !luhn(short) {
        return Weight::Wrong;
    }
    if (2010..2040).contains(&full) { Weight::Possible } else { Weight::Sure }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = value(*digit) << (place % 2);
            doubled / 10 + doubled % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Two check digits by eleven.
fn br_cpf(digits: &[u8]) -> bool {
    let check = |weights: &[u32]| match weighted(digits, weights) * 10 % 11 {
        10 => 0,
        rest => rest,
    };
    let same = digits.iter().all(|digit| Some(digit) == digits.first());
    !same
        && digits.get(9).is_some_and(|digit| value(*digit) == check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]))
        && digits.get(10).is_some_and(|digit| value(*digit) == check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]))
}

/// Verhoeff's check digit; a row of three years is none.
fn in_aadhaar(digits: &[u8], parted: bool) -> bool {
    let years = parted && digits.chunks(4).all(|group| (1900..2100).contains(&number(group)));
    !years && verhoeff(digits)
}

/// Verhoeff's check: multiplication in the dihedral group of ten, with a permutation that repeats after eight places.
fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTATION: [[u32; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let product = |left: u32, right: u32| match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => (left + right - 5) % 5 + 5,
        (false, true) => (left + 5 - right) % 5 + 5,
        (false, false) => (left + 5 - right) % 5,
    };
    let check = digits.iter().rev().enumerate().fold(0, |sum, (place, digit)| {
        let row = PERMUTATION.get(place % 8);
        let permuted = row.and_then(|row| row.get(value(*digit) as usize)).copied().unwrap_or(0);
        product(sum, permuted)
    });
    check == 0
}

/// A region, a date of birth and ISO/IEC 7064 MOD 11-2, X for ten.
fn cn_resident_id(symbols: &[u8]) -> bool {
    let Some((last, digits)) = symbols.split_last() else { return false };
    let year = part(digits, 6, 10);
    let sum = weighted(digits, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let check = (12 - sum % 11) % 11;
    let given = match last {
        b'X' | b'x' => 10,
        digit if digit.is_ascii_digit() => value(*digit),
        _ => return false,
    };
    (1880..2040).contains(&year) && is_day(year, part(digits, 10, 12), part(digits, 12, 14)) && given == check
}

#[cfg(test)]
mod tests;
