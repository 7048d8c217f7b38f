//! What is read of a vendor's own API, and that nothing else in it changes.

use bytes::Bytes;
use http::{Method, header::HeaderValue};
use serde_json::json;
use tidegate_core::{facts::Action, unit::Unit};

use super::*;

fn call(method: Method, path: &str, media: Option<&'static str>, body: &str) -> Result<NativeCall, ReadError> {
    let request = NativeRequest {
        method,
        path: NativePath::parse(path).unwrap(),
        query: Some("after=a%20b".to_owned()),
        content_type: media.map(HeaderValue::from_static),
        body: Bytes::copy_from_slice(body.as_bytes()),
    };
    NativeCall::read(Dialect::OpenAiChat, request)
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused() {
    for path in ["/files", "/files/file-1/content", "/vector_stores/vs_1/files/a%20b", "/x/%F0%9F%98%80", "/a:b@c"] {
        assert_eq!(NativePath::parse(path).unwrap().raw(), path);
    }
    for path in [
        "",
        "/",
        "files",
        "/files/",
        "//files",
        "/files/../organization",
        "/files/%2e%2e/organization",
        "/files/.%2E/organization",
        "/files/a%2fb",
        "/files/a%5cb",
        "/files/a\\b",
        "/files/%",
        "/files/%4",
        "/files/%zz",
        "/files/%25%32%65",
        "/files/a%00",
        "/files/%ff",
        "/files/a b",
        "/files/ä",
    ] {
        assert!(NativePath::parse(path).is_err(), "{path}");
    }
    assert!(NativePath::parse(&format!("/{}", "a".repeat(2000))).is_err());
}

#[test]
fn a_vendors_administration_is_an_action_of_its_own_however_it_is_spelt() {
    for path in ["/organization/users", "/organizations/me", "/%6frganization/keys", "/ORGANIZATION/x", "/admin/x"] {
        assert_eq!(call(Method::GET, path, None, "").unwrap().action(), Action::AdministerProvider, "{path}");
    }
    for path in ["/files/organization", "/organizational", "/batches"] {
        assert_eq!(call(Method::GET, path, None, "").unwrap().action(), Action::CallProviderApi, "{path}");
    }
}

#[test]
fn policies_see_method_decoded_path_model_and_what_the_body_is() {
    let facts = call(Method::POST, "/fine%5Ftuning/jobs", Some("application/json"), r#"{"model":"openai/i"}"#);
    let api = facts.unwrap().facts().api.unwrap();
    assert_eq!((&*api.method, &*api.path, api.body), ("POST", "/v1/fine_tuning/jobs", "json"));
    assert_eq!(api.model.as_deref(), Some("openai/i"));
    let body = |media, text| call(Method::POST, "/files", media, text).unwrap().facts().api.unwrap().body;
    assert_eq!(body(None, ""), "none");
    assert_eq!(body(Some("multipart/form-data; boundary=x"), "--x"), "other");
    assert_eq!(body(Some("text/plain"), " {\"a\":1}"), "json", "JSON is JSON, whatever it is called");
}

#[test]
fn json_is_strict_and_every_text_in_it_is_seen_and_can_be_rewritten() {
    let body = json!({"model": "openai/m", "id": "opaque", "deep": [{"text": "one"}, "two", 3]}).to_string();
    let mut call = call(Method::POST, "/x", Some("application/json"), &body).unwrap();
    let texts: Vec<_> = call.segments().into_iter().map(|segment| (segment.path, segment.text.into_owned())).collect();
    let words: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(words.len(), 3);
    assert!(["openai/m", "one", "two"].iter().all(|word| words.contains(word)), "{words:?}");
    let (digest, version) = (call.digest(), call.version());
    let one = texts.iter().find(|(_, text)| text == "one").unwrap().0;
    assert_eq!(call.pointer(one), "/deep/0/text");
    assert!(call.replace_segment(one, "gone") && !call.replace_segment(SegmentPath(u32::MAX), "x"));
    assert_ne!(call.digest(), digest);
    assert_eq!(call.version(), version + 1);
    let sent: serde_json::Value = serde_json::from_slice(&call.outgoing("openai")).unwrap();
    assert_eq!(sent["model"], "m");
    assert_eq!(sent["deep"][0]["text"], "gone");
    let error = self::call(Method::POST, "/x", None, r#"{"a":1,"a":2}"#).unwrap_err();
    assert_eq!(error.pointer, "/a");
}

#[test]
fn the_digest_is_of_the_whole_request() {
    let of = |method, path, body| call(method, path, None, body).unwrap().digest();
    let one = of(Method::POST, "/files", "x");
    assert_eq!(one, of(Method::POST, "/files", "x"));
    for other in [of(Method::PUT, "/files", "x"), of(Method::POST, "/file", "x"), of(Method::POST, "/files", "y")] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_body_without_a_prefixed_model_is_sent_as_it_came() {
    for body in [r#"{ "model" : "m" }"#, r#"{"model":"other/m"}"#, r#"{"model":7}"#, "[1]"] {
        assert_eq!(call(Method::POST, "/x", None, body).unwrap().outgoing("openai"), body);
    }
    let call = call(Method::GET, "/files", None, "").unwrap();
    assert_eq!(call.target(), "/files?after=a%20b");
}

#[test]
fn an_answers_texts_are_seen_and_what_it_used_is_read_in_either_way() {
    let read = |body: &str| NativeAnswer::read(Dialect::OpenAiChat, Bytes::copy_from_slice(body.as_bytes()));
    let mut answer = read(r#"{"data":[{"b":"secret"}],"usage":{"input_tokens":3,"output_tokens":4}}"#).unwrap();
    assert_eq!((answer.usage().unwrap().input, answer.usage().unwrap().output), (3, 4));
    let path = answer.segments()[0].path;
    assert!(answer.replace_segment(path, "gone"));
    assert!(String::from_utf8_lossy(&answer.body()).contains(r#""b":"gone""#));
    let chat = read(r#"{"usage":{"prompt_tokens":5,"completion_tokens":6}}"#).unwrap();
    assert_eq!(chat.usage().unwrap().total(), 11);
    assert!(read("{").is_err() && read("{}").unwrap().usage().is_none());
}

#[test]
fn what_repeats_the_providers_address_is_taken_off_once() {
    for (base, path, below) in [
        ("/v1", "/v1/files", "/files"),
        ("/v1", "/files", "/files"),
        ("/v1", "/v1/v1/files", "/v1/files"),
        ("/openai/v1", "/openai/v1/files", "/files"),
        ("/openai/v1", "/v1/files", "/files"),
        ("/openai/v1", "/openai/files", "/openai/files"),
        ("/v1beta/", "/v1beta/models/m:generateContent", "/models/m:generateContent"),
        ("", "/v1/files", "/v1/files"),
        ("/v1", "/V1/files", "/V1/files"),
    ] {
        assert_eq!(NativePath::parse(path).unwrap().below(base).unwrap().raw(), below, "{base} {path}");
    }
    assert_eq!(NativePath::parse("/v1").unwrap().below("/v1"), None);
}

const FORM: &str = "multipart/form-data; boundary=b";

fn form(path: &str, body: &str) -> Result<NativeCall, ReadError> {
    call(Method::POST, path, Some(FORM), body)
}

fn field(name: &str, value: &str) -> String {
    format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

const FILE: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\0\r\n--\x01\r\n";

#[test]
fn a_path_that_asks_a_model_is_a_call_to_it_however_it_is_spelt() {
    let body = json!({"model": "m", "prompt": "a cat", "n": 3}).to_string();
    for path in ["/images/generations", "/Images/GENERATIONS", "/images/generation%73"] {
        let call = call(Method::POST, path, Some("application/json"), &body).unwrap();
        assert_eq!((call.action(), call.asked().unwrap().task), (Action::InvokeModel, Task::DrawImages), "{path}");
        assert_eq!(call.asking_target(), "/images/generations?after=a%20b");
        assert_eq!(call.facts().model.unwrap().as_str(), "m");
        let texts: Vec<String> = call.segments().iter().map(|segment| segment.text.to_string()).collect();
        assert_eq!(texts, ["a cat"], "the model's name is no words");
        assert_eq!(call.asked().unwrap().max_output, Some(3 * 8_000));
    }
    let unnamed = json!({"prompt": "a cat"}).to_string();
    let call = call(Method::POST, "/images/generations", None, &unnamed).unwrap();
    assert_eq!((call.action(), call.asked()), (Action::CallProviderApi, None), "what names no model is the vendor's");
}

#[test]
fn a_body_that_asks_too_much_or_is_of_no_known_form_is_refused() {
    for n in [json!(17), json!(0), json!("3"), json!(2.5), json!(-1)] {
        let body = json!({"model": "m", "prompt": "x", "n": n}).to_string();
        let error = call(Method::POST, "/images/generations", None, &body).unwrap_err();
        assert!(error.to_string().contains("from 1 to 16"), "{error}");
        // Whatever is no picture has no such count.
        assert!(call(Method::POST, "/moderations", None, &body.replace("prompt", "input")).is_ok());
    }
    let edits = |n: &str| form("/images/edits", &format!("{}{}{FILE}--b--", field("model", "m"), field("n", n)));
    assert_eq!(edits(" 2 ").unwrap().asked().unwrap().units, Units::of(Unit::Image, 2));
    assert!(edits("two").is_err() && edits("0").is_err());
    // Speech is asked for in JSON: in a form, nobody would see how long its text is.
    let speech = format!("{}{}--b--", field("model", "m"), field("input", "a long text"));
    assert!(form("/audio/speech", &speech).is_err());
    assert!(call(Method::POST, "/audio/speech", Some("text/plain"), "model=m").is_err());
    let named = json!({"model": "a\u{0}b", "input": "x"}).to_string();
    assert!(call(Method::POST, "/audio/speech", None, &named).is_err());
}

#[test]
fn a_forms_fields_are_seen_and_its_files_stay_what_they_are() {
    let body = format!("{}{}{FILE}--b--\r\n", field("model", "p/m"), field("prompt", "names: jo"));
    let mut call = form("/audio/transcriptions", &body).unwrap();
    assert_eq!(call.asked().unwrap().model.as_str(), "p/m");
    let segment = call.segments()[0].clone();
    assert_eq!((&*segment.text, segment.name.as_deref()), ("names: jo", Some("prompt")));
    let path = segment.path;
    assert_eq!(call.pointer(path), "/prompt");
    let (digest, version) = (call.digest(), call.version());
    assert!(call.replace_segment(path, "names: [gone]"));
    assert!(call.digest() != digest && call.version() == version + 1);
    assert!(!call.replace_segment(path, "x\r\n--b\r\n"), "a text cannot end its field");
    let sent = String::from_utf8(call.asking("m").to_vec()).unwrap();
    assert_eq!(sent, body.replace("p/m", "m").replace("names: jo", "names: [gone]"));
    let empty = form("/audio/transcriptions", &format!("{}{}--b--", field("model", "m"), field("prompt", ""))).unwrap();
    assert_eq!(empty.segments()[0].text, "");
}

#[test]
fn a_form_that_can_be_read_in_two_ways_is_refused() {
    let model = field("model", "m");
    for body in [
        String::new(),
        "--b--".to_owned() + "x",
        format!("{model}{FILE}"),
        format!("{model}--b--\r\nmore"),
        format!("before\r\n{model}--b--"),
        format!("{model}{model}--b--"),
        format!("{model}{}--b--", field("MODEL", "other")),
        format!("{}--b--", model.replace("\r\n", "\n")),
        format!("{}--b--", model.replace("name=\"model\"", "name=model")),
        format!("{}--b--", model.replace("name=\"model\"", "name=\"mo\\\"del\"")),
        format!("{}--b--", model.replace("name=\"model\"", "name=\"a\"; name=\"model\"")),
        format!("{}--b--", model.replace("name=\"model\"", "name=\"model\"; name*=utf-8''other")),
        format!("{}--b--", model.replace("--b\r\n", "--b  \r\n")),
        format!("{}--b--", model.replace("content-d", "content-transfer-encoding: base64\r\ncontent-d")),
        format!("{}--b--", model.replace("content-d", "content-disposition: form-data; name=\"x\"\r\ncontent-d")),
        format!("{}--b--", field("a", "x") + &(0..70).map(|n| field(&format!("f{n}"), "x")).collect::<String>()),
    ] {
        assert!(form("/audio/transcriptions", &body).is_err(), "{body:?}");
    }
    for media in
        ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=b; boundary=c"]
    {
        let body = format!("{model}--b--");
        assert!(call(Method::POST, "/audio/transcriptions", Some(media), &body).is_err(), "{media}");
    }
}

#[test]
fn what_was_used_is_read_in_every_form_that_vendors_have() {
    let used = |body: serde_json::Value| {
        let answer = NativeAnswer::read(Dialect::OpenAiChat, body.to_string().into()).unwrap();
        answer.usage().map(|usage| (usage.input, usage.output))
    };
    assert_eq!(used(json!({"usage": {"input_tokens": 3, "output_tokens": 4}})), Some((3, 4)));
    assert_eq!(used(json!({"results": [], "usage": {"total_tokens": 9}})), Some((9, 0)));
    assert_eq!(used(json!({"results": [], "meta": {"tokens": {"input_tokens": 5, "output_tokens": 0}}})), Some((5, 0)));
    assert_eq!(used(json!({"text": "x", "usage": {"type": "duration", "seconds": 3}})), None);
    let drawn = json!({"usage": {"input_tokens": 12, "output_tokens": 90,
        "input_tokens_details": {"text_tokens": 2, "image_tokens": 10}}});
    let drawn = NativeAnswer::read(Dialect::OpenAiChat, drawn.to_string().into()).unwrap().usage().unwrap();
    let classed = Task::EditImages.classed(drawn);
    assert_eq!((classed.image_input, classed.image_output, classed.output), (10, 90, 90));
    assert_eq!(Task::Speak.classed(drawn).audio_output, 90);
    let beside = |task, body: serde_json::Value| {
        NativeAnswer::read(Dialect::OpenAiChat, body.to_string().into()).unwrap().beside(task)
    };
    for (task, body, unit, count) in [
        (Task::Transcribe, json!({"text": "x", "usage": {"type": "duration", "seconds": 3}}), Unit::Audio, 3_000),
        (Task::Transcribe, json!({"text": "x", "duration": 3.2901}), Unit::Audio, 3_291),
        (Task::Transcribe, json!({"text": "x", "duration": "12.5"}), Unit::Audio, 12_500),
        (Task::Transcribe, json!({"text": "x", "duration": "-1"}), Unit::Audio, 0),
        (Task::Transcribe, json!({"text": "x", "usage": {"prompt_audio_seconds": 7}}), Unit::Audio, 7_000),
        (Task::Rerank, json!({"results": [], "meta": {"billed_units": {"search_units": 2}}}), Unit::SearchUnit, 2),
        (Task::ReadDocument, json!({"pages": [], "usage_info": {"pages_processed": 9}}), Unit::Page, 9),
        (Task::DrawImages, json!({"data": [{}, {}], "size": "1536x1024", "quality": "high"}), Unit::Image, 2),
        (Task::Moderate, json!({"data": [{}, {}], "duration": 4}), Unit::Image, 0),
    ] {
        assert_eq!(beside(task, body.clone()).0, Units::of(unit, count), "{body}");
    }
    let picture = beside(Task::EditImages, json!({"data": [], "size": "1536x1024", "quality": "high"})).1;
    assert_eq!((picture.size.as_str(), picture.quality.as_str()), ("1536x1024", "high"));
    let event = br#"{"type":"image_generation.completed","usage":{"input_tokens":1,"output_tokens":2}}"#;
    assert_eq!(event_usage(event).map(|usage| usage.output), Some(2));
    assert_eq!(event_usage(b"{}"), None);
}

#[test]
fn what_a_request_may_use_beside_tokens_is_bounded_before_it_is_sent() {
    let asked = |path: &str, body: serde_json::Value| {
        let call = call(Method::POST, path, Some("application/json"), &body.to_string()).unwrap();
        call.asked().unwrap().clone()
    };
    let many: Vec<String> = (0..120).map(|_| "a ".repeat(700)).collect();
    for (path, body, unit, least, most) in [
        ("/images/generations", json!({"model": "m", "prompt": "a", "n": 3}), Unit::Image, 3, 3),
        ("/audio/speech", json!({"model": "m", "input": "Grüße!"}), Unit::Character, 6, 6),
        ("/audio/speech", json!({"model": "m", "input": ["Grüße!", "now"], "voice": "v"}), Unit::Character, 9, 11),
        ("/audio/transcriptions", json!({"model": "m", "url": "https://x"}), Unit::Audio, 14_400_000, 14_400_000),
        ("/rerank", json!({"model": "m", "query": "q", "documents": ["a", "b"]}), Unit::SearchUnit, 1, 1),
        // Each of 120 documents is cut into two pieces or three: at least 240 pieces, which are three searches.
        ("/rerank", json!({"model": "m", "query": "q", "documents": many}), Unit::SearchUnit, 3, 4),
        ("/ocr", json!({"model": "m", "document": {"document_url": "https://x"}}), Unit::Page, 1_000, 1_000),
        ("/ocr", json!({"model": "m", "document": {}, "pages": [0, 3]}), Unit::Page, 2, 2),
        ("/ocr", json!({"model": "m", "document": {}, "pages": [0, "2-900"]}), Unit::Page, 1_000, 1_000),
        (
            "/ocr",
            json!({"model": "m", "document": {}, "pages": [0], "document_annotation_format": {}}),
            Unit::AnnotatedPage,
            1,
            1,
        ),
    ] {
        let asked = asked(path, body.clone());
        let count = asked.units.get(unit);
        assert!((least..=most).contains(&count), "{body}: {count}");
        assert_eq!(asked.units, Units::of(unit, count), "{path}");
        assert_eq!(asked.assumed.units, asked.units, "{path}");
    }
    let annotated = asked("/ocr", json!({"model": "m", "document": {}, "bbox_annotation_format": {}}));
    let used = annotated.used(None, (Units::of(Unit::Page, 4), Picture::default()));
    assert_eq!(used.units, Units::of(Unit::AnnotatedPage, 4));
    let drawn = asked("/images/generations", json!({"model": "m", "prompt": "a", "size": "1K", "quality": "HD"}));
    let made = Picture { size: Word::new("2k"), ..Picture::default() };
    let used = drawn.used(None, (Units::of(Unit::Image, 1), made)).picture;
    assert_eq!((used.size.as_str(), used.quality.as_str()), ("2k", "hd"), "what was made counts over what was asked");
}

#[test]
fn sounds_in_a_form_and_those_that_it_names_are_bounded() {
    let wave = |name: &str, bytes: usize| {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.wav\"\r\n\r\n");
        format!("{head}{}\r\n", "s".repeat(bytes))
    };
    let asked = |parts: &str| {
        let call = form("/audio/transcriptions", &format!("{}{parts}--b--", field("model", "m"))).unwrap();
        let asked = call.asked().unwrap();
        (asked.units.get(Unit::Audio), asked.assumed.units.get(Unit::Audio))
    };
    const HOURS: u64 = 14_400_000;
    assert_eq!(asked(&wave("file", 7_500)), (10_000, 3_750));
    assert_eq!(asked(""), (HOURS, HOURS));
    assert_eq!(asked(&wave("file", 0)), (HOURS, HOURS));
    // An empty file beside another is none, and what an address leads to counts beside a small file.
    assert_eq!(asked(&(wave("file", 7_500) + &wave("file", 0))), (10_000, 3_750));
    assert_eq!(asked(&(wave("file", 7_500) + &field("url", "https://x"))), (HOURS + 10_000, HOURS + 3_750));
    assert_eq!(asked(&(wave("file", 7_500) + &field("file_url", ""))), (10_000, 3_750));
}
