use tidegate_protocol::llm::Dialect;

use super::*;

const MOST: usize = 1 << 20;

fn question(body: &str) -> Question {
    (Surface::Model(Dialect::OpenAiChat), Digest::of(body.as_bytes()))
}

fn name(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn first(repeats: &Repeats, key: &str, body: &str, most: usize) -> Running {
    match repeats.ask(name(key), question(body), CallId::new(), most) {
        Known::First(mut running) => {
            running.begin(StatusCode::OK, &HeaderMap::new());
            running
        }
        _ => panic!("{key} is known"),
    }
}

fn kept(repeats: &Repeats, key: &str, body: &str) -> Option<Bytes> {
    match repeats.ask(name(key), question(body), CallId::new(), MOST) {
        Known::Kept(recorded) => Some(recorded.body.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn whoever_asks_the_same_waits_and_gets_the_same() {
    let repeats = Repeats::new();
    let mut running = first(&repeats, "a", "x", MOST);
    let Known::Running(mut waiting) = repeats.ask(name("a"), question("x"), CallId::new(), MOST) else {
        panic!("it is being answered")
    };
    assert!(matches!(repeats.ask(name("a"), question("y"), CallId::new(), MOST), Known::Other));
    running.push(b"an ");
    running.push(b"answer");
    running.tell(true);
    let told = waiting.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(&*told.body, b"an answer");
    assert_eq!(kept(&repeats, "a", "x").as_deref(), Some(&b"an answer"[..]));
    assert!(matches!(repeats.ask(name("a"), question("y"), CallId::new(), MOST), Known::Other));
}

#[tokio::test]
async fn after_one_that_left_the_next_is_the_first() {
    let repeats = Repeats::new();
    let running = first(&repeats, "a", "x", MOST);
    let Known::Running(mut waiting) = repeats.ask(name("a"), question("x"), CallId::new(), MOST) else {
        panic!("it is being answered")
    };
    drop(running);
    assert!(waiting.wait_for(Option::is_some).await.is_err());
    first(&repeats, "a", "x", MOST).tell(false);
    first(&repeats, "a", "other", MOST);
}

#[test]
fn what_is_kept_is_bounded_and_the_oldest_leaves_first() {
    let repeats = Repeats::new();
    let most = 10 * (OVERHEAD + 1_000);
    for number in 0..25 {
        let mut running = first(&repeats, &number.to_string(), "x", most);
        running.push(&[b'.'; 1_000]);
        running.tell(true);
        let inner = repeats.inner.lock();
        assert!(inner.bytes <= most && inner.entries.len() <= 10 && inner.order.len() <= 10);
    }
    assert!(kept(&repeats, "14", "x").is_none() && kept(&repeats, "24", "x").is_some());
    let mut running = first(&repeats, "large", "x", MOST);
    running.push(&vec![b'.'; LARGEST_KEPT + 1]);
    running.tell(true);
    assert!(kept(&repeats, "large", "x").is_none());
    repeats.inner.lock().shrink(0, clock::now());
    let inner = repeats.inner.lock();
    assert_eq!((inner.bytes, inner.order.len()), (0, 0));
}

#[test]
fn after_a_day_it_is_asked_anew() {
    let repeats = Repeats::new();
    first(&repeats, "a", "x", MOST).tell(true);
    let soon = clock::now() + KEPT_FOR / 2;
    repeats.inner.lock().shrink(MOST, soon);
    assert!(kept(&repeats, "a", "x").is_some());
    repeats.inner.lock().shrink(MOST, clock::now() + KEPT_FOR);
    assert!(kept(&repeats, "a", "x").is_none());
}
