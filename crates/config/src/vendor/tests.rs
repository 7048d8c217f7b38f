//! The vendor files are whole.

use super::*;

#[test]
fn every_file_is_read_and_has_a_source() {
    let vendors = Vendors::builtin().unwrap();
    assert_eq!(vendors.iter().count(), FILES.len());
    for vendor in vendors.iter() {
        assert!(!vendor.source.is_empty() && vendor.date.len() == 10, "{}", vendor.name);
        assert!(vendor.needs_key() || vendor.env.is_empty() || vendor.scheme == Scheme::Aws, "{}", vendor.name);
        let url = vendor.example_address();
        assert_eq!(url.is_none(), vendor.is_sim());
        if let Some(url) = url {
            assert!(!url.ends_with('/'), "{url}");
            assert!(vendor.is_local() || url.starts_with("https://"), "{url}");
            assert!(tidegate_upstream::address::parse_destination(&url).is_ok(), "{url}");
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

#[test]
fn an_address_is_made_of_the_accounts_settings() {
    let vendors = Vendors::builtin().unwrap();
    let address = |vendor: &str, known: &[(&str, &str)]| {
        let value = |variable: &Variable| {
            known.iter().find(|(name, _)| *name == variable.name).map(|(_, value)| (*value).to_owned())
        };
        vendors.get(vendor).unwrap().address(&value).map_err(|missing| missing.name.clone())
    };
    let vertex = |region| address("vertex-anthropic", &[("project", "p"), ("region", region)]).unwrap().unwrap();
    assert!(vertex("europe-west1").starts_with("https://europe-west1-aiplatform.googleapis.com/v1/projects/p/"));
    assert!(vertex("eu").starts_with("https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu"));
    let unsaid = address("vertex-anthropic", &[("project", "p")]).unwrap().unwrap();
    assert_eq!(unsaid, "https://aiplatform.googleapis.com/v1/projects/p/locations/global");
    assert_eq!(address("azure-openai", &[]), Err("resource".to_owned()));
}

#[test]
fn a_file_that_is_wrong_is_refused() {
    let whole = "name = \"x\"\ntitle = \"X\"\ndialect = \"openai_chat\"\nbase_url = \"https://x.example/v1\"\nauth = \"bearer\"\nsource = \"s\"\ndate = \"2026-11-30\"\n";
    assert!(file::read(whole).is_ok());
    for (wrong, why) in [
        (whole.replace("openai_chat", "other"), "no dialect"),
        (whole.replace("\"bearer\"", "\"a b\""), "no way to authenticate"),
        (whole.replace("x.example", "{region}.example"), "not described"),
        (format!("{whole}[quirks]\nwithout = [\"messages\"]\n"), "cannot be left out"),
        (format!("{whole}[quirks]\nno_such_flag = true\n"), "unknown field"),
        (format!("{whole}[variables.region]\nwhat = \"r\"\nexample = \"eu\"\n"), "stands in no address"),
        (format!("{whole}[variables.planet]\nwhat = \"r\"\nexample = \"eu\"\n"), "no setting"),
        (format!("{whole}[variables.region]\nwhat = \"r\"\nexample = \"a/b\"\n"), "do not look like"),
    ] {
        let error = file::read(&wrong).unwrap_err();
        assert!(error.contains(why) || error.contains("is no member"), "{error}");
    }
}
