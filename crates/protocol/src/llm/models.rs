//! The list of models as a surface shows it: a neutral entry, written in each dialect's own shape.
//!
//! Owns the entry alone; what a caller may see was decided before.

/// One model of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// The name to ask for it by.
    pub id: String,
    /// Who serves it: a provider's name, or `tidegate` for an alias.
    pub owned_by: String,
    /// When it came to be, in seconds since 1970.
    pub created: u64,
}

/// `seconds` since 1970 as RFC 3339 in UTC, for example `2026-01-02T03:04:05Z`.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    // Days since 1 March of year 0, in eras of 400 years: leap days then fall at the end of a year.
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
