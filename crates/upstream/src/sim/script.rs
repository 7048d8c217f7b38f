//! What a prompt tells the upstream to do: directives in double brackets, each starting with `sim:`.
//!
//! ```text
//! [[sim: stream 50 chunks, 20ms]]              fifty pieces of text, twenty milliseconds apart
//! [[sim: tool get_weather {"city":"Rome"}]]    propose this tool call; may stand more than once
//! [[sim: fail 503 twice]]                      `once`, `twice`, `N times`, or nothing for always
//! [[sim: cut after 7]]                         break the connection after seven pieces of the answer
//! [[sim: stall after 7]]                       send nothing more after seven pieces, but stay connected
//! [[sim: say TEXT]]                            answer with TEXT instead of the echo
//! ```

use std::time::Duration;

/// A parsed script. Without directives everything is empty and the model's own habit holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// How many pieces, and how long apart.
    pub stream: Option<(usize, Duration)>,
    /// Tool calls to propose: name and arguments as JSON text.
    pub tools: Vec<(String, String)>,
    /// Status to fail with, and how often (`None`: always).
    pub fail: Option<(u16, Option<u32>)>,
    /// Break the connection after this many pieces.
    pub cut_after: Option<usize>,
    /// Stop sending after this many pieces.
    pub stall_after: Option<usize>,
    /// Answer with this text.
    pub say: Option<String>,
}

/// Most pieces that a script may ask for.
const MOST_CHUNKS: usize = 100_000;

/// Longest pause between two pieces.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl Script {
    /// Reads the directives of `prompt`; what is no directive, or a malformed one, is ignored.
    #[must_use]
    pub fn read(prompt: &str) -> Self {
        let mut script = Self::default();
        let mut rest = prompt;
        while let Some((_, after)) = rest.split_once("[[sim:") {
            let Some((directive, next)) = after.split_once("]]") else { break };
            script.apply(directive.trim());
            rest = next;
        }
        script
    }

    fn apply(&mut self, directive: &str) {
        let (verb, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        let rest = rest.trim();
        match verb {
            "stream" => self.stream = read_stream(rest),
            "tool" => {
                let (name, arguments) = rest.split_once(' ').unwrap_or((rest, "{}"));
                if !name.is_empty() && serde_json::from_str::<serde_json::Value>(arguments).is_ok() {
                    self.tools.push((name.to_owned(), arguments.trim().to_owned()));
                }
            }
            "fail" => self.fail = read_fail(rest),
            "cut" => self.cut_after = rest.strip_prefix("after ").and_then(|count| count.trim().parse().ok()),
            "stall" => self.stall_after = rest.strip_prefix("after ").and_then(|count| count.trim().parse().ok()),
            "say" => self.say = Some(rest.to_owned()),
            _ => {}
        }
    }
}

/// `50 chunks, 20ms`; the pause may be missing.
fn read_stream(text: &str) -> Option<(usize, Duration)> {
    let (count, pause) = text.split_once(',').unwrap_or((text, "0ms"));
    let count: usize = count.trim().trim_end_matches("chunks").trim_end_matches("chunk").trim().parse().ok()?;
    let pause = pause.trim();
    let pause = match pause.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.trim().parse().ok()?),
        None => Duration::from_secs(pause.strip_suffix('s')?.trim().parse().ok()?),
    };
    Some((count.min(MOST_CHUNKS), pause.min(LONGEST_PAUSE)))
}

/// `503`, `503 once`, `503 twice`, `503 4 times`.
fn read_fail(text: &str) -> Option<(u16, Option<u32>)> {
    let (status, times) = text.split_once(' ').unwrap_or((text, ""));
    let status: u16 = status.trim().parse().ok().filter(|status| (400..=599).contains(status))?;
    let times = match times.trim() {
        "" => None,
        "once" => Some(1),
        "twice" => Some(2),
        more => Some(more.trim_end_matches("times").trim().parse().ok()?),
    };
    Some((status, times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_of_the_contract_are_read() {
        let script = Script::read(
            "hi [[sim: stream 50 chunks, 20ms]] [[sim: tool get_weather {\"city\":\"Rome\"}]] [[sim: fail 503 twice]] \
             [[sim: cut after 7]] [[sim: stall after 9]]",
        );
        assert_eq!(script.stream, Some((50, Duration::from_millis(20))));
        assert_eq!(script.tools, vec![("get_weather".to_owned(), "{\"city\":\"Rome\"}".to_owned())]);
        assert_eq!(script.fail, Some((503, Some(2))));
        assert_eq!(script.cut_after, Some(7));
        assert_eq!(script.stall_after, Some(9));
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        for text in ["[[sim: fail 99]]", "[[sim: stream x]]", "[[sim:", "[[sim: tool t {]]", "[[sim: fail 503 often]]"]
        {
            assert_eq!(Script::read(text), Script::default(), "{text}");
        }
    }
}
