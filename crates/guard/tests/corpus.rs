//! The labelled corpus: what must be found and what must not, with precision and recall.

use tidegate_core::{facts::GuardAction, ids::GuardrailName, segment::Origin};
use tidegate_guard::{Chain, CompileError, DetectorName, GuardrailSpec, Phase};

fn chain() -> Result<Chain, CompileError> {
    Chain::compile(&[GuardrailSpec {
        name: GuardrailName::from("all"),
        detect: vec![DetectorName::from("secrets"), DetectorName::from("pii")],
        on: Phase::ALL.to_vec(),
        action: GuardAction::Redact,
        limit: None,
        on_error: Default::default(),
    }])
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.replace('~', "").replace("\\\\", "\u{0}").replace("\\n", "\n").replace('\u{0}', "\\"))
}

#[test]
fn corpus_is_found_with_full_precision_and_recall() {
    let chain = chain().unwrap();
    let (mut right, mut missed, mut wrong) = (0_u32, 0_u32, 0_u32);
    for line in lines(include_str!("corpus/positive.txt")) {
        let (category, text) = line.split_once('|').unwrap();
        let found = chain.scan(Origin::Completion, text);
        let categories: Vec<_> = found.iter().map(|finding| &*finding.category).collect();
        if categories.contains(&category) {
            right += 1;
        } else {
            missed += 1;
            println!("missed {category} in `{text}`: {categories:?}");
        }
        for other in found.iter().filter(|finding| &*finding.category != category) {
            wrong += 1;
            println!("wrong {} `{}` in `{text}`", other.category, &text[other.range.clone()]);
        }
    }
    let mut clean = 0_u32;
    for text in lines(include_str!("corpus/negative.txt")) {
        let found = chain.scan(Origin::Completion, &text);
        clean += u32::from(found.is_empty());
        for other in &found {
            wrong += 1;
            println!("wrong {} `{}` in `{text}`", other.category, &text[other.range.clone()]);
        }
    }
    assert!(right + clean >= 300, "the corpus has {right} and {clean} lines");
    let precision = f64::from(right) / f64::from(right + wrong);
    let recall = f64::from(right) / f64::from(right + missed);
    assert!(precision >= 0.99 && recall >= 0.99, "precision {precision:.3}, recall {recall:.3}");
}
