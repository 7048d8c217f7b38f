//! What is charged beside tokens: prices per picture, second, letter, page, search and the like.
//!
//! Owns which of what was used is charged, and at which of a model's prices. Never guesses a fee that nobody stated: such a
//! cost is unknown. Called by the sums of `price.rs`.

use tidegate_core::{
    money::PerUnits,
    unit::{Picture, Unit, Units, Word},
    usage::Usage,
};

use super::{InvalidPrice, parsed};

/// What pictures of one sort cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureRate {
    /// Their size; none where it does not matter.
    pub size: Word,
    /// Their quality; none where it does not matter.
    pub quality: Word,
    /// What they cost.
    pub rate: PerUnits,
}

/// A model's prices per unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitPrices {
    each: [Option<PerUnits>; Unit::ALL.len()],
    /// As many are charged at least where any is.
    least: Units,
    /// Other prices of pictures, the usual sort first.
    pictures: Vec<PictureRate>,
}

/// Something that was used and is charged: how many, at which price.
pub type Charge = (Unit, u64, PerUnits);

/// The ways in which a search of the web is charged: a price that states one of them states what searching costs.
const SEARCHES: [Unit; 6] = [
    Unit::WebSearch,
    Unit::WebSearchPreview,
    Unit::GroundedPrompt,
    Unit::Request,
    Unit::RequestMedium,
    Unit::RequestHigh,
];

/// Fees for the use of a vendor's tools, which a model has beside its own price.
pub const FEES: [Unit; 5] =
    [Unit::WebSearch, Unit::WebSearchPreview, Unit::GroundedPrompt, Unit::FileSearch, Unit::CodeSession];

/// The calls that a fee by call tells apart.
const REQUESTS: [Unit; 3] = [Unit::Request, Unit::RequestMedium, Unit::RequestHigh];

/// What a model that searches by itself is taken to use at most, since no request bounds it: searches, and tokens that it
/// reads and reasons for them. What is more is charged all the same.
const BY_ITSELF: [(Unit, u64); 3] =
    [(Unit::WebSearch, 60), (Unit::CitationToken, 200_000), (Unit::ReasoningToken, 500_000)];

impl UnitPrices {
    /// Sets the price of a unit.
    pub fn set(&mut self, unit: Unit, rate: PerUnits) {
        if let Some(own) = self.each.get_mut(unit as usize) {
            *own = Some(rate);
        }
    }

    /// Sets how many of a unit are charged at least where any is.
    pub fn at_least(&mut self, unit: Unit, count: u64) {
        self.least.set(unit, count);
    }

    /// Adds the price of a sort of pictures; the first is the usual one.
    pub fn picture(&mut self, rate: PictureRate) {
        self.pictures.push(rate);
    }

    /// The price of a unit; of pictures that no sort fits.
    #[must_use]
    pub fn get(&self, unit: Unit) -> Option<PerUnits> {
        self.each.get(unit as usize).copied().flatten()
    }

    /// The prices by sort of picture.
    #[must_use]
    pub fn pictures(&self) -> &[PictureRate] {
        &self.pictures
    }

    /// How many of a unit are charged at least where any is.
    #[must_use]
    pub fn least(&self, unit: Unit) -> u64 {
        self.least.get(unit)
    }

    /// Whether nothing is priced by units.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty() && self.each.iter().all(Option::is_none)
    }

    /// These, with the fees for a vendor's tools that they do not state taken from `other`. A price that states one way in
    /// which searching is charged takes no other one.
    #[must_use]
    pub fn with_fees(mut self, other: &Self) -> Self {
        let states_searching = FEES.into_iter().any(|fee| SEARCHES.contains(&fee) && self.get(fee).is_some());
        for fee in FEES.into_iter().filter(|fee| !(states_searching && SEARCHES.contains(fee))) {
            if let (None, Some(rate)) = (self.get(fee), other.get(fee)) {
                self.set(fee, rate);
            }
        }
        self
    }

    /// What of `usage` is charged. `None` where a fee is due that nobody stated.
    pub(super) fn charged(&self, usage: &Usage) -> Option<Vec<Charge>> {
        if self.is_empty() && usage.units.is_empty() {
            return Some(Vec::new());
        }
        let (mut units, mut request) = (usage.units, None);
        if !REQUESTS.into_iter().any(|unit| units.get(unit) > 0) {
            // The answer does not say how much was searched: the dearest counts.
            request = self.dearest_request();
            units.set(Unit::RequestHigh, u64::from(request.is_some()));
        }
        self.all(units, self.usual(usage.picture), request)
    }

    /// What a call that may use `units` is charged at most. `None` where a fee may be due that nobody stated.
    pub(super) fn bound(&self, units: Units, picture: Picture) -> Option<Vec<Charge>> {
        if self.is_empty() && units.is_empty() {
            return Some(Vec::new());
        }
        let mut units = units;
        // Of calls, the dearest counts.
        let request = self.dearest_request();
        if request.is_some() {
            REQUESTS.into_iter().for_each(|unit| units.set(unit, 0));
            units.set(Unit::RequestHigh, 1);
        }
        if self.get(Unit::CitationToken).is_some() || self.get(Unit::ReasoningToken).is_some() {
            BY_ITSELF.into_iter().for_each(|(unit, count)| units.set(unit, count.max(units.get(unit))));
        }
        // What is left to the vendor may be of any sort.
        let open = |said: Word| if is_left(said) { Word::default() } else { said };
        let picture = Picture { size: open(picture.size), quality: open(picture.quality) };
        self.all(units, self.matching(picture).reduce(dearer).or_else(|| self.any_picture()), request)
    }

    /// Charges for `units`, each picture at `picture` and each call at `request`, where that is given.
    fn all(&self, units: Units, picture: Option<PerUnits>, request: Option<PerUnits>) -> Option<Vec<Charge>> {
        let mut charges = Vec::new();
        let (mut searched, mut states_searching) = (false, self.dearest_request().is_some());
        for (unit, count) in units.used() {
            let rate = match unit {
                Unit::Image => picture,
                _ if REQUESTS.contains(&unit) => request.or_else(|| self.get(unit)).or_else(|| self.dearest_request()),
                Unit::WebSearchPreview => self.get(unit).or_else(|| self.get(Unit::WebSearch)),
                Unit::AnnotatedPage => self.get(unit).or_else(|| self.get(Unit::Page)),
                Unit::FileSearch | Unit::CodeSession => Some(self.get(unit)?),
                _ => self.get(unit),
            };
            if FEES.contains(&unit) && SEARCHES.contains(&unit) {
                searched = true;
                states_searching |= rate.is_some();
            }
            charges.extend(rate.map(|rate| (unit, count.max(self.least(unit)), rate)));
        }
        // One of the ways in which a search was counted has to have a price.
        (!searched || states_searching).then_some(charges)
    }

    fn dearest_request(&self) -> Option<PerUnits> {
        REQUESTS.into_iter().filter_map(|unit| self.get(unit)).reduce(dearer)
    }

    /// The prices of the sorts that a picture may be of, as far as it is known.
    fn matching(&self, picture: Picture) -> impl Iterator<Item = PerUnits> {
        let fits = |own: Word, said: Word| own.is_none() || said.is_none() || own == said;
        self.pictures
            .iter()
            .filter(move |sort| fits(sort.size, picture.size) && fits(sort.quality, picture.quality))
            .map(|sort| sort.rate)
    }

    /// The price of a picture: what is not said of it is as usual; of a sort that has no price, the dearest.
    fn usual(&self, mut picture: Picture) -> Option<PerUnits> {
        if let Some(first) = self.pictures.first() {
            let or = |said: Word, usual: Word| if is_left(said) { usual } else { said };
            picture = Picture { size: or(picture.size, first.size), quality: or(picture.quality, first.quality) };
        }
        self.matching(picture).reduce(dearer).or_else(|| self.any_picture())
    }

    fn any_picture(&self) -> Option<PerUnits> {
        let own = self.get(Unit::Image);
        own.or_else(|| self.pictures.iter().map(|sort| sort.rate).reduce(dearer))
    }

    /// Whether one of these is more than five times what it is in the other.
    pub(crate) fn far(&self, other: &Self) -> bool {
        Unit::ALL.into_iter().any(|unit| match (self.get(unit), other.get(unit)) {
            (Some(one), Some(two)) => far(one, two) || far(two, one),
            _ => false,
        })
    }

    /// What a million of each unit costs together: what models without a price of tokens are compared by.
    #[must_use]
    pub fn rank(&self) -> u64 {
        let own = Unit::ALL.into_iter().filter_map(|unit| self.get(unit));
        let all = own.chain(self.pictures.first().map(|sort| sort.rate));
        all.fold(0_u64, |sum, rate| {
            let (nanos, of) = rate.amount();
            let million = u128::from(nanos).saturating_mul(1_000_000).checked_div(u128::from(of)).unwrap_or(0);
            sum.saturating_add(u64::try_from(million).unwrap_or(u64::MAX))
        })
    }
}

fn dearer(one: PerUnits, other: PerUnits) -> PerUnits {
    if other.dearer(one) { other } else { one }
}

fn far(one: PerUnits, other: PerUnits) -> bool {
    let (nanos, of) = other.amount();
    PerUnits::new(nanos.saturating_mul(5), of).is_some_and(|five| one.dearer(five))
}

/// Whether a word leaves the choice to the vendor.
fn is_left(said: Word) -> bool {
    said.is_none() || said.as_str() == "auto"
}

/// What a unit is called in prices: one, or a thousand or a million of them with `k` or `m` before it.
fn measure(unit: Unit) -> &'static str {
    match unit {
        Unit::Image => "image",
        Unit::Audio => "minute",
        Unit::Character => "char",
        Unit::SearchUnit => "search",
        Unit::Page | Unit::AnnotatedPage => "page",
        Unit::Request | Unit::RequestMedium | Unit::RequestHigh => "request",
        Unit::WebSearch | Unit::WebSearchPreview | Unit::GroundedPrompt | Unit::FileSearch => "call",
        Unit::CodeSession => "session",
        Unit::CitationToken | Unit::ReasoningToken => "tok",
    }
}

/// How many of `unit` a measure such as `kpage` or `hour` is.
fn size_of(unit: Unit, word: &str) -> Option<u64> {
    if unit == Unit::Audio {
        return match word {
            "second" => Some(1_000),
            "minute" => Some(60_000),
            "hour" => Some(3_600_000),
            _ => None,
        };
    }
    let one = measure(unit);
    if word == one {
        return Some(1);
    }
    let by = |letter: char, size| Some((word.strip_prefix(letter)?, size));
    by('k', 1_000).or_else(|| by('m', 1_000_000)).and_then(|(rest, size)| (rest == one).then_some(size))
}

/// How a price of `unit` is written, for example `0.04 usd/image`.
#[must_use]
pub fn example(unit: Unit) -> String {
    match unit {
        Unit::Character | Unit::CitationToken | Unit::ReasoningToken => format!("15 usd/m{}", measure(unit)),
        Unit::Audio | Unit::Image | Unit::Page | Unit::AnnotatedPage => format!("0.006 usd/{}", measure(unit)),
        _ => format!("10 usd/k{}", measure(unit)),
    }
}

/// Reads the price of a unit: `0.04 usd/image`, `0.006 usd/minute`, `15 usd/mchar`, `2 usd/ksearch`, `10 usd/kcall`.
///
/// # Errors
/// Where the text is of another form, says what is wrong with it.
pub fn parse_per_unit(unit: Unit, text: &str) -> Result<PerUnits, InvalidPrice> {
    let (nanos, size) = parsed(text, |written| {
        let word = written.strip_prefix("usd/").ok_or("the unit does not begin with `usd/`")?;
        size_of(unit, word).ok_or("the unit is not one of what is priced")
    })?;
    PerUnits::new(nanos, size).ok_or_else(|| InvalidPrice::of(text, "the unit is not one of what is priced"))
}

#[cfg(test)]
mod tests;
