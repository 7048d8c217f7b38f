//! JSON values as YAML 1.2: a block for what holds something, JSON's own notation for the rest.
//!
//! Every string that could be read as anything else is quoted, so that what is printed reads back as the same value.

use serde_json::Value;

/// `value` as a YAML document, with a line end.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0, true);
    out
}

fn write(out: &mut String, value: &Value, depth: usize, first: bool) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 || !first {
                    indent(out, depth);
                }
                out.push_str(&scalar(name));
                out.push(':');
                under(out, value, depth, false);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 || !first {
                    indent(out, depth);
                }
                out.push('-');
                under(out, item, depth, true);
            }
        }
        Value::String(text) => line(out, &scalar(text)),
        other => line(out, &other.to_string()),
    }
}

/// What stands behind a name or a dash.
fn under(out: &mut String, value: &Value, depth: usize, item: bool) {
    let holds = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if !holds || item {
        out.push(' ');
        write(out, value, depth.saturating_add(1), true);
        return;
    }
    out.push('\n');
    write(out, value, depth.saturating_add(1), false);
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// A string, quoted as JSON unless it is plain beyond doubt.
fn scalar(text: &str) -> String {
    let plain = text.chars().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-./".contains(letter))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same_value() {
        for value in [
            json!({"id": "call_1", "status": 200, "usd": "0.10", "none": null, "deep": {"list": [1, [2, {"a": "b"}], []]}}),
            json!([{"name": "yes", "text": "two\nlines: \"quoted\" # no comment", "empty": {}, "b": true}, {"x": [{}]}]),
            json!([[1, 2], [[3]], "- dash", "", "~", "1e3", "0x10", "Ä", "null"]),
            json!([]),
            json!("plain"),
            json!(7.5),
        ] {
            let text = yaml(&value);
            let back: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(back, value, "{text}");
        }
    }
}
