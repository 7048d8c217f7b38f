//! Amounts by class, by the length of the prompt and by level of service, as far as a list has them. Owns how their gaps
//! are filled; the two forms say what stands where.

use std::collections::BTreeMap;

use tidegate_core::money::PerMillion;

use crate::price::Gapped;

/// A class of tokens, in the order of [`crate::price::CLASSES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Input,
    Output,
    CacheRead,
    CacheWrite5m,
    CacheWrite1h,
    AudioInput,
    AudioCacheRead,
    AudioOutput,
    ImageInput,
    ImageOutput,
}

impl Class {
    const ALL: [Self; 10] = [
        Self::Input,
        Self::Output,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::AudioInput,
        Self::AudioCacheRead,
        Self::AudioOutput,
        Self::ImageInput,
        Self::ImageOutput,
    ];

    fn is_cache(self) -> bool {
        matches!(self, Self::CacheRead | Self::CacheWrite5m | Self::CacheWrite1h | Self::AudioCacheRead)
    }
}

/// Amounts by class, as far as the list has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts([Option<PerMillion>; 10]);

impl Amounts {
    pub(super) fn get(&self, class: Class) -> Option<PerMillion> {
        self.0.get(class as usize).copied().flatten()
    }

    pub(super) fn set(&mut self, class: Class, amount: PerMillion) {
        if let Some(place) = self.0.get_mut(class as usize) {
            *place = Some(amount);
        }
    }

    /// These amounts, and those of `base` in their gaps.
    fn over(self, base: Self) -> Self {
        let mut all = self.0;
        for (own, theirs) in all.iter_mut().zip(base.0) {
            *own = own.or(theirs);
        }
        Self(all)
    }

    /// The dearer of each class. A gap of a cache costs what the prompt does, so it stays one.
    pub(super) fn dearest(self, other: Self) -> Self {
        let mut all = Self::default();
        for class in Class::ALL {
            let (one, other) = (self.get(class), other.get(class));
            let both =
                if class.is_cache() { one.zip(other).map(|(one, other)| one.max(other)) } else { one.max(other) };
            if let Some(amount) = both {
                all.set(class, amount);
            }
        }
        all
    }

    /// Zero is how lists say that a class has no price of its own.
    pub(super) fn draft(self) -> Option<Gapped> {
        let own = |class: Class| self.get(class).filter(|amount| amount.0 > 0);
        Some(Gapped {
            input: self.get(Class::Input)?,
            output: self.get(Class::Output)?,
            cache_read: own(Class::CacheRead),
            cache_write_5m: own(Class::CacheWrite5m),
            cache_write_1h: own(Class::CacheWrite1h),
            audio_input: own(Class::AudioInput),
            audio_cache_read: own(Class::AudioCacheRead),
            audio_output: own(Class::AudioOutput),
            image_input: own(Class::ImageInput),
            image_output: own(Class::ImageOutput),
        })
    }
}

/// Amounts as a rule, and those above a number of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) base: Amounts,
    pub(super) tiers: BTreeMap<u64, Amounts>,
}

impl Schedule {
    /// Sets an amount of the base, or of the tier above a number of tokens.
    pub(super) fn set(&mut self, class: Class, above: Option<u64>, amount: PerMillion) {
        match above {
            None => self.base.set(class, amount),
            Some(above) => self.tiers.entry(above).or_default().set(class, amount),
        }
    }

    /// The dearer of each amount.
    pub(super) fn dearest(&mut self, other: Self) {
        self.base = self.base.dearest(other.base);
        for (above, amounts) in other.tiers {
            let tier = self.tiers.entry(above).or_insert(amounts);
            *tier = tier.dearest(amounts);
        }
    }

    /// A tier keeps the amounts before it where it has none of its own.
    pub(super) fn draft(&self) -> Option<(Gapped, Vec<(u64, Gapped)>)> {
        let rates = self.base.draft()?;
        let mut before = self.base;
        let mut tiers = Vec::with_capacity(self.tiers.len());
        for (above, amounts) in &self.tiers {
            before = amounts.over(before);
            let draft = before.draft()?;
            if tiers.last().map_or(rates, |(_, last)| *last) != draft {
                tiers.push((*above, draft));
            }
        }
        Some((rates, tiers))
    }

    /// A level of service: what it does not say is as usual, and a long prompt that it has no price for costs the dearer
    /// of what it asks for a short one and what the usual level asks.
    pub(super) fn over(&self, usual: &Self) -> Self {
        let base = self.base.over(usual.base);
        let mut tiers = self.tiers.clone();
        let mut before = usual.base;
        for (above, amounts) in &usual.tiers {
            before = amounts.over(before);
            tiers.entry(*above).or_insert_with(|| base.dearest(before));
        }
        Self { base, tiers }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.base == Amounts::default() && self.tiers.is_empty()
    }
}
