//! Tile names and the growing edge.

use super::*;

#[test]
fn tile_names_are_those_of_the_specification() {
    let tile = |level, index, width| Tile { level, index, width }.to_string();
    assert_eq!(tile(Some(0), 0, 256), "tile/0/000");
    assert_eq!(tile(Some(1), 1_234_067, 256), "tile/1/x001/x234/067");
    assert_eq!(tile(Some(0), 273, 112), "tile/0/273.p/112");
    assert_eq!(tile(None, 1000, 1), "tile/entries/x001/000.p/1");
}

#[test]
fn only_canonical_names_are_tiles() {
    for name in ["tile/0/000", "tile/7/x001/x234/067", "tile/entries/x001/000.p/1", "tile/0/999.p/255"] {
        assert_eq!(Tile::parse(name).unwrap().to_string(), name);
    }
    for name in [
        "tile/8/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x001/1",
        "tile/0/001/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p",
        "tile/data/000",
        "tile/0/+01",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/",
        "tile/0",
        "checkpoint",
        "tile/0/000.p/1/2",
    ] {
        assert_eq!(Tile::parse(name), None, "{name}");
    }
}

#[test]
fn a_log_has_a_partial_file_per_unfinished_level() {
    let names = |size| partials(size).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(0), Vec::<String>::new());
    assert_eq!(names(255), ["tile/entries/000.p/255", "tile/0/000.p/255"]);
    assert_eq!(names(256), ["tile/1/000.p/1"]);
    assert_eq!(names(70_000), ["tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
}

#[test]
fn tiles_are_completed_in_order_and_the_edge_can_be_restored_at_any_size() {
    let mut edge = Edge::new();
    let mut done = Vec::new();
    for leaf in 0..66_000_u64 {
        edge.push(format!("entry {leaf}").as_bytes(), &mut |tile| done.push(tile.tile.to_string()));
        if [1, 255, 256, 257, 65_535, 65_536, 65_537, 65_999].contains(&edge.size()) {
            let restored = Edge::restore(edge.size(), |tile| edge.partial(tile).ok_or(())).unwrap().unwrap();
            assert_eq!(restored.root(), edge.root());
            assert_eq!(restored.bundle(), edge.bundle());
        }
    }
    assert_eq!(done[..4], ["tile/entries/000", "tile/0/000", "tile/entries/001", "tile/0/001"]);
    assert_eq!(done.iter().filter(|name| name.starts_with("tile/1/")).collect::<Vec<_>>(), ["tile/1/000"]);
    assert_eq!(done.iter().filter(|name| name.starts_with("tile/0/")).count(), 257);
}

#[test]
fn an_edge_is_not_restored_from_files_that_do_not_fit() {
    let mut edge = Edge::new();
    for leaf in 0..300_u64 {
        edge.push(&leaf.to_be_bytes(), &mut |_| {});
    }
    for tile in partials(300) {
        for change in [0, 1, 2] {
            let restored = Edge::restore(300, |wanted| {
                let mut bytes = edge.partial(wanted).ok_or(())?;
                match change {
                    0 if *wanted == tile => bytes[2] ^= 1,
                    1 if *wanted == tile => bytes.truncate(bytes.len() - 1),
                    2 if *wanted == tile => bytes.push(0),
                    _ => {}
                }
                Ok::<_, ()>(bytes)
            });
            let refused = restored.unwrap().is_none_or(|restored| restored.root() != edge.root());
            assert!(refused, "{tile}, change {change}");
        }
    }
}

#[test]
fn bundles_that_do_not_add_up_end_in_none() {
    assert_eq!(entries(&[0, 1, 7, 0, 0]).collect::<Vec<_>>(), [Some([7].as_slice()), Some([].as_slice())]);
    assert_eq!(entries(&[0, 1, 7, 0]).collect::<Vec<_>>(), [Some([7].as_slice()), None]);
    assert_eq!(entries(&[0, 9, 7]).collect::<Vec<_>>(), [None]);
}
