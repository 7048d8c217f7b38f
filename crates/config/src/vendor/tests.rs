//! The vendor files are whole.

use super::*;

#[test]
fn every_file_is_read_and_has_a_source() {
    let vendors = Vendors::builtin().unwrap();
    assert_eq!(vendors.iter().count(), FILES.len());
    for vendor in vendors.iter() {
        assert!(!vendor.source.is_empty() && vendor.date.len() == 10, "{}", vendor.name);
        assert_eq!(vendor.needs_key() || vendor.scheme == Scheme::Aws, !vendor.env.is_empty(), "{}", vendor.name);
        let url = vendor.base_url.as_deref();
        assert_eq!(url.is_none(), vendor.is_sim());
        if let Some(url) = url {
            let version = if vendor.dialect == Dialect::Gemini { "/v1beta" } else { "/v1" };
            assert!(url.ends_with(version) || vendor.scheme == Scheme::Aws, "{url}");
            assert!(vendor.is_local() || url.starts_with("https://"), "{url}");
        }
    }
}

#[test]
fn every_file_of_the_folder_is_part_of_the_binary() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog/providers");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    there.sort();
    assert_eq!(there, FILES.map(|(name, _)| name.to_owned()));
}
