use tidegate_bench::options::Options;

use super::*;

fn plan(streams: u64) -> Plan {
    let now = clock::now();
    Plan { shape: Shape::Closed(1), start: now, counted: now, end: now, streams }
}

#[test]
fn streams_are_spread_evenly() {
    let half: Vec<bool> = (0..6).map(|number| plan(50).is_stream(number)).collect();
    assert_eq!(half, [false, true, false, true, false, true]);
    assert_eq!((0..1_000).filter(|number| plan(7).is_stream(*number)).count(), 70);
    assert!(!(0..100).any(|number| plan(0).is_stream(number)));
    assert!((0..100).all(|number| plan(100).is_stream(number)));
}

fn options(text: &str) -> Options {
    Options::read(text.split(' ').map(ToOwned::to_owned)).unwrap()
}

#[test]
fn only_loopback_is_loaded_and_one_shape_is_wanted() {
    assert!(run(&options("--to 192.0.2.1:80 --rate 1")).is_err());
    assert!(run(&options("--to 127.0.0.1:9 --rate 1 --connections 1")).is_err());
    assert!(run(&options("--to 127.0.0.1:9")).is_err());
}

/// A mock in a thread, at a port that the system chose a moment before.
fn mock() -> SocketAddr {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::thread::spawn(move || crate::mock::run(&options(&format!("--listen {address}"))));
    for _ in 0..200 {
        if std::net::TcpStream::connect(address).is_ok() {
            return address;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the mock does not listen");
}

#[test]
fn a_closed_and_an_open_load_get_whole_answers_and_whole_streams() {
    let to = mock();
    let pid = std::process::id();
    for shape in ["--connections 4", "--rate 200"] {
        let text = format!("--to {to} {shape} --streams 50 --warmup 0.1 --seconds 0.4 --pid {pid}");
        let report: serde_json::Value = serde_json::from_str(&run(&options(&text)).unwrap()).unwrap();
        assert_eq!(report["errors"], 0, "{report}");
        let streams = report["streams"].as_u64().unwrap();
        assert!(streams > 5, "{report}");
        assert_eq!(report["streams_complete"], streams);
        assert_eq!(report["merged_events"], 0);
        assert!(report["cpu_us_per_request"].as_f64().unwrap() > 0.0);
        assert!(report["whole_ms"]["p50"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn what_cannot_be_reached_is_counted_as_an_error() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!("--to {closed} --rate 50 --warmup 0 --seconds 0.2");
    let report: serde_json::Value = serde_json::from_str(&run(&options(&text)).unwrap()).unwrap();
    assert!(report["errors"].as_u64().unwrap() > 3, "{report}");
    assert_eq!(report["completed"], 0);
}
