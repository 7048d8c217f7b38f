//! Rules of a conversation that every dialect has, checked before one is written in another: turns are merged, and each
//! tool call has its result.
//!
//! Owns those rules. Never invents a message or a result. Called on the translated lane only: on its own dialect a
//! conversation is the upstream's to judge.

use std::collections::HashSet;

use crate::llm::{
    error::PrepareError,
    ir::{Message, Part, Request, Role},
};

/// Merges turns and checks calls against results.
///
/// # Errors
/// A call without a result or a result without a call, by its id.
pub(crate) fn conversation(request: &mut Request) -> Result<(), PrepareError> {
    let messages = std::mem::take(&mut request.messages);
    request.messages = merged(messages);
    let mut open: HashSet<&str> = HashSet::new();
    let mut asked_at = "";
    for message in &request.messages {
        if message.role == Role::System {
            continue;
        }
        if message.role == Role::Assistant {
            no_dangling(&open, asked_at)?;
            asked_at = &message.pointer;
        }
        for part in &message.parts {
            match part {
                Part::ToolCall { id, .. } if !open.insert(id) => {
                    return Err(invalid(
                        &message.pointer,
                        format!("two tool calls have the id `{id}`; ids are unique"),
                    ));
                }
                Part::ToolResult { id, .. } if !open.remove(&**id) => {
                    return Err(invalid(
                        &message.pointer,
                        format!("the tool result `{id}` answers no tool call of the turn before; send both or neither"),
                    ));
                }
                _ => {}
            }
        }
        if message.role == Role::User {
            no_dangling(&open, asked_at)?;
        }
    }
    no_dangling(&open, asked_at)
}

fn no_dangling(open: &HashSet<&str>, pointer: &str) -> Result<(), PrepareError> {
    match open.iter().min() {
        None => Ok(()),
        Some(id) => Err(invalid(
            pointer,
            format!("the tool call `{id}` has no result in the turn after it; send one for each call"),
        )),
    }
}

fn invalid(pointer: &str, message: String) -> PrepareError {
    PrepareError::Invalid { pointer: pointer.to_owned(), message }
}

/// Neighbouring messages of one role made one. Results of tools go before what else a turn says.
pub(crate) fn merged(messages: Vec<Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages {
        match out.last_mut() {
            Some(last) if last.role == message.role && message.role != Role::System => last.parts.extend(message.parts),
            _ => out.push(message),
        }
    }
    for message in out.iter_mut().filter(|message| message.role == Role::User) {
        // Stable: results keep their order, and so does the rest.
        message.parts.sort_by_key(|part| !matches!(part, Part::ToolResult { .. }));
    }
    out
}
