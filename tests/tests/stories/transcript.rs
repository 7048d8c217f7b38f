//! From nothing to a first answer: what a newcomer types and sees, as the README shows it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::{Instant, timeout},
};

use super::terminal::{bare, run};

/// How long it may take from the binary to the first answer.
const LIMIT: Duration = Duration::from_secs(10);
const BEGIN: &str = "<!-- transcript:";
const END: &str = "<!-- /transcript -->";

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md")
}

/// What is different each time, in the form in which it is shown.
struct Normal {
    replaced: Vec<(String, &'static str)>,
}

impl Normal {
    fn text(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (from, to) in &self.replaced {
            line = line.replace(from, to);
        }
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len() {
            if let Some(start) = words[at].find("call_") {
                let end = start
                    + words[at][start..]
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(words[at].len() - start);
                words[at].replace_range(start..end, "call_…");
            }
            if words[at].trim_end() == "ms" && at > 0 {
                words[at - 1] = "…".to_owned();
            }
        }
        words.join(" ").trim_end().to_owned()
    }
}

/// The command with both its streams in one, as a terminal shows them.
fn shell(folder: &Path, line: &str) -> Command {
    let path = super::gateway::binary();
    let bin = path.parent().unwrap().display();
    let mut command = bare("/bin/sh", folder);
    command.args(["-c", &format!("exec {line} 2>&1")]).env("PATH", format!("{bin}:/usr/bin:/bin"));
    command.env("TIDEGATE_HINTS", "always");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_nothing_to_a_first_answer() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    // The one thing that differs from what is shown: free ports, so that this can run beside a gateway.
    let mut up = shell(folder.path(), "tidegate up --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0");
    let mut up = up.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    loop {
        let line = timeout(LIMIT, lines.next_line()).await.expect("the gateway speaks").unwrap();
        let line = line.unwrap_or_else(|| panic!("the gateway ended: {seen:?}"));
        let last = line.contains("Ctrl-C stops it");
        seen.push(line);
        if last {
            break;
        }
    }
    let chat = run(shell(folder.path(), "tidegate chat hello")).await;
    let took = began.elapsed();
    assert_eq!(chat.code, 0, "{chat:?}");
    assert!(took < LIMIT, "the first answer took {took:?}");
    let call = run(shell(folder.path(), "tidegate call sim/get_weather --arg city=Rome")).await;
    assert_eq!(call.code, 0, "{call:?}");

    let word = |title: &str| {
        let line = seen.iter().find(|line| line.trim_start().starts_with(title)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    let port = |title: &str| word(title).rsplit_once(':').unwrap().1.to_owned();
    let key = word("key");
    assert!(key.starts_with("tg_"));
    let normal = Normal {
        replaced: vec![
            (key, "tg_••••"),
            (format!(":{}", port("models and tools")), ":8787"),
            (format!(":{}", port("control plane")), ":8788"),
        ],
    };
    let mut shown = vec!["$ tidegate up".to_owned()];
    shown.extend(seen.iter().map(|line| normal.text(line)));
    for (typed, said) in [("chat \"hello\"", &chat.out), ("call sim/get_weather --arg city=Rome", &call.out)] {
        shown.push(String::new());
        shown.push(format!("$ tidegate {typed}"));
        shown.extend(said.lines().map(|line| normal.text(line)));
    }
    let block = format!("```console\n{}\n```\n", shown.join("\n"));
    assert!(!block.contains(folder.path().to_str().unwrap()), "{block}");

    let text = std::fs::read_to_string(readme()).unwrap();
    let begin = text.find(BEGIN).unwrap();
    let begin = begin + text[begin..].find('\n').unwrap() + 1;
    let end = text.find(END).unwrap();
    if std::env::var("TIDEGATE_TRANSCRIPT").as_deref() == Ok("write") {
        std::fs::write(readme(), format!("{}{block}{}", &text[..begin], &text[end..])).unwrap();
        return;
    }
    assert_eq!(
        &text[begin..end],
        block,
        "README.md does not show what a terminal shows: run this test with TIDEGATE_TRANSCRIPT=write"
    );
}
